"""The record of a call: what happened, step by step, as it is kept and shown.

A record is filled in while the call lives and stored at its start, at every step boundary and at its end, so that a
crash loses no more than the step it interrupts. Times are UTC; durations are milliseconds. Values of variables declared
``sensitive`` never get here, but for what a caller or a model says of them in words of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainSerializer


def written(amount: Decimal) -> str:
    """An amount of money without an exponent and without zeros at its end."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


Money = Annotated[Decimal, PlainSerializer(written, when_used="json")]


def utc_now() -> datetime:
    """The present moment, with its zone."""
    return datetime.now(UTC)


class Leg(BaseModel):
    """One party of the call: the caller, or a hand-off target."""

    id: str
    kind: Literal["caller", "target"]
    party: str = ""  # a number, or a target as the flow wrote it
    started: datetime = Field(default_factory=utc_now)
    answered: datetime | None = None
    ended: datetime | None = None
    cause: int | None = None  # Q.850
    sip_code: int | None = None


class Attempt(BaseModel):
    """One target that was dialled in a hand-off, and how that ended."""

    step: str
    target: str
    status: str  # ringing, then answered, no_answer, busy, declined, machine, unavailable, failed, cancelled
    reason: str = ""  # why it could not be dialled at all, in words
    sip_code: int | None = None
    q850: int | None = None
    ring_ms: int = 0
    key: str = ""  # with which a person who answered took or declined the call
    key_ms: int | None = None  # from their answer
    started: datetime = Field(default_factory=utc_now)


class StepTrace(BaseModel):
    """One step that ran. ``path`` is its place in the flow, ``where`` its file and line."""

    id: str | None = None
    path: str
    verb: str
    where: str
    started: datetime = Field(default_factory=utc_now)
    ms: int | None = None  # None while it runs
    outcome: str | None = None
    detail: str = ""
    data: dict[str, Any] = Field(default_factory=dict)


class Spoken(BaseModel):
    """One thing said. ``heard`` is False for what the caller interrupted before it was played."""

    role: Literal["caller", "voice", "system"]
    text: str
    at: datetime = Field(default_factory=utc_now)
    step: str = ""
    interrupted: bool = False
    improvised: bool = False  # in the model's own words, not the flow's


class ToolUse(BaseModel):
    """One tool that the model called."""

    name: str
    at: datetime = Field(default_factory=utc_now)
    ms: int | None = None
    outcome: str = ""  # ok, error, timeout, unconfirmed, cancelled, late (after the model had left)
    step: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)


class KeyPress(BaseModel):
    """One key that a step or a handler read. ``key`` is `HIDDEN` when it belongs to a secret."""

    key: str
    at: datetime = Field(default_factory=utc_now)
    step: str = ""


class Request(BaseModel):
    """One request to an endpoint. ``answer`` is the outline of what came back (`engine.discretion`), ``ms`` without an
    end while it waits."""

    endpoint: str
    method: str
    path: str
    at: datetime = Field(default_factory=utc_now)
    ms: int | None = None
    outcome: str = "cancelled"  # or: ok, http_error, timeout
    status: int = 0
    step: str = ""
    answer: Any = None


class Written(BaseModel):
    """What the text model was asked for: data, a brief, a summary. ``answer``: its words, of secrets the outline."""

    at: datetime = Field(default_factory=utc_now)
    ms: int | None = None
    outcome: str = "cancelled"  # or: ok, failed
    step: str = ""
    answer: str = ""


class Tokens(BaseModel):
    """What a provider counted for one of its models, and what that cost.

    ``costs`` has the cost of each kind of unit that is charged for; ``unpriced`` the kinds that were used and of which
    nobody knows the price.
    """

    provider: str
    model: str = ""
    turns: int = 0
    input_text: int = 0
    input_audio: int = 0
    cached: int = 0  # of the input
    output_text: int = 0
    output_audio: int = 0
    cached_audio: int = 0  # of ``cached``
    seconds_heard: float = 0.0
    seconds_spoken: float = 0.0
    seconds_session: float = 0.0
    characters: int = 0
    items: int = 0
    cost: Money = Decimal(0)
    costs: dict[str, Money] = Field(default_factory=dict)
    unpriced: list[str] = Field(default_factory=list)


class CallRecord(BaseModel):
    """A whole call."""

    id: str
    engine: str = ""
    flow: str = ""
    revision: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    did: str = ""
    caller: str = ""
    caller_name: str = ""
    trunk: str = ""
    started: datetime = Field(default_factory=utc_now)
    answered: datetime | None = None
    ended: datetime | None = None
    outcome: str = "live"  # then: completed, caller_hung_up, handed_off, refused, failed, lost
    hangup_by: Literal["", "caller", "flow", "target", "engine", "supervisor"] = ""
    cause: int | None = None
    error: str = ""  # what first went wrong, in words, also when the flow had an answer to it
    result: str = ""  # the flow's own result (`hangup: {result: …}`)
    headers: dict[str, str] = Field(default_factory=dict)  # of the INVITE, as far as flows may read them
    input: dict[str, Any] = Field(default_factory=dict)  # of the flow
    legs: list[Leg] = Field(default_factory=list)
    attempts: list[Attempt] = Field(default_factory=list)
    steps: list[StepTrace] = Field(default_factory=list)
    transcript: list[Spoken] = Field(default_factory=list)
    tools: list[ToolUse] = Field(default_factory=list)
    presses: list[KeyPress] = Field(default_factory=list)
    requests: list[Request] = Field(default_factory=list)
    written: list[Written] = Field(default_factory=list)
    tokens: list[Tokens] = Field(default_factory=list)
    cost: Money = Decimal(0)  # of everything in ``tokens``, in ``currency``
    currency: str = ""
    timings: dict[str, float] = Field(default_factory=dict)  # ms: setup, first_audio, barge_in, …
