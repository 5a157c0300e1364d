"""The OpenAPI 3.1 document, made of the routes and of the models that they answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engine.console.models import Problem
from engine.console.problems import KINDS
from engine.console.routing import BASE, Route
from engine.version import VERSION

_REF: Final = "#/components/schemas/{model}"
_PART: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_ALWAYS: Final = ("bad-request", "not-logged-in", "not-allowed", "no-tokens", "too-many", "no-audit")


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document, as JSON values."""
    models: dict[type[BaseModel], None] = {Problem: None}
    for route in routes:
        models.update(dict.fromkeys(model for model in (route.answer, route.body) if model is not None))
    asked = {route.body for route in routes if route.body}
    pairs = [(model, "validation" if model in asked else "serialization") for model in models]
    _, schemas = models_json_schema(pairs, ref_template=_REF)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_PART.sub(r"{\1}", BASE + route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hookflash", "version": VERSION, "description": "The API for supervisors: see docs/api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "hookflash"},
            },
        },
    }  # fmt: skip


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": [*_path_parts(route), *_asked(route), *_headers(route)],
        "responses": {str(route.status): _answer(route), **_problems(route)},
        "security": [] if route.public else [{"token": []}, {"session": []}],
    }
    if route.body is not None:
        schema = {"$ref": _REF.format(model=route.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.right is not None and not route.public:
        found["description"] = f"Needs the right `{route.right}`."
    return found


def _name(route: Route) -> str:
    words = re.findall(r"[a-z]+", _PART.sub(r"\1", route.path))
    return "_".join([route.method.lower(), *words])


def _path_parts(route: Route) -> Iterable[dict[str, Any]]:
    for name in _PART.findall(route.path):
        kind: dict[str, Any] = {"type": "integer", "minimum": 0} if name == "number" else {"type": "string"}
        if name != "number":
            kind["minLength"] = 1
        yield {"name": name, "in": "path", "required": True, "schema": kind}


def _asked(route: Route) -> Iterable[dict[str, Any]]:
    if route.query is None:
        return
    schema = route.query.model_json_schema()
    for name, kind in schema["properties"].items():
        shown = {key: value for key, value in kind.items() if key not in ("title", "default", "description")}
        choices = [one for one in shown.pop("anyOf", ()) if one.get("type") != "null"]
        yield {
            "name": name, "in": "query", "required": name in schema.get("required", ()),
            "description": kind.get("description", ""), "schema": {**shown, **(choices[0] if choices else {})},
        }  # fmt: skip


def _headers(route: Route) -> Iterable[dict[str, Any]]:
    for name in route.headers:
        kind = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        yield {"name": name, "in": "header", "required": True, "schema": kind}


def _answer(route: Route) -> dict[str, Any]:
    told: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        told["content"] = {route.media: {"schema": {"$ref": _REF.format(model=route.answer.__name__)}}}
    elif route.media != "application/json":
        told["content"] = {route.media: {}}
    return told


def _problems(route: Route) -> dict[str, Any]:
    kinds = [*(() if route.public else _ALWAYS), *route.problems]
    schema = {"schema": {"$ref": _REF.format(model="Problem")}}
    by_status: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(KINDS[kind][0], []).append(kind)
    return {
        str(status): {"description": ", ".join(kinds), "content": {"application/problem+json": schema}}
        for status, kinds in sorted(by_status.items())
    }
