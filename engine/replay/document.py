"""The whole test that is made from a call."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any, Final

from engine.discretion import WORDS
from engine.record import CallRecord
from engine.replay.mocks import is_unreachable, mocks
from engine.replay.script import Script
from engine.replay.talk import MASKED
from engine.replay.written import Noted, written
from engine.resume import CUT_OFF

OUTCOMES: Final = frozenset({"completed", "caller_hung_up", "handed_off", "failed"})
GIVEN_BACK: Final = "given back to the dialplan"
HEAD: Final = """\
# Made by `hookflash replay` from the call {id}, flow {flow}, revision {revision}.
# What the record does not hold stands below a line that begins with "# note:".
"""
DIED: Final = "# The engine died in this call, which went on under the next one. This is what came before that.\n"
AT: Final = ("transcript", "tools", "presses", "requests", "written")
STARTED: Final = ("steps", "attempts", "legs")


def replayed(record: CallRecord) -> str:
    """A ``*.test.yaml`` that passes against the flow that the call ran, as far as the record can tell.

    Sensitive values and what endpoints answered are not on record: placeholders stand for them, under a note.
    """
    whole, record = record, _before_the_engine_died(record)
    document: dict[str, Any] = {"test": _name(record), "flow": record.flow, "given": _given(record)}
    if world := mocks(record):
        if is_unreachable(record):
            world["voice"] = Noted("unreachable", "or it broke down before anybody spoke")
        document["mocks"] = world
    document["script"] = [*Script(record).lines(), *_end(record)]
    if record.hangup_by != "engine" and not _is_rescued(record):
        document["always"] = [{"never": {"hangup_by": "engine"}}]
    head = HEAD.format(id=_plainly(record.id), flow=_plainly(record.flow), revision=_plainly(record.revision[:12]))
    return head + (DIED if record is not whole else "") + written(document)


def _before_the_engine_died(record: CallRecord) -> CallRecord:
    """A call that an engine left in a step and another took up at `recover`: what came until then, for no test can end
    an engine. Other calls as they are."""
    cut = [step for step in record.steps if step.detail == CUT_OFF]
    if not cut or any(step.outcome == "connected" for step in cut):
        return record
    ends = cut[0].started + timedelta(milliseconds=cut[0].ms or 0)
    kept: dict[str, Any] = {name: [one for one in getattr(record, name) if one.at <= ends] for name in AT}
    kept |= {name: [one for one in getattr(record, name) if one.started <= ends] for name in STARTED}
    return record.model_copy(update={**kept, "outcome": "lost", "hangup_by": "", "ended": ends, "result": ""})


def _name(record: CallRecord) -> str:
    return f"call {record.id} of {record.started.astimezone(UTC):%Y-%m-%d %H:%M} is {record.outcome}"


def _given(record: CallRecord) -> dict[str, Any]:
    caller: dict[str, Any] = {"number": record.caller}
    if record.caller_name:
        caller["name"] = record.caller_name
    given: dict[str, Any] = {"now": record.started.astimezone(UTC).isoformat(), "caller": caller, "did": record.did}
    for key, value in (("headers", record.headers), ("input", record.input)):
        if value:
            masked = WORDS in value.values()
            given[key] = Noted(value, MASKED) if masked else value
    if record.direction == "outbound":
        given["did"] = Noted(record.did, "the call was an outbound one; in a test every call comes in")
    return given


def _end(record: CallRecord) -> list[Any]:
    """How the call ended."""
    if record.outcome == "lost":
        return []
    expected: dict[str, Any] = {"by": record.hangup_by} if record.hangup_by else {}
    if _is_rescued(record) or record.result == GIVEN_BACK:
        where = "the safety destination was rung" if _is_rescued(record) else "the call went back to the dialplan"
        note = f"{where}; a test has neither and ends with an apology"
        return [Noted({"expect": {"hangup": {"by": "engine", "outcome": "failed"}}}, note)]
    if record.result:
        expected["result"] = record.result
    if record.outcome in OUTCOMES:
        expected["outcome"] = record.outcome
    return [{"expect": {"hangup": expected}}]


def _is_rescued(record: CallRecord) -> bool:
    return any(attempt.step == "safety" for attempt in record.attempts)


def _plainly(text: str) -> str:
    return "".join(letter if letter.isprintable() else "·" for letter in text)
