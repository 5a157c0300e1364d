"""Calls as the API shows them: from a live call or a record to the models. `engine.console.masks` hides values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.call import Call
from engine.console.models import CallSummary, Interim, State, TokenCount, Variable
from engine.console.places import Places, plain
from engine.record import CallRecord, StepTrace
from engine.run import Walker
from engine.steering import BY_SUPERVISOR


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
            shown = None if hidden else plain(value)
            found.append(Variable(flow=walker.flow.name, name=name, value=shown, masked=hidden))
        walker = walker.parent
    return found


def tokens(record: CallRecord) -> list[TokenCount]:
    """What providers counted."""
    shown = set(TokenCount.model_fields) - {"cost"}
    return [TokenCount(**used.model_dump(include=shown), cost=float(used.cost)) for used in record.tokens]


def called_flows(record: CallRecord, places: Places) -> Sequence[str]:
    """The names of the flows in which the call was, its own first."""
    named: Mapping[str, None] = dict.fromkeys([record.flow, *(places.flow(step.where) or "" for step in record.steps)])
    return [name for name in named if name]
