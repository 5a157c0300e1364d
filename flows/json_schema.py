"""JSON Schemas inside flows: what a tool takes, what an exit requires, what is collected from a talk.

The library is jsonschema-rs (draft 2020-12): about 1 µs for a small value, no dependencies, wheels for every platform
we serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from flows import reader
from flows.draft import Draft, ReadBy
from flows.expressions import TYPES
from flows.files import FilePath
from flows.problems import NOWHERE, MistakeError, Where, did_you_mean, has
from flows.reader import Map, Seq, where_of

_SCHEMA_KEYS = ("$ref", "enum", "const", "anyOf", "oneOf", "allOf")
JSON_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
MAX_ERRORS = 8


class JsonSchema:
    """A checked JSON Schema. The short form ``{dish: {type: string}}`` is an object with these properties and no
    others, each of them required unless it has a ``default``."""

    __slots__ = ("_validator", "schema", "where")

    def __init__(self, schema: Mapping[str, Any], where: Where = NOWHERE) -> None:
        self.schema: dict[str, Any] = plain(schema)
        self.where = where
        self._validator = jsonschema_rs.Draft202012Validator(self.schema)

    def errors(self, value: Any) -> list[str]:
        """What is wrong with a value, in words (``size: "xl" is not one of …``); an empty list when it fits. At
        most 8."""
        found: list[str] = []
        for error in self._validator.iter_errors(value):
            place = ".".join(str(part) for part in error.instance_path)
            found.append(f"{place}: {error.message}" if place else error.message)
            if len(found) == MAX_ERRORS:
                break
        return found

    @property
    def types(self) -> Mapping[str, str]:
        """The type of each property, for expressions that read them (a name of `flows.expressions.TYPES`)."""
        properties = self.schema.get("properties", {})
        return {name: self.type_of(property_) for name, property_ in properties.items()}

    @property
    def type(self) -> str:
        """The type of the whole value."""
        return self.type_of(self.schema)

    @staticmethod
    def type_of(schema: Any) -> str:
        """The type that a schema gives a value, ``any`` when it leaves it open."""
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        return kind if isinstance(kind, str) and kind in TYPES else "any"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonSchema) and other.schema == self.schema

    def __hash__(self) -> int:
        return hash(repr(self.schema))

    def __repr__(self) -> str:
        return f"JsonSchema({self.schema!r})"

    @classmethod
    def from_flow(cls, value: Any, draft: Draft | None = None) -> JsonSchema:
        """A schema from a flow's value. Raises `MistakeError` at the very key that is wrong."""
        if isinstance(value, JsonSchema):
            return value
        if not isinstance(value, Mapping):
            raise MistakeError(
                where_of(value), "E305", "this must be a JSON Schema or properties, such as {dish: {type: string}}"
            )
        schema = plain(value) if is_schema(value) else _object_of(value)
        _refuse_remote(value)
        try:
            jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
            return cls(schema, where_of(value))
        except (jsonschema_rs.ValidationError, ValueError) as error:
            path = list(getattr(error, "instance_path", []))
            if not is_schema(value):
                path = path[1:]
            message = getattr(error, "message", str(error))
            where, found = _place(value, path)
            if isinstance(found, str) and path[-1:] == ["type"]:
                message = f"'{found}' is no type{did_you_mean(found, JSON_TYPES) or has(JSON_TYPES)}"
            elif isinstance(found, str) and found in JSON_TYPES:
                message += f" (write {{type: {found}}})"
            raise MistakeError(where, "E305", f"not a valid JSON Schema: {message}") from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return ReadBy(cls.from_flow, {"type": "object"}).core_schema()


class SchemaFile(FilePath):
    """A JSON Schema in a file of its own (JSON or YAML)."""

    __slots__ = ("schema",)

    def __init__(self, path: Any, content: bytes, where: Where = NOWHERE) -> None:
        super().__init__(path, content, where)
        tree, problems = reader.read(str(path), content)
        if problems:
            raise MistakeError(problems[0].where, problems[0].code, problems[0].message)
        self.schema = JsonSchema.from_flow(tree)


def is_schema(value: Mapping[str, Any]) -> bool:
    """Whether a mapping is a whole JSON Schema and not the short form, in which every value is a mapping."""
    return isinstance(value.get("type"), str | list) or any(
        key in value and not isinstance(value[key], Mapping) for key in _SCHEMA_KEYS
    )


def plain(value: Any) -> Any:
    """A value of plain dicts, lists and strings, without places."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def property_types(value: Any) -> dict[str, str]:
    """The types of the properties that a flow's value describes, schema or short form; empty when it is neither."""
    if not isinstance(value, Mapping):
        return {}
    properties = value.get("properties") if is_schema(value) else value
    if not isinstance(properties, Mapping):
        return {}
    return {str(name): JsonSchema.type_of(property_) for name, property_ in properties.items()}


def _object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    described = plain(properties)
    required = [
        name for name, property_ in described.items() if not (isinstance(property_, dict) and "default" in property_)
    ]
    return {"type": "object", "properties": described, "required": required, "additionalProperties": False}


def _refuse_remote(value: Any) -> None:
    """A schema may point into itself only: checking a flow never fetches anything."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str) and not item.startswith("#"):
                raise MistakeError(
                    where_of(item), "E305", f"'{item}' lies outside of this schema; write it out under $defs"
                )
            _refuse_remote(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_remote(item)


def _place(value: Any, path: list[Any]) -> tuple[Where, Any]:
    """What a path in the tree leads to, as far as it leads, and its place."""
    where = where_of(value)
    for part in path:
        if (isinstance(value, Map) and part in value) or (
            isinstance(value, Seq) and isinstance(part, int) and part < len(value)
        ):
            where, value = value.value_at[part], value[part]
        else:
            break
    return where, value
