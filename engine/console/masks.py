"""What a viewer does not see: numbers, texts with digits, values. Models in, models out."""

from __future__ import annotations

import re
from typing import Final

from engine.console.event_models import EntryEvent, RecordingsEvent, Reset, VariablesEvent
from engine.console.models import (
    AttemptEntry,
    CallDetail,
    CallSummary,
    Entry,
    Interim,
    KeyEntry,
    Model,
    SaidEntry,
    StepEntry,
    ToolEntry,
    Variable,
)

DOT: Final = "•"
_DIGITS: Final = re.compile(r"\d(?:[\s.,/()-]*\d)+")  # also such as people write and recognisers hear: 4111 1111, 12.5
_NUMBER: Final = re.compile(r"\+?\d{5,}")


def number(written: str) -> str:
    """A telephone number of which the beginning and the last three digits stay: ``+1•••••••199``."""
    digits = written.lstrip("+")
    if not digits:
        return written
    plus = "+" if written.startswith("+") else ""
    if len(digits) < 7:
        return plus + DOT * len(digits)
    return plus + digits[0] + DOT * (len(digits) - 4) + digits[-3:]


def text(said: str) -> str:
    """A text without digits that stand together: two or more could be a part of a number, a date, a price."""
    return _DIGITS.sub(DOT * 3, said)


def target(written: str) -> str:
    """A target whose telephone number is masked; a name stays: ``pjsip:front-desk``, ``tel:+1•••••••100``."""
    return _NUMBER.sub(lambda found: number(found[0]), written)


def masked(model: Model) -> Model:
    """An answer or an event without what a viewer must not see."""
    match model:
        case CallSummary():
            return summary(model)
        case EntryEvent():
            return model.model_copy(update={"entry": entry(model.entry)})
        case Interim():
            return interim(model)
        case VariablesEvent():
            return model.model_copy(update={"variables": variables(model.variables)})
        case RecordingsEvent():
            return model.model_copy(update={"recordings": []})
        case Reset(calls=calls, detail=about):
            update = {"calls": [summary(call) for call in calls], "detail": None if about is None else detail(about)}
            return model.model_copy(update=update)
    return model


def summary(call: CallSummary) -> CallSummary:
    """A call in a list."""
    shown = {"caller": number(call.caller), "caller_name": "", "error": text(call.error)}
    return call.model_copy(update={**shown, "target": None if call.target is None else target(call.target)})


def detail(call: CallDetail) -> CallDetail:
    """A whole call."""
    return call.model_copy(
        update={
            "call": summary(call.call), "result": text(call.result), "entries": [entry(one) for one in call.entries],
            "interim": interim(call.interim), "variables": variables(call.variables), "recordings": [],
        }
    )  # fmt: skip


def interim(said: Interim) -> Interim:
    """What is being said."""
    return said.model_copy(update={"caller": text(said.caller), "voice": text(said.voice)})


def variables(found: list[Variable]) -> list[Variable]:
    """No values at all."""
    return [one.model_copy(update={"value": None, "masked": True}) for one in found]


def entry(shown: Entry) -> Entry:
    """A part of the timeline."""
    match shown:
        case StepEntry():
            return shown.model_copy(update={"detail": text(shown.detail), "data": {}})
        case SaidEntry():
            return shown.model_copy(update={"text": text(shown.text)})
        case KeyEntry():
            return shown.model_copy(update={"key": DOT})
        case ToolEntry():
            return shown.model_copy(update={"arguments": {}})
        case AttemptEntry():
            return shown.model_copy(update={"target": target(shown.target), "reason": text(shown.reason)})
    return shown
