"""What the API answers and takes: the models of docs/api.md, of which the OpenAPI document is made.

Nothing here knows of calls; `engine.console.views` fills them in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Role = Literal["viewer", "analyst", "supervisor", "admin"]
State = Literal[
    "starting", "in_flow", "listening", "caller_speaking", "thinking", "ai_speaking", "ringing_target", "with_person",
    "ended",
]  # fmt: skip
Right = Literal["live", "values", "history", "recordings", "listen", "act", "audit"]


def rfc3339(moment: datetime) -> str:
    """A time in UTC with milliseconds: ``2026-03-04T09:30:00.125Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


class Model(BaseModel):
    """Every field is always there; what has no value is null."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class Problem(Model):
    """An error (RFC 9457). ``type`` tells them apart: ``urn:hookflash:problem:not-possible``."""

    type: str
    title: str
    status: int
    detail: str
    reasons: list[str] = Field(default_factory=list)


# ── Who ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Login(Model):
    """A token, to be exchanged for a session."""

    token: str = Field(min_length=1, max_length=200)


class Session(Model):
    """Who I am. ``open``: nobody has a token here, and the engine serves this machine alone."""

    name: str
    role: Role
    may: list[Right]
    open: bool = False
    csrf: str | None = None  # for the header X-CSRF-Token; null with a header's token
    expires: Moment | None = None


class AuditEntry(Model):
    """One line of the audit log."""

    at: Moment
    who: str
    role: str
    source: str
    action: str
    call: str | None = None
    detail: str = ""


class AuditPage(Model):
    """The newest lines of the audit log, newest first."""

    entries: list[AuditEntry]


# ── The engine ────────────────────────────────────────────────────────────────────────────────────────────────────────


class EngineHealth(Model):
    """How the engine is. ``reasons`` say why no call can be taken now."""

    name: str
    version: str
    started: Moment
    now: Moment
    ready: bool
    reasons: list[str]
    draining: bool
    asterisk: bool
    calls: int
    capacity: int
    watchers: int
    listeners: int
    voices: list[str]
    revision: str


class FlowHead(Model):
    """A flow that new calls can get; ``next``: a next version of it is being tried."""

    name: str
    version: int
    revision: str
    description: str
    next: bool


class Flows(Model):
    """All flows; ``revision`` is that of all files together."""

    revision: str
    flows: list[FlowHead]


class GraphNode(Model):
    """A step, or where a section, a handler or the flow begins or ends. ``line``: of the file, 0 without one."""

    id: str
    kind: Literal["start", "over", "section", "handler", "step", "wait", "leave", "disabled"]
    title: str
    detail: str
    line: int


class GraphEdge(Model):
    """A way. ``labels`` are the outcomes that lead it; ``is_call``: it comes back."""

    source: str
    target: str
    labels: list[str]
    is_call: bool


class FlowGraph(Model):
    """A flow as a graph. ``current`` is false when it has changed since the call."""

    name: str
    version: int
    revision: str
    description: str
    current: bool = True
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class Graphs(Model):
    """The flow of a call, then those that it called."""

    flows: list[FlowGraph]


# ── Calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CallSummary(Model):
    """A call in a list."""

    id: str
    flow: str
    revision: str
    direction: Literal["inbound", "outbound"]
    caller: str
    caller_name: str
    did: str
    trunk: str
    state: State
    step: str | None
    verb: str | None
    step_flow: str | None
    step_path: str | None
    voice: str | None
    target: str | None
    started: Moment
    answered: Moment | None
    ended: Moment | None
    outcome: str
    hangup_by: str
    error: str
    response_ms: int | None
    cost: float | None
    currency: str
    listeners: int
    recorded: bool


class _Entry(Model):
    id: str
    at: Moment
    step_flow: str | None = None
    step_path: str | None = None


class CallEntry(_Entry):
    """The call itself: it began, was answered, ended (Q.850 ``cause``)."""

    kind: Literal["call"] = "call"
    event: Literal["started", "answered", "ended"]
    by: str = ""
    cause: int | None = None
    cause_text: str = ""


class StepEntry(_Entry):
    """A step; ``ms`` and ``outcome`` are null while it runs."""

    kind: Literal["step"] = "step"
    step: str | None
    verb: str
    line: int
    ms: int | None
    outcome: str | None
    detail: str
    data: dict[str, Any]


class SaidEntry(_Entry):
    """Something that was said."""

    kind: Literal["said"] = "said"
    role: Literal["caller", "voice", "system"]
    text: str
    interrupted: bool


class ToolEntry(_Entry):
    """A tool that the model used; ``outcome`` is empty while it runs."""

    kind: Literal["tool"] = "tool"
    name: str
    ms: int | None
    outcome: str
    arguments: dict[str, Any]


class KeyEntry(_Entry):
    """A key that the flow read."""

    kind: Literal["key"] = "key"
    key: str


class AttemptEntry(_Entry):
    """Somebody who was rung."""

    kind: Literal["attempt"] = "attempt"
    target: str
    status: str
    ring_ms: int
    sip_code: int | None
    q850: int | None
    cause_text: str
    reason: str
    by: Literal["flow", "supervisor"]


Entry = Annotated[CallEntry | StepEntry | SaidEntry | ToolEntry | KeyEntry | AttemptEntry, Field(discriminator="kind")]


class Interim(Model):
    """What is being said and is no entry yet."""

    caller: str = ""
    voice: str = ""


class Variable(Model):
    """A variable of a flow; a masked one has no value here."""

    flow: str
    name: str
    value: Any
    masked: bool


class RecordingHead(Model):
    """A sound file of a call."""

    number: int
    url: str
    started: Moment
    ms: int
    bytes: int
    complete: bool


class TokenCount(Model):
    """What a provider counted."""

    provider: str
    model: str
    turns: int
    input_text: int
    input_audio: int
    cached: int
    output_text: int
    output_audio: int
    cost: float


class Possible(Model):
    """Whether something can be done now, and why not."""

    possible: bool
    reasons: list[str]


class CallDetail(Model):
    """One call with everything that is known of it."""

    call: CallSummary
    live: bool
    result: str
    entries: list[Entry]
    interim: Interim
    variables: list[Variable]
    recordings: list[RecordingHead]
    tokens: list[TokenCount]
    timings: dict[str, float]
    handoff: Possible


class LiveCalls(Model):
    """The live calls, oldest first."""

    now: Moment
    calls: list[CallSummary]


class History(Model):
    """Past calls, newest first; ``next`` is the cursor of the next page."""

    calls: list[CallSummary]
    next: str | None


# ── Actions ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Target(Model):
    """Somebody to whom a call can be handed."""

    name: str
    target: str | None
    kind: Literal["destination", "group"]


class Targets(Model):
    """Whom a call can be handed to, and whether it can be now."""

    targets: list[Target]
    possible: bool
    reasons: list[str]


class HandoffRequest(Model):
    """The name of a target."""

    target: str = Field(min_length=1, max_length=200)


class ActionResult(Model):
    """What was begun."""

    action: Literal["hangup", "handoff"]
    call: str
    target: str | None = None
    status: Literal["ringing", "hanging_up"]
    key: str


class AudioTicket(Model):
    """Lets one WebSocket in, once."""

    ticket: str
    expires: Moment
    url: str
