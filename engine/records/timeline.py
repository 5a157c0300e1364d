"""A call as a person reads it: what happened, when, and why, one line an event, seconds from the call's arrival."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.record import CallRecord, Leg, StepTrace, written

CAUSES: Final = {
    0: "not given", 1: "unallocated number", 2: "no route to network", 3: "no route to destination",
    16: "normal clearing", 17: "user busy", 18: "no user responding", 19: "no answer", 20: "subscriber absent",
    21: "call rejected", 22: "number changed", 26: "answered elsewhere", 27: "destination out of order",
    28: "invalid number", 31: "normal, unspecified", 34: "no circuit available", 38: "network out of order",
    41: "temporary failure", 42: "switching congestion", 44: "circuit not available", 50: "facility not subscribed",
    58: "bearer not available", 88: "incompatible destination", 102: "timer expired", 111: "protocol error",
    127: "interworking",
}  # fmt: skip
"""ITU-T Q.850 causes in short words."""

GOOD: Final = frozenset({"completed", "handed_off", "caller_hung_up", "answered", "connected", "done", "ok"})
_USED: Final = {
    "turns": "turns", "input_text": "text tokens in", "input_audio": "audio tokens in", "cached": "cached",
    "output_text": "text tokens out", "output_audio": "audio tokens out", "seconds_heard": "s heard",
    "seconds_spoken": "s spoken", "seconds_session": "s of a session", "characters": "characters", "items": "items",
}  # fmt: skip
_WHO: Final = {"caller": "caller", "voice": "voice", "system": "system"}


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    kind: str
    text: Text
    depth: int = 0


def render(record: CallRecord) -> RenderableType:
    """The whole record: its head, the timeline, what was measured and what it cost. Print it with rich."""
    parts: list[RenderableType] = [_head(record), Text(), _events(record)]
    if record.timings:
        parts += [Text(), _measured(record)]
    if record.tokens:
        parts += [Text(), _tokens(record)]
    return Group(*parts)


def duration(record: CallRecord, now: datetime | None = None) -> str:
    """How long the call took (or, live, takes by ``now``): ``75.0 s``; empty when nobody knows."""
    end = record.ended or (now if record.outcome == "live" else None)
    return f"{(end - record.started).total_seconds():.1f} s" if end else ""


def plain(text: str) -> str:
    """Text from outside without what would command a terminal: escape sequences, line breaks."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def outcome_text(outcome: str) -> Text:
    """An outcome in its colour."""
    style = "green" if outcome in GOOD else "yellow" if outcome == "live" else "red"
    return Text(plain(outcome), style=style)


def cause_text(cause: int | None) -> str:
    """A Q.850 cause with its meaning: ``17 user busy``."""
    return "" if cause is None else f"{cause} {CAUSES.get(cause, '')}".strip()


def _head(record: CallRecord) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    ended = ", ".join(
        item
        for item in (
            f"by {record.hangup_by}" if record.hangup_by else "",
            f"cause {cause_text(record.cause)}" if record.cause is not None else "",
            f"after {duration(record)}" if duration(record) else "",
        )
        if item
    )
    lines = (
        ("call", Text(plain(record.id), style="bold")),
        ("outcome", Text.assemble(outcome_text(record.outcome), f"  {ended}")),
        ("error", Text(plain(record.error), style="red")),
        ("result", Text(plain(record.result))),
        ("from", Text(plain(f"{record.caller or 'withheld'} to {record.did or '?'}"))),
        ("trunk", Text(plain(f"{record.trunk} ({record.direction})" if record.trunk else record.direction))),
        ("flow", Text(plain(f"{record.flow}  revision {record.revision[:12]}" if record.revision else record.flow))),
        ("started", Text(f"{record.started.astimezone():%Y-%m-%d %H:%M:%S %z}  on {plain(record.engine) or '?'}")),
    )
    for name, text in lines:
        if text.plain.strip():
            grid.add_row(name, text)
    return grid


def _events(record: CallRecord) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    # Events of one moment keep the order in which they are told here: the leg, its step, what was said in it.
    for event in sorted(_told(record), key=lambda event: event.at):
        offset = (event.at - record.started) / timedelta(seconds=1)
        table.add_row(f"{offset:+.2f} s", event.kind, Text("  " * event.depth) + event.text)
    return table


def _told(record: CallRecord) -> Iterator[_Event]:
    for leg in record.legs:
        yield from _leg(leg)
    for step in record.steps:
        yield _step(step)
    for said in record.transcript:
        text = Text(f"“{plain(said.text)}”", style="italic")
        if said.interrupted:
            text.append("  (interrupted)", style="yellow")
        yield _Event(said.at, _WHO[said.role], text, 1)
    for tool in record.tools:
        took = f" after {tool.ms} ms" if tool.ms is not None else ""
        yield _Event(
            tool.at, "tool", Text.assemble(plain(tool.name), " → ", outcome_text(tool.outcome or "running"), took), 1
        )
    for attempt in record.attempts:
        codes = _codes(attempt.sip_code, attempt.q850)
        text = Text.assemble(
            plain(attempt.target), " → ", outcome_text(attempt.status), codes, f" after {attempt.ring_ms / 1000:.1f} s"
        )
        if attempt.reason:
            text.append(f": {plain(attempt.reason)}", style="red")
        yield _Event(attempt.started, "dial", text, 1)
    if record.answered:
        yield _Event(record.answered, "call", Text("answered"))
    if record.ended:
        by = f" by {record.hangup_by}" if record.hangup_by else ""
        yield _Event(record.ended, "call", Text(f"ended{by}{_codes(None, record.cause)}"))


def _leg(leg: Leg) -> Iterator[_Event]:
    name = plain(f"{leg.kind} {leg.party}".strip())
    yield _Event(leg.started, "leg", Text.assemble((name, "blue"), " starts"))
    if leg.answered and leg.kind != "caller":
        yield _Event(leg.answered, "leg", Text.assemble((name, "blue"), " answers"))
    if leg.ended:
        yield _Event(leg.ended, "leg", Text.assemble((name, "blue"), " ends", _codes(leg.sip_code, leg.cause)))


def _step(step: StepTrace) -> _Event:
    text = Text.assemble((plain(step.id or step.verb), "bold"))
    if step.id:
        text.append(f" {plain(step.verb)}")
    text.append(" → ")
    text.append_text(outcome_text(step.outcome or "running"))
    if step.ms is not None:
        text.append(f" after {step.ms / 1000:.2f} s")
    if step.detail:
        text.append(f": {plain(step.detail)}", style="red" if step.outcome not in GOOD else "")
    if step.data:
        text.append(f"  {plain(json.dumps(step.data, ensure_ascii=False, default=str))}", style="dim")
    text.append(f"  {plain(step.where)}", style="dim")
    # `steps/3/outcomes/person/0` stands two steps deep in the flow.
    return _Event(step.started, "step", text, max(0, sum(part.isdigit() for part in step.path.split("/")) - 1))


def _codes(sip_code: int | None, cause: int | None) -> str:
    found = [f"SIP {sip_code}"] if sip_code is not None else []
    found += [f"Q.850 {cause_text(cause)}"] if cause is not None else []
    return f" ({', '.join(found)})" if found else ""


def _measured(record: CallRecord) -> Text:
    return Text("measured: " + ", ".join(f"{plain(name)} {ms:.0f} ms" for name, ms in record.timings.items()))


def _tokens(record: CallRecord) -> RenderableType:
    """What was used of each model, and what it cost."""
    lines = []
    for used in record.tokens:
        counted = [f"{_number(getattr(used, kind))} {name}" for kind, name in _USED.items() if getattr(used, kind)]
        cost = f" = {written(used.cost)} {record.currency}" if used.cost else ""
        line = Text(f"{plain(f'{used.provider} {used.model}'.strip())}: {', '.join(counted)}{cost}")
        if used.unpriced:
            line.append(f" (no price for {', '.join(used.unpriced)})", style="yellow")
        lines.append(line)
    if record.cost:
        lines.append(Text(f"cost: {written(record.cost)} {record.currency}"))
    return Group(*lines)


def _number(count: float) -> str:
    return f"{count:.1f}" if isinstance(count, float) else str(count)
