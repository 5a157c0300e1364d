"""Values that hold expressions: `Text`, `Expression`, `Condition`, `Value`. Compiled when a flow is loaded, evaluated
in a call.

Built from a flow, they are checked against its declared names. Built by a program (``Text("Hello ${vars.name}")``),
they accept any name. The ``context`` of an evaluation is a nested mapping: ``{"vars": {...}, "steps": {...}, "now":
datetime, …}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from flows import scan
from flows.draft import Draft, ReadBy
from flows.expressions import MAX_RESULT, UNTYPED, ExpressionError, FaultsError, Names, Program
from flows.problems import NOWHERE, MistakeError, Problem, Where
from flows.reader import Str, where_of


@cache
def _untyped() -> Names:
    return Names(UNTYPED)


class Expression:
    """A bare CEL expression (``vars.round < 3``); it needs no ``${…}`` and refuses it. ``result`` is the type that
    it must have."""

    result: str | None = None
    __slots__ = ("_program", "_source", "source", "where")

    def __init__(self, source: str, *, draft: Draft | None = None, where: Where | None = None) -> None:
        self._source = source
        self.source = source.strip()
        self.where = where or where_of(source)
        self._program: Program | None = None
        if draft is None:
            self._compile_alone()
        else:
            draft.expect(self)

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """The value. Raises `ExpressionError`, which knows the place in the author's file."""
        if self._program is None:
            raise ExpressionError("the expression was never compiled", self.where)
        return self._program.run(context, self.where)

    @property
    def type(self) -> str:
        """The type of the result as far as the check knows it: a name of `flows.expressions.TYPES`."""
        return self._program.type if self._program else "any"

    @property
    def names(self) -> tuple[str, ...]:
        """The declared names that it reads, such as ``vars.round``."""
        return self._program.names if self._program else ()

    def compile(self, names: Names) -> list[Problem]:
        """Compile with a flow's names; returns what is wrong, each problem at its own character."""
        try:
            self._program = names.compile(self.source)
        except FaultsError as error:
            return [Problem.at(self._at(fault.offset), fault.code, fault.message) for fault in error.faults]
        if self.result and self._program.type not in (self.result, "any"):
            message = f"this must be {self.result}, but it is {self._program.type}"
            return [Problem.at(self.where, "E301", message)]
        return []

    def _compile_alone(self) -> None:
        problems = self.compile(_untyped())
        if problems:
            raise MistakeError(problems[0].where, problems[0].code, problems[0].message)

    def _at(self, offset: int) -> Where:
        lead = len(self._source) - len(self._source.lstrip())
        return self._source.at(lead + offset) if isinstance(self._source, Str) else self.where

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and type(other) is type(self) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    @classmethod
    def read(cls, value: Any, draft: Draft | None) -> Self:
        """An expression from a flow's value. Raises `MistakeError`."""
        if isinstance(value, cls):
            return value
        if isinstance(value, bool | int | float):
            value = json.dumps(value)
        if not isinstance(value, str) or not value.strip():
            raise MistakeError(where_of(value), "E203", "this must be an expression, such as vars.round < 3")
        if "${" in value:
            where = value.at(value.index("${")) if isinstance(value, Str) else NOWHERE
            bare = value.strip().removeprefix("${").removesuffix("}")
            raise MistakeError(where, "E304", f"this is an expression already; write it without '${{…}}': {bare}")
        return cls(value, draft=draft)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return ReadBy(cls.read, {"type": ["string", "boolean", "number"]}).core_schema()


class Condition(Expression):
    """An expression that is true or false."""

    result = "boolean"
    __slots__ = ()

    def evaluate(self, context: Mapping[str, Any]) -> bool:
        """True or false. Raises `ExpressionError` when it is neither."""
        value = super().evaluate(context)
        if not isinstance(value, bool):
            raise ExpressionError(f"'{self.source}' gave {value!r}, which is neither true nor false", self.where)
        return value


class _Hole(Expression):
    """An expression inside ``${…}``: it knows its place in the string around it."""

    __slots__ = ("_holder", "_offset")

    def __init__(self, holder: str, hole: scan.Hole, draft: Draft | None) -> None:
        self._holder, self._offset = holder, hole.offset
        super().__init__(hole.source, draft=draft, where=_place(holder, hole.offset))

    def _at(self, offset: int) -> Where:
        return _place(self._holder, self._offset + offset)


class Text:
    """A string with ``${…}`` in it: what is said, shown or sent."""

    __slots__ = ("parts", "source", "where")

    def __init__(self, source: str, *, draft: Draft | None = None) -> None:
        self.source = str(source)
        self.where = where_of(source)
        self.parts: tuple[str | Expression, ...] = _parts(source, draft)

    @property
    def literal(self) -> str | None:
        """The text when it holds no expressions, else None."""
        if not self.parts:
            return ""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], str) else None

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions in order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    def render(self, context: Mapping[str, Any], escape: Callable[[str], str] = str) -> str:
        """The text with every expression evaluated; a value that is null leaves nothing. Raises `ExpressionError`.

        ``escape`` is applied to values only, for texts in which characters have a meaning (a URL).
        """
        rendered = "".join(
            part if isinstance(part, str) else escape(in_text(part.evaluate(context))) for part in self.parts
        )
        if len(rendered) > MAX_RESULT:
            raise ExpressionError(f"the text is longer than {MAX_RESULT:,} characters", self.where)
        return rendered

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"Text({self.source!r})"

    @classmethod
    def read(cls, value: Any, draft: Draft | None) -> Text:
        """A text from a flow's value. Raises `MistakeError`."""
        if isinstance(value, Text):
            return value
        if not isinstance(value, str):
            shown = json.dumps(value) if isinstance(value, bool | int | float) else "this value"
            raise MistakeError(where_of(value), "E203", f"{shown} must be a text; put it in quotes")
        return cls(value, draft=draft)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return ReadBy(cls.read, {"type": "string"}).core_schema()


class Value:
    """Any YAML value with ``${…}`` inside its strings. A string that is one ``${…}`` and nothing else keeps that
    value's type."""

    __slots__ = ("_evaluate", "expressions", "source", "where")

    def __init__(self, source: Any, *, draft: Draft | None = None) -> None:
        self.source = source
        self.where = where_of(source)
        found: list[Expression] = []
        self._evaluate = _evaluator(source, draft, found)
        self.expressions: tuple[Expression, ...] = tuple(found)

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """The value with every expression evaluated. Raises `ExpressionError`."""
        return self._evaluate(context)

    @property
    def type(self) -> str:
        """Its type as far as the check knows it."""
        if isinstance(self.source, str):
            return self.expressions[0].type if _whole(self.source) else "string"
        kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (Mapping, "object"), (list, "array"))
        return next((kind for python, kind in kinds if isinstance(self.source, python)), "any")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and bool(other.source == self.source)

    def __hash__(self) -> int:
        return hash(repr(self.source))

    def __repr__(self) -> str:
        return f"Value({self.source!r})"

    @classmethod
    def read(cls, value: Any, draft: Draft | None) -> Value:
        """A value from a flow. Raises `MistakeError`."""
        return value if isinstance(value, Value) else cls(value, draft=draft)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return ReadBy(cls.read, {}).core_schema()


def in_text(value: Any) -> str:
    """A value as it stands in a text: JSON for lists and objects, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _place(holder: str, offset: int) -> Where:
    return holder.at(offset) if isinstance(holder, Str) else NOWHERE


def _parts(source: str, draft: Draft | None) -> tuple[str | Expression, ...]:
    try:
        pieces = scan.cut(source)
    except scan.TemplateError as error:
        raise MistakeError(_place(source, error.offset), "E304", error.message) from error
    return tuple(piece if isinstance(piece, str) else _Hole(source, piece, draft) for piece in pieces)


def _whole(source: str) -> bool:
    pieces = scan.cut(source)
    return len(pieces) == 1 and isinstance(pieces[0], scan.Hole)


def _evaluator(source: Any, draft: Draft | None, found: list[Expression]) -> Callable[[Mapping[str, Any]], Any]:
    if isinstance(source, str):
        text = Text(source, draft=draft)
        found.extend(text.expressions)
        if text.literal is not None:
            literal = text.literal
            return lambda context: literal
        return text.parts[0].evaluate if len(text.parts) == 1 and isinstance(text.parts[0], Expression) else text.render
    if isinstance(source, Mapping):
        members = {str(key): _evaluator(value, draft, found) for key, value in source.items()}
        return lambda context: {key: evaluate(context) for key, evaluate in members.items()}
    if isinstance(source, list | tuple):
        items = [_evaluator(value, draft, found) for value in source]
        return lambda context: [evaluate(context) for evaluate in items]
    return lambda context: source
