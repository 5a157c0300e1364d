"""Calls as the API shows them: from a live call or a record to the models. `engine.console.masks` hides values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.call import Call
from engine.console.models import (
    AttemptEntry,
    CallEntry,
    CallSummary,
    Entry,
    Interim,
    KeyEntry,
    SaidEntry,
    State,
    StepEntry,
    TokenCount,
    ToolEntry,
    Variable,
)
from engine.record import Attempt, CallRecord, StepTrace
from engine.records.timeline import cause_text
from engine.run import Walker
from engine.steering import BY_SUPERVISOR
from flows.library import Library


@dataclass(slots=True)
class Places:
    """Which flow a step belongs to, by the file that its trace names."""

    flows: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, library: Library) -> Places:
        """Of all flows of a library."""
        return cls({flow.file: flow.name for flow in (*library.next.values(), *library.flows.values())})

    def flow(self, where: str) -> str | None:
        """The flow of a place such as ``reception.flow.yaml:7:3``; None when that flow is gone."""
        return self.flows.get(where.rsplit(":", 2)[0])


# ── Summaries ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def summary(call: Call, places: Places, *, listeners: int = 0) -> CallSummary:
    """A live call in the list."""
    record = call.record
    running = next((step for step in reversed(record.steps) if step.ms is None), None)
    recording = call.recording
    return _summary(
        record, places, running or (record.steps[-1] if record.steps else None), listeners=listeners,
        state=state_of(call), voice=call.live.voice, response_ms=call.live.response_ms,
        recorded=recording is not None, target=_with_whom(record),
    )  # fmt: skip


def past(record: CallRecord, places: Places, *, recorded: bool = False) -> CallSummary:
    """A call that is over, or is no call of this engine's any more."""
    last = record.steps[-1] if record.steps else None
    voice = record.tokens[-1].provider.partition("/")[0] if record.tokens else None
    return _summary(
        record, places, last, listeners=0, state="ended", voice=voice, response_ms=None,
        recorded=recorded, target=_answered(record),
    )  # fmt: skip


def _summary(
    record: CallRecord, places: Places, step: StepTrace | None, *, listeners: int, state: State,
    voice: str | None, response_ms: int | None, recorded: bool, target: str | None,
) -> CallSummary:  # fmt: skip
    return CallSummary(
        id=record.id, flow=record.flow, revision=record.revision, direction=record.direction,
        caller=record.caller, caller_name=record.caller_name, did=record.did, trunk=record.trunk, state=state,
        step=step.id if step else None, verb=step.verb if step else None,
        step_flow=places.flow(step.where) if step else None, step_path=step.path if step else None,
        voice=voice, target=target, started=record.started,
        answered=record.answered, ended=record.ended, outcome=record.outcome, hangup_by=record.hangup_by,
        error=record.error, response_ms=response_ms,
        cost=float(record.cost), currency=record.currency, listeners=listeners, recorded=recorded,
    )  # fmt: skip


def state_of(call: Call) -> State:
    """What goes on in a live call."""
    if call.is_over or call.record.ended is not None or call.line.ended.done():
        return "ended"
    if call.with_person:
        return "with_person"
    if any(attempt.status == "ringing" and attempt.step != BY_SUPERVISOR for attempt in call.record.attempts):
        return "ringing_target"
    if (doing := call.live.doing()) is not None:
        return doing
    return "in_flow" if call.line.is_answered else "starting"


def _with_whom(record: CallRecord) -> str | None:
    """Who is rung; else who answered last."""
    ringing = [attempt.target for attempt in record.attempts if attempt.status == "ringing"]
    return ", ".join(ringing) or _answered(record)


def _answered(record: CallRecord) -> str | None:
    return next((attempt.target for attempt in reversed(record.attempts) if attempt.status == "answered"), None)


# ── The timeline ──────────────────────────────────────────────────────────────────────────────────────────────────────

Mark = tuple[Any, ...]  # what an entry is made of, when two of them differ the entry has changed


class Timeline:
    """The entries of a record. `changes` gives those that are new or another than when it was asked last."""

    def __init__(self, record: CallRecord, places: Places) -> None:
        self._record = record
        self._places = places
        self._marks: dict[str, Mark] = {}
        self._files: dict[str, str | None] = {}  # path of a step -> its flow
        self._indexed = 0

    def all(self) -> list[Entry]:
        """Every entry, in the order of time."""
        found = [make() for _, _, make in self._parts()]
        return sorted(found, key=lambda entry: entry.at)

    def changes(self) -> list[Entry]:
        """Entries that are new or have changed."""
        found: list[Entry] = []
        for id_, mark, make in self._parts():
            if self._marks.get(id_) != mark:
                self._marks[id_] = mark
                found.append(make())
        return sorted(found, key=lambda entry: entry.at)

    def _parts(self) -> Iterator[tuple[str, Mark, Any]]:
        """Each entry's id, its mark, and how it is made."""
        record = self._record
        self._index()
        yield "call-started", (), lambda: CallEntry(id="call-started", at=record.started, event="started")
        if (answered := record.answered) is not None:
            yield "call-answered", (), lambda: CallEntry(id="call-answered", at=answered, event="answered")
        for n, step in enumerate(record.steps):
            yield f"step-{n}", (step.ms, step.outcome, step.detail), lambda n=n, step=step: self._step(n, step)
        for n, said in enumerate(record.transcript):
            yield f"said-{n}", (said.text, said.interrupted), lambda n=n, said=said: SaidEntry(
                id=f"said-{n}", at=said.at, role=said.role, text=said.text,
                interrupted=said.interrupted, **self._place(said.step),
            )  # fmt: skip
        for n, tool in enumerate(record.tools):
            yield f"tool-{n}", (tool.ms, tool.outcome), lambda n=n, tool=tool: ToolEntry(
                id=f"tool-{n}", at=tool.at, name=tool.name, ms=tool.ms,
                outcome="" if tool.ms is None else tool.outcome, arguments=_plain(tool.arguments),
                **self._place(tool.step),
            )  # fmt: skip
        for n, press in enumerate(record.presses):
            yield (
                f"key-{n}",
                (),
                lambda n=n, press=press: KeyEntry(id=f"key-{n}", at=press.at, key=press.key, **self._place(press.step)),
            )
        for n, attempt in enumerate(record.attempts):
            mark = (attempt.status, attempt.ring_ms, attempt.sip_code, attempt.q850, attempt.reason)
            yield f"attempt-{n}", mark, lambda n=n, attempt=attempt: self._attempt(n, attempt)
        if (ended := record.ended) is not None:
            yield "call-ended", (record.cause, record.hangup_by), lambda: CallEntry(
                id="call-ended", at=ended, event="ended", by=record.hangup_by, cause=record.cause,
                cause_text=cause_text(record.cause),
            )  # fmt: skip

    def _index(self) -> None:
        """Learn to which flow the paths of new steps belong; of two flows with the same path the later one counts."""
        steps = self._record.steps
        for step in steps[self._indexed :]:
            self._files[step.path] = self._places.flow(step.where)
        self._indexed = len(steps)

    def _place(self, path: str) -> dict[str, str | None]:
        return {"step_flow": self._files.get(path), "step_path": path or None}

    def _step(self, n: int, step: StepTrace) -> StepEntry:
        parts = step.where.rsplit(":", 2)
        return StepEntry(
            id=f"step-{n}", at=step.started, step_flow=self._places.flow(step.where), step_path=step.path, step=step.id,
            verb=step.verb, line=int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0, ms=step.ms,
            outcome=step.outcome, detail=step.detail,
            data=_plain(step.data),
        )  # fmt: skip

    def _attempt(self, n: int, attempt: Attempt) -> AttemptEntry:
        by_supervisor = attempt.step == BY_SUPERVISOR
        place = self._of_step(attempt.step)
        return AttemptEntry(
            id=f"attempt-{n}", at=attempt.started,
            target=attempt.target, status=attempt.status,
            ring_ms=attempt.ring_ms, sip_code=attempt.sip_code, q850=attempt.q850, cause_text=cause_text(attempt.q850),
            reason=attempt.reason,
            by="supervisor" if by_supervisor else "flow", **self._place("" if by_supervisor else place),
        )  # fmt: skip

    def _of_step(self, name: str) -> str:
        """The path of a step that an attempt names by its id, or by its path."""
        return next((step.path for step in reversed(self._record.steps) if step.id == name), name)


# ── The rest of a call ────────────────────────────────────────────────────────────────────────────────────────────────


def interim(call: Call) -> Interim:
    """What is being said."""
    return Interim(caller=call.live.caller_says, voice=call.live.voice_says)


def variables(call: Call) -> list[Variable]:
    """The variables of the flow that runs, then of the flows that called it; sensitive ones masked."""
    found = []
    walker: Walker | None = call.live.walker or call.walker
    while walker is not None:
        for name, value in walker.vars.items():
            hidden = walker.flow.vars[name].sensitive or f"vars.{name}" in walker.secret
            shown = None if hidden else _plain(value)
            found.append(Variable(flow=walker.flow.name, name=name, value=shown, masked=hidden))
        walker = walker.parent
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON does not know (a time) as text."""
    return json.loads(json.dumps(value, default=str))


def tokens(record: CallRecord) -> list[TokenCount]:
    """What providers counted."""
    shown = set(TokenCount.model_fields) - {"cost"}
    return [TokenCount(**used.model_dump(include=shown), cost=float(used.cost)) for used in record.tokens]


def called_flows(record: CallRecord, places: Places) -> Sequence[str]:
    """The names of the flows in which the call was, its own first."""
    named: Mapping[str, None] = dict.fromkeys([record.flow, *(places.flow(step.where) or "" for step in record.steps)])
    return [name for name in named if name]
