"""The timeline of a call: what its record tells of steps, words, tools, keys and attempts, as entries in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from engine.console.models import AttemptEntry, CallEntry, Entry, KeyEntry, SaidEntry, StepEntry, ToolEntry
from engine.console.places import Places, plain
from engine.record import Attempt, CallRecord, KeyPress, Spoken, StepTrace, ToolUse
from engine.records.timeline import cause_text
from engine.steering import BY_SUPERVISOR

T = TypeVar("T")
Mark = tuple[Any, ...]  # what of an entry may change: when it differs the entry has changed
Part = tuple[str, Mark, Callable[[], Entry]]  # an entry's id, its mark, and how it is made


class Timeline:
    """The entries of a record. `changes` gives those that are new or another than when it was asked last."""

    def __init__(self, record: CallRecord, places: Places) -> None:
        self._record = record
        self._places = places
        self._marks: dict[str, Mark] = {}
        self._flows: dict[str, str | None] = {}  # path of a step -> its flow
        self._indexed = 0

    def all(self) -> list[Entry]:
        """Every entry, in the order of time."""
        return sorted((make() for _, _, make in self._parts()), key=lambda entry: entry.at)

    def changes(self) -> list[Entry]:
        """Entries that are new or have changed, in the order of time."""
        found: list[Entry] = []
        for id_, mark, make in self._parts():
            if self._marks.get(id_) != mark:
                self._marks[id_] = mark
                found.append(make())
        return sorted(found, key=lambda entry: entry.at)

    def _parts(self) -> Iterator[Part]:
        record = self._record
        self._index()
        yield "call-started", (), self._started
        if record.answered is not None:
            yield "call-answered", (), self._answered
        yield from _each("step", record.steps, lambda one: (one.ms, one.outcome, one.detail), self._step)
        yield from _each("said", record.transcript, lambda one: (one.text, one.interrupted), self._said)
        yield from _each("tool", record.tools, lambda one: (one.ms, one.outcome), self._tool)
        yield from _each("key", record.presses, lambda one: (), self._key)
        yield from _each(
            "attempt", record.attempts, lambda one: (one.status, one.ring_ms, one.sip_code, one.q850, one.reason),
            self._attempt,
        )  # fmt: skip
        if record.ended is not None:
            yield "call-ended", (record.cause, record.hangup_by), self._ended

    # ── Each kind ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _started(self) -> CallEntry:
        return CallEntry(id="call-started", at=self._record.started, event="started")

    def _answered(self) -> CallEntry:
        return CallEntry(id="call-answered", at=self._record.answered or self._record.started, event="answered")

    def _ended(self) -> CallEntry:
        record = self._record
        return CallEntry(
            id="call-ended", at=record.ended or record.started, event="ended", by=record.hangup_by, cause=record.cause,
            cause_text=cause_text(record.cause),
        )  # fmt: skip

    def _step(self, id_: str, step: StepTrace) -> StepEntry:
        return StepEntry(
            id=id_, at=step.started, step_flow=self._places.flow(step.where), step_path=step.path, step=step.id,
            verb=step.verb, line=self._places.line(step.where), ms=step.ms, outcome=step.outcome, detail=step.detail,
            data=plain(step.data),
        )  # fmt: skip

    def _said(self, id_: str, said: Spoken) -> SaidEntry:
        return SaidEntry(
            id=id_, at=said.at, role=said.role, text=said.text, interrupted=said.interrupted, **self._place(said.step)
        )

    def _tool(self, id_: str, tool: ToolUse) -> ToolEntry:
        return ToolEntry(
            id=id_, at=tool.at, name=tool.name, ms=tool.ms, outcome="" if tool.ms is None else tool.outcome,
            arguments=plain(tool.arguments), **self._place(tool.step),
        )  # fmt: skip

    def _key(self, id_: str, press: KeyPress) -> KeyEntry:
        return KeyEntry(id=id_, at=press.at, key=press.key, **self._place(press.step))

    def _attempt(self, id_: str, attempt: Attempt) -> AttemptEntry:
        by_supervisor = attempt.step == BY_SUPERVISOR
        return AttemptEntry(
            id=id_, at=attempt.started, target=attempt.target, status=attempt.status, ring_ms=attempt.ring_ms,
            sip_code=attempt.sip_code, q850=attempt.q850, cause_text=cause_text(attempt.q850), reason=attempt.reason,
            by="supervisor" if by_supervisor else "flow",
            **self._place("" if by_supervisor else self._path_of(attempt.step)),
        )  # fmt: skip

    # ── Where ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _index(self) -> None:
        """Learn to which flow the paths of new steps belong; of two flows with the same path the later one counts."""
        steps = self._record.steps
        for step in steps[self._indexed :]:
            self._flows[step.path] = self._places.flow(step.where)
        self._indexed = len(steps)

    def _place(self, path: str) -> dict[str, str | None]:
        return {"step_flow": self._flows.get(path), "step_path": path or None}

    def _path_of(self, name: str) -> str:
        """The path of a step that an attempt names by its id, or by its path."""
        return next((step.path for step in reversed(self._record.steps) if step.id == name), name)


def _each(kind: str, items: Sequence[T], mark: Callable[[T], Mark], make: Callable[[str, T], Entry]) -> Iterator[Part]:
    for number, item in enumerate(items):
        id_ = f"{kind}-{number}"
        yield id_, mark(item), partial(make, id_, item)
