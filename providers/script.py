"""The scripted conversation of the rehearsal voice: what may stand in it, and filling in what tools answered. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from providers.voice import VoiceError


@dataclass(frozen=True, slots=True)
class Say:
    """Speak. ``${result.…}`` is filled in from the last tool's answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait until the caller has said something, whatever it was."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a tool and wait for its answer."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Step = Say | Hear | Call
KINDS = ("say", "hear", "call", "finish")
FINISH = "finish"

_HOLE = re.compile(r"\$\{\s*result((?:\.[A-Za-z0-9_]+)*)\s*\}")


def parse(script: object) -> tuple[Step, ...]:
    """The steps of a script as YAML gave it.

    Raises:
        VoiceError: naming the step (counted from 1) and what may stand there.
    """
    if not isinstance(script, Sequence) or isinstance(script, str):
        raise VoiceError(f"script must be a list of steps, not {_kind(script)}", code="script")
    return tuple(_step(number, raw) for number, raw in enumerate(script, 1))


def _step(number: int, raw: object) -> Step:
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise VoiceError(f"script step {number} must be one of {', '.join(KINDS)} with its value", code="script")
    [(key, value)] = raw.items()
    match key, value:
        case "say", str() if value.strip():
            return Say(value)
        case "say", _:
            raise VoiceError(f"script step {number}: say needs a text", code="script")
        case "hear", "any":
            return Hear()
        case "hear", _:
            raise VoiceError(
                f"script step {number}: hear can only be 'any': this voice does not understand speech", code="script"
            )
        case "call", _:
            fields = _fields(number, "call", value, required="tool", other="with")
            return Call(fields["tool"], fields.get("with") or {})
        case "finish", _:
            fields = _fields(number, "finish", value, required="exit", other="data")
            return Call(FINISH, {name: fields[name] for name in ("exit", "data") if fields.get(name)})
    close = get_close_matches(str(key), KINDS, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise VoiceError(f"script step {number}: unknown key '{key}'{hint}; it may be {', '.join(KINDS)}", code="script")


def _fields(number: int, kind: str, value: object, *, required: str, other: str) -> Mapping[str, Any]:
    shape = f"{{{required}: …, {other}: {{…}}}}"
    if not isinstance(value, Mapping) or not isinstance(value.get(required), str) or not value[required]:
        raise VoiceError(f"script step {number}: {kind} must be written {shape}", code="script")
    unknown = [str(name) for name in value if name not in (required, other)]
    if unknown or not isinstance(value.get(other) or {}, Mapping):
        wrong = f"unknown key '{unknown[0]}'" if unknown else f"'{other}' is not a mapping"
        raise VoiceError(f"script step {number}: {wrong}; {kind} must be written {shape}", code="script")
    return value


def fill(value: Any, result: Any) -> Any:
    """``value`` with every ``${result.a.b}`` replaced. A text that is nothing but one hole takes the value's own type.

    What the result does not have becomes an empty text.
    """
    if isinstance(value, str):
        whole = _HOLE.fullmatch(value)
        if whole:
            return _look_up(result, whole[1])
        return _HOLE.sub(lambda hole: _spoken(_look_up(result, hole[1])), value)
    if isinstance(value, Mapping):
        return {key: fill(item, result) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, result) for item in value]
    return value


def _look_up(result: Any, path: str) -> Any:
    for name in path.split(".")[1:]:
        if isinstance(result, Mapping) and name in result:
            result = result[name]
        elif isinstance(result, list) and name.isdigit() and int(name) < len(result):
            result = result[int(name)]
        else:
            return ""
    return result


def _spoken(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
