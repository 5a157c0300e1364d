"""What happened in a test, in one order: steps with their outcomes, what was heard, said, pressed, rung and asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.call import Call
from engine.record import StepTrace
from engine.scenario.phone import Phone
from engine.scenario.world import Endpoints
from engine.scenario.writing import Asked
from engine.virtual import Entry

_WORDS: Final[Mapping[str, str]] = {
    "heard": "hears", "cut": "hears", "said": "says", "sent_digits": "hears keys", "given_back": "is given back",
    "hung_up": "hung up by", "progress": "hears us before the answer", "refused": "does not answer:",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the trace, ``at`` seconds after the call came. ``key`` tells which thing it is."""

    at: float
    key: tuple[str, int]
    text: str
    place: str = ""  # file:line of a step


class Trace:
    """A view of a call that is running or over."""

    def __init__(self, call: Call, line: Phone, http: Endpoints, written: Sequence[Asked] = ()) -> None:
        self.call = call
        self.line = line
        self.http = http
        self.written = written  # what the text model was asked

    @property
    def steps(self) -> list[StepTrace]:
        """The steps that ran, in the order in which they began."""
        return self.call.record.steps

    @property
    def heard(self) -> Iterator[tuple[int, Entry]]:
        """What the caller was told in words, with its index in the line's log."""
        for index, entry in enumerate(self.line.log.entries):
            if entry.who == "caller" and entry.what in ("heard", "cut") and entry.text and entry.ms:
                yield index, entry

    def began(self, step: StepTrace) -> float:
        """Seconds after the call came."""
        return (step.started - self.call.record.started).total_seconds()

    def connected(self, step: StepTrace) -> float | None:
        """After how many seconds of a step a person was put through; None when nobody was."""
        began = self.began(step)
        ends = float("inf") if step.ms is None else began + step.ms / 1000
        found = (entry.at for entry in self.line.log.find("connected") if began <= entry.at <= ends + 0.001)
        return next((at - began for at in found), None)

    def outcome(self, step: StepTrace) -> str | None:
        """How a step ended; None while it runs. A hand-off is `connected` as soon as a person is put through."""
        if step.verb == "transfer" and step.outcome in (None, "done", "cancelled") and self.connected(step) is not None:
            return "connected"
        return step.outcome

    def seconds(self, step: StepTrace) -> float:
        """How long a step took; a hand-off until the person was put through."""
        connected = self.connected(step) if self.outcome(step) == "connected" else None
        return (step.ms or 0) / 1000 if connected is None else connected

    def dialled(self) -> Iterator[tuple[int, str, str | None]]:
        """Whom was rung: the index in the log, the target, and what became of it (None: it rings)."""
        entries = self.line.log.entries
        for index, entry in enumerate(entries):
            if entry.what == "refused" and entry.text == "impossible":
                yield index, entry.who, "impossible"
            elif entry.what == "dialled":
                later = (one for one in entries[index + 1 :] if one.who == entry.who)
                yield index, entry.who, _became(later)

    def rows(self) -> list[Row]:
        """Everything, oldest first."""
        steps = [(1, self._step_row(index, step)) for index, step in enumerate(self.steps)]
        asked = [
            (2, Row(one.at, ("http", index), f"{one.method} {one.endpoint} {one.path}: {one.answer}"))
            for index, one in enumerate(self.http.requests)
        ]
        asked += [
            (2, Row(one.at, ("text", index), f"the text model reads {one.text}: {one.answer}"))
            for index, one in enumerate(self.written)
        ]
        ranked = [*steps, *self._line_rows(), *asked]
        return [row for _, row in sorted(ranked, key=lambda one: (round(one[1].at, 3), one[0]))]

    def _step_row(self, index: int, step: StepTrace) -> Row:
        outcome = self.outcome(step)
        why = f" ({step.detail})" if step.detail and outcome not in ("done", "connected") else ""
        return Row(
            self.began(step), ("step", index), f"{step.id or step.verb}: {outcome or 'runs'}{why}", short(step.where)
        )

    def _line_rows(self) -> Iterator[tuple[int, Row]]:
        """What is heard was heard before the step that comes at its end. Of a tone that repeats the first is enough."""
        sounds = False
        for index, entry in enumerate(self.line.log.entries):
            words = entry.what in ("heard", "cut", "said")
            if words and not (entry.text and entry.ms):
                if not sounds and entry.ms:
                    yield 0, Row(entry.at, ("line", index), f"{entry.who} hears a tone or music")
                sounds = sounds or entry.ms > 0
                continue
            sounds = sounds and not words
            if entry.who == "caller" and entry.what == "hung_up":
                yield 3, Row(entry.at, ("end", 0), f"the call ends, hung up by {self.call.record.hangup_by}")
            else:
                yield 0 if words else 2, Row(entry.at, ("line", index), _told(entry))


def short(where: str) -> str:
    """``file:line`` of ``path/file:line:column``."""
    return Path(where.rpartition(":")[0]).name


def _became(entries: Iterator[Entry]) -> str | None:
    status = None
    for entry in entries:
        match entry.what:
            case "refused":
                return entry.text
            case "answered":
                status = "answered"
            case "connected":
                return "connected"
            case "hung_up":
                return status or "cancelled"
            case "dialled":
                return status
    return status


def _told(entry: Entry) -> str:
    text = f'"{entry.text}"' if entry.what in ("heard", "cut", "said") else entry.text
    cut = " (cut off)" if entry.what == "cut" else ""
    return f"{entry.who} {_WORDS.get(entry.what, entry.what)} {text}".rstrip() + cut
