"""Values of declared types: what a variable starts with, and whether a value fits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engine.outcome import StepError
from flows.flow import Variable
from flows.texts import Value

EMPTY: dict[str, Any] = {
    "string": "", "integer": 0, "number": 0.0, "boolean": False, "object": {}, "array": [],
}  # fmt: skip


def declare(variables: Mapping[str, Variable]) -> dict[str, Any]:
    """Fresh values for declared variables: their default, or nothing of their type."""
    return {
        name: _copy(variable.default if variable.default is not None else EMPTY.get(variable.type))
        for name, variable in variables.items()
    }


def fits(known: str, declared: str) -> bool:
    """Whether a value whose type the check knows (``any``: it does not) may be what was declared."""
    return (
        known == declared
        or "any" in (known, declared)
        or (known, declared) in (("integer", "number"), ("number", "integer"))
    )


def suits(value: Value, declared: str) -> bool:
    """Whether what a flow writes may be what was declared; a fraction that is written out is no whole number."""
    if declared == "integer" and isinstance(value.source, float) and not value.source.is_integer():
        return False
    return fits(value.type, declared)


def fit(value: Any, type: str, name: str) -> Any:
    """The value as its declared type. A whole number may become a number, nothing else is converted. (`StepError`)"""
    match type:
        case "string" if isinstance(value, str):
            return value
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "integer" if isinstance(value, float) and value.is_integer():
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "object" if isinstance(value, Mapping):
            return dict(value)
        case "array" if isinstance(value, list | tuple):
            return list(value)
        case "timestamp" if isinstance(value, datetime):
            return value
        case "any":
            return value
    raise StepError(f"{name} is declared as {type}, but the value is {_kind(value)}")


def _kind(value: Any) -> str:
    names = {
        str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array",
        datetime: "timestamp",
    }  # fmt: skip
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
