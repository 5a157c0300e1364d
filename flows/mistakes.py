"""What pydantic says about a verb's fields, in the words of flow authors and at the places where they wrote it."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from flows.addresses import instead_of
from flows.problems import NOWHERE, MisfitError, MistakeError, Problem, Where, did_you_mean
from flows.reader import Map, Seq

_WORDS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text; put it in quotes",
    "dict_type": "must be a mapping (key: value)",
    "mapping_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that pydantic refuses: the path that leads to it, pydantic's word for it, and what the author is told.
    ``keys``: the keys that it speaks of, None when that is not known. ``at_key``: it is one of
    them that is wrong, at the end of the path; else the whole.
    """

    path: tuple[str | int, ...]
    kind: str
    problem: Problem
    keys: frozenset[str | int] | None = None
    at_key: bool = False


def mistakes_of(
    error: ValidationError, model: type[BaseModel], given: Map, owner: str, otherwise: Where
) -> list[Mistake]:
    """Everything that is wrong, once for each place. ``owner`` is the verb or key that the fields belong to."""
    found: dict[tuple[Where, object], Mistake] = {}
    details = error.errors(include_url=False)
    paths = {detail["loc"] for detail in details}
    for detail in details:
        size = len(detail["loc"])
        if any(len(path) > size and path[:size] == detail["loc"] for path in paths):
            continue  # a list is "too short" when one of its items is wrong: the item is what matters
        for mistake in _mistakes(detail, model, given, owner, otherwise):
            apart = mistake.path if mistake.kind == "missing" or mistake.keys else None
            found.setdefault((mistake.problem.where, apart), mistake)
    return list(found.values())


def _mistakes(detail: Any, model: type[BaseModel], given: Map, owner: str, otherwise: Where) -> Iterable[Mistake]:
    path, kind = tuple(detail["loc"]), detail["type"]
    error = detail.get("ctx", {}).get("error")
    if not isinstance(error, MisfitError):
        yield Mistake(path, kind, _problem(detail, model, given, owner, otherwise))
        return
    for misfit in error.found:
        whole = (*path, *misfit.path)
        value_at, key_at, _ = _places(given, whole, otherwise)
        where = key_at if misfit.path else value_at
        keys = frozenset((*misfit.path[-1:], *misfit.beside))
        yield Mistake(whole, kind, Problem.at(where, misfit.code, misfit.message), keys, bool(misfit.path))


def nearest_key(word: str, model: type[BaseModel]) -> str | None:
    """The key of this model that an unknown one is likely to be meant for."""
    known = [info.alias or name for name, info in model.model_fields.items()]
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def _problem(detail: Any, model: type[BaseModel], given: Map, owner: str, otherwise: Where) -> Problem:
    path = detail["loc"]
    kind = detail["type"]
    mistake = detail.get("ctx", {}).get("error")
    value_at, key_at, holder = _places(given, path, otherwise)
    if isinstance(mistake, MistakeError):
        where = mistake.where if mistake.where is not NOWHERE else value_at
        return Problem.at(where, mistake.code, mistake.message)
    if kind == "extra_forbidden":
        return Problem.at(key_at, "E201", _unknown_key(str(path[-1]), detail["input"], _models_at(model, path[:-1])))
    if kind == "missing":
        inside = ".".join(str(part) for part in path[:-1])
        name = f"{owner}.{inside}" if inside else owner
        return Problem.at(holder, "E202", f"{name} needs '{path[-1]}'")
    if kind == "literal_error":
        expected = detail["ctx"]["expected"]
        words = [word.strip("' ") for word in expected.replace(" or ", ", ").split(",")]
        given_word = str(detail["input"])
        return Problem.at(value_at, "E203", f"'{given_word}' is not one of {expected}{did_you_mean(given_word, words)}")
    named = next((str(part) for part in reversed(path) if isinstance(part, str) and "[" not in part), owner)
    if kind in _WORDS:
        return Problem.at(value_at, "E203", f"'{named}' {_WORDS[kind]}")
    if kind == "too_short":
        return Problem.at(value_at, "E203", f"'{named}' needs at least {detail['ctx']['min_length']}")
    message = str(mistake) if mistake is not None else detail["msg"][:1].lower() + detail["msg"][1:]
    return Problem.at(value_at, "E203", f"'{named}': {message}")


def _instead(known: Iterable[str]) -> str:
    words = ", ".join(sorted(known))
    return f" (has: {words})" if words else " (it takes no keys)"


def _places(given: Map, path: Iterable[str | int], otherwise: Where) -> tuple[Where, Where, Where]:
    """The places of the value at the end of the path, of its key, and of the mapping or list that holds it."""
    value: Any = given
    where = key_at = holder = otherwise
    for part in path:
        if isinstance(value, Map) and isinstance(part, str) and part in value:
            holder, where, key_at, value = where, value.value_at[part], value.key_at[part], value[part]
        elif isinstance(value, Seq) and isinstance(part, int) and part < len(value):
            holder, where, key_at, value = where, value.value_at[part], value.value_at[part], value[part]
        else:  # a missing key, or pydantic's name for a branch of a union
            holder = where
    return where, key_at, holder


def _unknown_key(key: str, value: Any, models: Iterable[type[BaseModel]]) -> str:
    """What is said of a key that none of these models has."""
    known = [info.alias or name for model in models for name, info in model.model_fields.items()]
    elsewhere = [hints[key] for model in models if key in (hints := getattr(model, "elsewhere", {}))]
    if elsewhere:
        return f"unknown key '{key}': {elsewhere[0]}"
    if key in ("url", "uri") and {"endpoint", "path"} <= set(known):
        return f"unknown key '{key}': {instead_of(value)}"
    return f"unknown key '{key}'{did_you_mean(key, known) or _instead(known)}"


def _models_at(model: type[BaseModel], path: Iterable[str | int]) -> list[type[BaseModel]]:
    """The model at the end of the path; several where it may be of either kind."""
    models = [model]
    for part in path:
        if not isinstance(part, str):
            continue
        inner = [
            found
            for candidate in models
            for name, info in candidate.model_fields.items()
            if part in (name, info.alias)
            for found in _models_in(info.annotation)
        ]
        models = inner or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, BaseModel)
    ):
        return [annotation]
    if get_origin(annotation) is None:
        return []
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def merged(defaults: Mapping[str, Any] | None, given: Map) -> Map:
    """A step's fields over the flow's defaults for its verb; every key keeps the place where it was written."""
    if not isinstance(defaults, Map):
        return given
    both = Map(given.where, given.path)
    for source in (defaults, given):
        for key, value in source.items():
            both.put(key, value, source.key_at[key], source.value_at[key])
    return both
