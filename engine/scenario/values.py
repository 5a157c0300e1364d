"""Values in a ``*.test.yaml`` that are more than text and numbers: moments, how targets answer, criteria of a judge."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated, Any, get_args

from engine.virtual.targets import Behaviour, Target, TargetError
from flows.draft import Draft, ReadBy
from flows.problems import MistakeError, Where, did_you_mean, has
from flows.reader import Map, Seq, where_of
from flows.values import read_duration

_ANSWERS: tuple[str, ...] = get_args(Behaviour)
# What else can be said of a target, with its type as `Target` writes it.
_TRAITS = {field.name: str(field.type) for field in dataclasses.fields(Target) if field.name not in ("status", "after")}
_TARGET_KEYS = (*_ANSWERS, *_TRAITS)


def _read_moment(value: Any, draft: Draft | None) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f'{value!r} is not a date and time with its zone, such as "2026-12-25T22:10:00-05:00"'
        raise MistakeError(where_of(value), "E203", message)
    return moment


def _read_targets(value: Any, draft: Draft | None) -> tuple[Target, ...]:
    """What becomes of a target each time it is rung: one for all times, or a list in order."""
    if isinstance(value, Seq) and value:
        return tuple(_target(item, value.value_at[index]) for index, item in enumerate(value))
    return (_target(value, where_of(value)),)


def _target(value: Any, where: Where) -> Target:
    if isinstance(value, Map):
        for key in value:
            if key not in _TARGET_KEYS:
                message = f"unknown key '{key}'{did_you_mean(key, _TARGET_KEYS) or has(_TARGET_KEYS)}"
                raise MistakeError(value.key_at[key], "E201", message)
        value = {key: _target_value(key, item) for key, item in value.items()}
    elif isinstance(value, str) and value not in _ANSWERS:
        raise MistakeError(where, "E203", f"'{value}' is no answer{did_you_mean(value, _ANSWERS) or has(_ANSWERS)}")
    try:
        return Target.of(value)
    except (TargetError, TypeError) as error:
        raise MistakeError(where, "E203", str(error)) from error


def _target_value(key: str, value: Any) -> Any:
    kind = _TRAITS.get(key, "float")
    if value is None:
        return None
    if "float" in kind:
        return read_duration(value)
    if kind == "str":
        return str(value)
    wanted = bool if kind == "bool" else int
    if type(value) is not wanted:
        words = "true or false" if wanted is bool else "a whole number"
        raise MistakeError(where_of(value), "E203", f"'{key}' must be {words}")
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class Criterion:
    """What a judge is asked of a call, and where it stands."""

    text: str
    where: Where


def _read_criterion(value: Any, draft: Draft | None) -> Criterion:
    if not isinstance(value, str) or not value.strip():
        raise MistakeError(where_of(value), "E203", "a criterion is a sentence that is true of a good call")
    return Criterion(str(value), where_of(value))


Moment = Annotated[datetime, ReadBy(_read_moment, {"type": "string", "format": "date-time"})]
"""A date and time with its zone, ISO 8601."""
Asked = Annotated[Criterion, ReadBy(_read_criterion, {"type": "string"})]
"""One criterion."""
TargetAnswers = Annotated[tuple[Target, ...], ReadBy(_read_targets, {})]
"""How a target answers."""
