"""What `GET /events` tells: the models of docs/api.md, Events. (`CallSummary` and `EngineHealth` are told, too.)"""

from __future__ import annotations

from typing import Literal

from engine.console.models import (
    CallDetail,
    CallSummary,
    EngineHealth,
    Entry,
    Interim,
    Model,
    Moment,
    RecordingHead,
    Variable,
)


class Reset(Model):
    """Forget everything: this is how it is now."""

    reason: Literal["start", "gap", "slow"]
    now: Moment
    engine: EngineHealth
    calls: list[CallSummary]
    detail: CallDetail | None


class EntryEvent(Model):
    """An entry of a call that is new or has changed."""

    call: str
    entry: Entry


class InterimEvent(Interim):
    """What is being said in a call."""

    call: str


class VariablesEvent(Model):
    """All variables of a call."""

    call: str
    variables: list[Variable]


class RecordingsEvent(Model):
    """All recordings of a call."""

    call: str
    recordings: list[RecordingHead]


class Heartbeat(Model):
    """The connection lives."""

    now: Moment
