"""A call whose engine died goes on under the next one: which flow it has then, what it still knows, and what it does.

The record goes on, too. What was under way when the engine died is written down as cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, Protocol

import structlog

from engine.call import Call
from engine.checkpoint import Left
from engine.handoff import stay_connected
from engine.line import Facts, Leg, Line
from engine.outcome import StepError, Stop
from engine.record import CallRecord
from engine.run import UNTIL_GONE
from engine.safety import rescue
from engine.services import Services
from engine.values import fit
from flows.flow import Flow
from flows.library import Library

log = structlog.get_logger()

MOST: Final = 2  # times that a call goes on in its flow: more often than that it may be the call that ends engines
CUT_OFF: Final = "the engine died meanwhile"  # detail of a step
RESTARTED: Final = "the engine was restarted; "  # how the line in the transcript begins

Way = Literal["recover", "safety", "dialplan", "talk", "ended"]


class LeftLine(Line, Protocol):
    """A line that an earlier engine had (`Facts.left_over`)."""

    @property
    def peer(self) -> Leg | None:
        """With whom the caller talks, since before."""

    def recall(self, facts: Facts) -> None:
        """What is known of the call from before."""

    def let_be(self) -> None:
        """Let go of the call and its peer; they talk on."""


def resumed(line: LeftLine, left: Left, library: Library, services: Services) -> Call:
    """The call, to be run like any other. It goes on where `way_of` says."""
    record, checkpoint, known = left.record, left.checkpoint, line.facts
    flow = flow_of(record, library)
    line.recall(
        Facts(
            id=record.id, did=record.did, caller=record.caller, caller_name=record.caller_name,
            direction=record.direction, trunk=record.trunk, headers=known.headers, channel=known.channel,
            left_over=True,
        )
    )  # fmt: skip
    way = way_of(left, flow, line.peer)
    cut_off(record, checkpoint.at, way)
    call = Call(
        line, flow, library, services, fallback=checkpoint.fallback, account=checkpoint.account, record=record
    )  # fmt: skip
    record.revision = flow.revision
    if line.is_answered and record.answered is None:
        record.answered = record.legs[0].answered = checkpoint.at
    call.root.vars.update(kept(checkpoint.vars, flow))
    call.course = partial(_go_on, call, way, line.peer)
    services.metrics.call_resumed(flow.name, way)
    log.warning("a call goes on after its engine died", call_id=record.id, flow=flow.name, way=way)
    return call


def flow_of(record: CallRecord, library: Library) -> Flow:
    """The flow that the call had, in the same revision if there is one; an empty one when it is gone."""
    known = library.flows.get(record.flow)
    for flow in (known, library.next.get(record.flow)):
        if flow is not None and flow.revision == record.revision:
            return flow
    return known or Flow(
        name=record.flow, version=1, revision=record.revision, file="", vars={}, input={}, defaults={},
        max_call=None, handlers=(), steps=(), sections={}, recover=None,
    )  # fmt: skip


def kept(values: Mapping[str, Any], flow: Flow) -> dict[str, Any]:
    """The values that the flow still declares, where they still fit; the others begin anew."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        variable = flow.vars.get(name)
        if variable is None or variable.sensitive:
            continue
        with suppress(StepError, ValueError):
            if variable.type == "timestamp" and isinstance(value, str):
                value = datetime.fromisoformat(value)
            found[name] = fit(value, variable.type, name)
    return found


def way_of(left: Left, flow: Flow, peer: Leg | None) -> Way:
    """How the call goes on.

    Two who talk talk on. Whose person has hung up meanwhile has ended. Else the flow's `recover`, `MOST` times; then
    the safety destination; and what even that did not end belongs to the dialplan.
    """
    if peer is not None:
        return "talk"
    if left.checkpoint.with_person:
        return "ended"
    if left.checkpoint.resumed > MOST + 1:
        return "dialplan"
    return "safety" if flow.recover is None or left.checkpoint.resumed > MOST else "recover"


def cut_off(record: CallRecord, at: datetime, way: Way) -> None:
    """End on record what was under way when the engine died, at the time of its last word; not a talk that goes on."""
    if way == "talk":
        return
    for step in record.steps:
        if step.ms is None:
            step.ms = max(0, round((at - step.started).total_seconds() * 1000))
            step.outcome, step.detail = "cancelled", CUT_OFF
    if way == "ended" and record.steps and record.steps[-1].detail == CUT_OFF:
        record.steps[-1].outcome = "connected"
    for tool in record.tools:
        tool.outcome = tool.outcome or "cancelled"
    for attempt in record.attempts:
        attempt.status = "cancelled" if attempt.status == "ringing" else attempt.status
    for leg in record.legs[1:]:
        leg.ended = leg.ended or at


async def _go_on(call: Call, way: Way, peer: Leg | None) -> None:
    """Raises what ends the call, as a walker does."""
    call.handed_off, call.with_person = way in ("talk", "ended"), way == "talk"
    call.said("system", RESTARTED + _words(way, call.root.flow))
    if way == "recover":
        return await call.root.run(call.root.flow.recover)
    if peer is not None:
        await _talk_on(call, peer)
    if call.handed_off:
        raise Stop(by="target")
    if way == "dialplan":
        call.fallback = None
    raise await rescue(call)


async def _talk_on(call: Call, peer: Leg) -> None:
    """Until one of the two hangs up. The step that connected them ends as it would have."""
    try:
        await stay_connected(call, peer)
    finally:
        now, under_way = call.services.clock.now(), [step for step in call.record.steps if step.ms is None]
        for step in under_way:
            step.ms, step.outcome = round((now - step.started).total_seconds() * 1000), "done"
        if under_way:
            under_way[-1].outcome = "connected"
            under_way[-1].detail = UNTIL_GONE if call.line.ended.done() else ""


def _words(way: Way, flow: Flow) -> str:
    return {
        "recover": f"the call goes on at section {flow.recover}",
        "safety": "the safety destination takes the call",
        "dialplan": "the call goes back to the dialplan",
        "talk": "the caller and the person talk on",
        "ended": "the person has hung up, and the call ends",
    }[way]
