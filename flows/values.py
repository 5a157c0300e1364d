"""Field types for what flows are full of: durations, telephone numbers, keys, names of things declared elsewhere,
nested steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from flows.draft import Draft, ReadBy
from flows.problems import NOWHERE, MistakeError
from flows.reader import Seq, Str, where_of

if TYPE_CHECKING:
    from flows.flow import Step

RESERVED = frozenset({"on", "off", "yes", "no", "y", "n", "true", "false", "null"})
"""YAML 1.1 booleans and constants: no name may be one, since other tools rewrite them."""
_CEL_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop", "namespace",
    "package", "return", "var", "void", "while",
})  # fmt: skip
STEPS_TITLE = "Steps"
"""Marks lists of steps in a verb's JSON Schema, where `flows.schema` puts a reference to the schema of steps."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_DIGITS = re.compile(r"[0-9*#A-D]+")


def read_duration(value: Any, draft: Draft | None = None) -> float:
    """Seconds, from ``30s``, ``2m``, ``500ms`` or ``1h30m``. Raises `MistakeError`."""
    if isinstance(value, float) and draft is None:
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and value.strip() else None
    if not match:
        shown = f"{value}s" if isinstance(value, int | float) and not isinstance(value, bool) else "30s"
        raise MistakeError(
            where_of(value), "E203", f"{value!r} is not a duration; give it a unit, such as {shown} or 2m"
        )
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def read_identifier(value: Any, what: str) -> str:
    """A name that expressions can use: letters, digits and ``_``. Raises `MistakeError`."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        message = f"{value!r} cannot be {what}; use letters, digits and '_', not starting with a digit"
        raise MistakeError(where_of(value), "E203", message)
    if value.lower() in RESERVED or value in _CEL_RESERVED:
        raise MistakeError(where_of(value), "E105", f"'{value}' is a reserved word and cannot be {what}")
    return value


def _read_digits(value: Any, draft: Draft | None) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        raise MistakeError(where_of(value), "E203", f"{value!r} are not telephone keys; use 0-9, *, # and A-D")
    return text


def _read_phone(value: Any, draft: Draft | None) -> str:
    if not isinstance(value, str) or not _PHONE.fullmatch(value):
        message = f'{value!r} is not a telephone number in E.164, such as "+14155550100"'
        raise MistakeError(where_of(value), "E203", message)
    return value


def _name_of(kind: str) -> Callable[[Any, Draft | None], str]:
    def read(value: Any, draft: Draft | None) -> str:
        if not isinstance(value, str) or not value:
            raise MistakeError(where_of(value), "E203", f"this must be the name of a {kind}")
        if "${" in value:
            raise MistakeError(where_of(value), "E203", f"the name of a {kind} is fixed; '${{…}}' cannot be used in it")
        if draft is not None:
            draft.refer(kind, value, value.where if isinstance(value, Str) else NOWHERE)
        return value

    return read


def _read_steps(value: Any, draft: Draft | None) -> tuple[Step, ...]:
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Seq) or draft is None:
        raise MistakeError(where_of(value), "E203", "this must be a list of steps")
    return draft.read_steps(value)


def _names(kind: str) -> ReadBy:
    return ReadBy(_name_of(kind), {"type": "string"})


Duration = Annotated[float, ReadBy(read_duration, {"type": "string", "examples": ["500ms", "30s", "2m", "1h30m"]})]
"""A span of time: seconds in the model, ``30s``, ``2m``, ``500ms``, ``1h30m`` in the file."""
Digits = Annotated[str, ReadBy(_read_digits, {"type": ["string", "integer"], "pattern": "^[0-9*#A-D]+$"})]
"""Telephone keys."""
PhoneNumber = Annotated[str, ReadBy(_read_phone, {"type": "string", "pattern": r"^\+[1-9][0-9]{6,14}$"})]
"""A telephone number in E.164, in quotes."""
SectionName = Annotated[str, _names("section")]
"""A section of the same flow."""
FlowName = Annotated[str, _names("flow")]
"""A flow of the same library."""
CalendarName = Annotated[str, _names("calendar")]
"""A calendar of resources.yaml."""
EndpointName = Annotated[str, _names("endpoint")]
"""An HTTP endpoint of resources.yaml."""
DestinationName = Annotated[str, _names("destination")]
"""A destination of resources.yaml."""
PromptName = Annotated[str, _names("prompt")]
"""A prompt of resources.yaml."""
if TYPE_CHECKING:
    Steps = tuple[Step, ...]
else:  # the data model of flows is built on these types, so it cannot be named here at run time
    Steps = Annotated[tuple[Any, ...], ReadBy(_read_steps, {"type": "array", "title": STEPS_TITLE})]
"""A list of steps inside a verb's own fields."""
