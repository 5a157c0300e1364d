"""Asterisk's own description of ARI, boiled down to what a client needs.

Asterisk ships one Swagger 1.1 file per resource (`rest-api/*.json` in its data directory). `distil` reads them and
keeps the facts only: verbs, paths, parameters, models and which models are events. The result is `api.json` beside this
file; `generate.py` turns it into Python.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Api = dict[str, Any]
"""`{"asterisk": version, "operations": [...], "models": [...]}`; see `distil`."""

API_FILE = Path(__file__).with_name("api.json")

# What Asterisk accepts and its Swagger does not say: `direction` is honoured for websocket media from 22.9 on.
CORRECTED_VALUES = {("externalMedia", "direction"): ["both", "in", "out"]}


def distil(rest_api: Path, version: str) -> Api:
    """Read the Swagger files in `rest_api`; `version` is the Asterisk that they came with.

    An operation is `{resource, name, verb, path, parameters, response}` with `websocket: true` for the event socket; a
    parameter `{name, place: path|query|body, type}` and, where they hold, `required`, `multiple`, `values`; a model
    `{name, fields}` and, where it has one, `parent`; a field `{name, type}` and `required`. A missing folder or a file
    that is no Swagger raises `FileNotFoundError` or `ValueError`.
    """
    files = sorted(path for path in rest_api.glob("*.json") if path.name != "resources.json")
    if not files:
        raise FileNotFoundError(f"{rest_api} holds no Swagger files; point at the rest-api folder of an Asterisk")
    operations: list[Api] = []
    models: dict[str, Api] = {}
    parents: dict[str, str] = {}
    for file in files:
        try:
            declaration = json.loads(file.read_text("utf-8"))
            operations += _operations(file.stem, declaration)
            for name, model in declaration["models"].items():
                models[name] = {"name": name, "fields": _fields(model)}
                parents |= dict.fromkeys(model.get("subTypes", ()), name)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{file} is not one of Asterisk's Swagger files: {error!r}") from error
    for child, parent in parents.items():
        models[child]["parent"] = parent
    return {
        "asterisk": version,
        "operations": sorted(operations, key=lambda each: (each["resource"], each["path"], each["verb"])),
        "models": [models[name] for name in sorted(models)],
    }


def _operations(resource: str, declaration: Api) -> list[Api]:
    return [
        {
            "resource": resource,
            "name": operation["nickname"],
            "verb": operation["httpMethod"],
            "path": api["path"],
            "parameters": [_parameter(operation["nickname"], each) for each in operation.get("parameters", ())],
            "response": operation["responseClass"],
        }
        | ({"websocket": True} if operation.get("upgrade") == "websocket" else {})
        for api in declaration["apis"]
        for operation in api["operations"]
    ]


def _parameter(operation: str, parameter: Api) -> Api:
    kept = {"name": parameter["name"], "place": parameter["paramType"], "type": parameter["dataType"]}
    # Path parameters are required by nature; two of Asterisk's files forget to say so.
    if parameter.get("required") or parameter["paramType"] == "path":
        kept["required"] = True
    if parameter.get("allowMultiple"):
        kept["multiple"] = True
    values = parameter.get("allowableValues", {}).get("values")
    values = CORRECTED_VALUES.get((operation, parameter["name"]), values)
    if values:
        kept["values"] = values
    return kept


def _fields(model: Api) -> list[Api]:
    return [
        {"name": name, "type": field["type"]} | ({"required": True} if field.get("required") else {})
        for name, field in model["properties"].items()
    ]


def dumps(api: Api) -> str:
    """`api.json` as text: one line per operation and per model, so that a new Asterisk gives a readable diff."""
    lines = [f'{{"asterisk": {json.dumps(api["asterisk"])},', '"operations": [']
    lines += [",\n".join(json.dumps(each) for each in api["operations"]), "],", '"models": [']
    lines += [",\n".join(json.dumps(each) for each in api["models"]), "]}"]
    return "\n".join(lines) + "\n"


def load() -> Api:
    """The committed `api.json`."""
    api: Api = json.loads(API_FILE.read_text("utf-8"))
    return api


def news(ours: Api, theirs: Api) -> list[str]:
    """What an Asterisk (`theirs`) knows and the generated client (`ours`) does not, one line each; empty is good.

    What only we know is no news: an older Asterisk lacks operations and answers 404.
    """
    found = []
    known = {(each["verb"], each["path"]): each for each in ours["operations"]}
    for operation in theirs["operations"]:
        mine = known.get((operation["verb"], operation["path"]))
        place = f"{operation['verb']} {operation['path']}"
        if mine is None:
            found.append(f"operation {place}")
            continue
        names = {each["name"] for each in mine["parameters"]}
        found += [
            f"parameter {each['name']} of {place}" for each in operation["parameters"] if each["name"] not in names
        ]
    models = {each["name"]: each for each in ours["models"]}
    for model in theirs["models"]:
        if model["name"] not in models:
            found.append(f"{'event' if model.get('parent') == 'Event' else 'model'} {model['name']}")
            continue
        names = {each["name"] for each in models[model["name"]]["fields"]}
        found += [f"field {each['name']} of {model['name']}" for each in model["fields"] if each["name"] not in names]
    return found
