"""What a supervisor does to a call, on the virtual line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.call import Call
from engine.console.views import state_of
from engine.line import LineError, LineGone
from engine.outcome import StepError
from engine.record import CallRecord
from engine.steering import BY_SUPERVISOR, NotPossible
from engine.virtual import VirtualLine, run, virtual_services
from engine.watch import Watch
from flows.dialling import Dialling
from flows.flow import Flow
from flows.library import Library
from flows.resources import Destination, Resources
from tests.engine.support import Act, Trail, beside_script, flow, forever, handler, speaks, step
from tests.engine.test_handoff import HandsOff, ringing
from tests.engine.verbs.phone import Over
from tests.engine.verbs.talking import LONG, talk

RESOURCES = Resources(
    destinations={
        "desk": Destination("desk", "pjsip:desk"), "sales": Destination("sales", "pjsip:sales"),
        "far": Destination("far", "tel:+4930123456"),
    },
    groups={"everybody": ("desk", "sales")},
    dialling=Dialling(deny=("+49*",)),
)  # fmt: skip

Script = Callable[[Call, VirtualLine], Awaitable[None]]


async def steered(script: Script, *acts: Act, targets: dict[str, Any], given: Flow | None = None) -> CallRecord:
    """A call whose flow does these acts, beside a script."""
    line = VirtualLine(targets=targets)
    made = given or flow(*(step(act) for act in acts or (answers, forever)))
    call = Call(line, made, Library({made.name: made}, resources=RESOURCES), virtual_services())
    record = await beside_script(call, lambda: script(call, line))
    assert line.left_over == []
    assert record.ended is not None
    assert all(done.outcome is not None for done in record.steps)
    assert not any(attempt.status == "ringing" for attempt in record.attempts)
    return record


async def answers(at: Any, call: Call) -> None:
    await call.answer()


def said(record: CallRecord) -> list[str]:
    return [entry.text for entry in record.transcript if entry.role == "system"]


def test_hand_off_connects_who_answers() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("desk")
        assert call.steering.obstacles() == ["desk is being rung already"]
        await line.log.until("connected", who="pjsip:desk")
        await asyncio.sleep(1)
        assert state_of(call) == "with_person"
        assert call.steering.obstacles() == ["the caller talks to pjsip:desk already"]
        await line.caller.hangs_up()

    record = run(steered(script, targets={"pjsip:desk": "answer"}))
    assert record.outcome == "handed_off"
    assert record.hangup_by == "caller"
    assert [(one.step, one.target, one.status) for one in record.attempts] == [
        (BY_SUPERVISOR, "pjsip:desk", "answered")
    ]
    assert said(record) == ["a supervisor has desk rung"]
    assert record.steps[-1].outcome == "cancelled"


def test_the_call_ends_when_the_person_hangs_up() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("desk")

    record = run(steered(script, targets={"pjsip:desk": {"answer": 2, "hangs_up_after": 5}}))
    assert (record.outcome, record.hangup_by) == ("handed_off", "target")


def test_the_talk_goes_on_until_somebody_answers_and_when_nobody_does() -> None:
    trail = Trail()

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("desk")
        await line.caller.waits(1)
        assert state_of(call) == "in_flow"
        assert record_of(call) == "ringing"
        await line.caller.waits(10)
        assert call.steering.obstacles() == []
        await line.caller.hangs_up()

    def record_of(call: Call) -> str:
        return call.record.attempts[0].status

    acts = (answers, trail("talk", speaks("Good morning, this is a long greeting.")), trail("after", forever))
    record = run(steered(script, *acts, targets={"pjsip:desk": "declined"}))
    assert str(trail) == "talk after"
    assert (record.outcome, record.hangup_by) == ("caller_hung_up", "caller")
    assert said(record) == ["a supervisor has desk rung", "desk did not take the call; the talk goes on"]


def test_a_group_is_rung_together_and_the_first_has_the_call() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("everybody")
        await line.log.until("connected")
        await line.caller.hangs_up()

    record = run(steered(script, targets={"pjsip:desk": {"answer": 9}, "pjsip:sales": {"answer": 2}}))
    assert {one.target: one.status for one in record.attempts} == {"pjsip:desk": "cancelled", "pjsip:sales": "answered"}


def test_a_target_that_may_not_be_dialled_is_not() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("far")
        await line.caller.waits(1)
        await line.caller.hangs_up()

    record = run(steered(script, targets={"tel:+4930123456": "answer"}))
    assert [one.status for one in record.attempts] == ["unavailable"]


def test_an_unknown_target_is_refused() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        with pytest.raises(StepError, match="no destination 'nobody'"):
            call.steering.hand_off("nobody")
        assert call.steering.obstacles() == []
        await line.caller.hangs_up()

    run(steered(script, targets={}))


def test_while_the_flow_rings_somebody_a_supervisor_waits() -> None:
    act = HandsOff(ringing("pjsip:sales"))

    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(1)
        assert state_of(call) == "ringing_target"
        with pytest.raises(NotPossible, match="the flow rings pjsip:sales now"):
            call.steering.hand_off("desk")
        await line.caller.hangs_up()

    run(steered(script, answers, act, targets={"pjsip:sales": {"answer": 20}}))


def test_the_flow_may_win() -> None:
    """The flow connects somebody while a supervisor's target rings: who answers too late is let go."""
    act = HandsOff(ringing("pjsip:sales"))

    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(0.5)
        call.steering.hand_off("desk")
        await line.log.until("hung_up", who="pjsip:desk")
        assert call.with_person
        await line.caller.hangs_up()

    async def waits(at: Any, call: Call) -> None:
        await asyncio.sleep(1)

    targets = {"pjsip:sales": {"answer": 2}, "pjsip:desk": {"answer": 8}}
    record = run(steered(script, answers, waits, act, targets=targets))
    assert record.outcome == "handed_off"
    assert said(record)[-1] == "desk answered, but the caller talks to a person already"


def test_the_caller_may_hang_up_while_it_rings() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("desk")
        await line.caller.waits(1)
        await line.caller.hangs_up()

    record = run(steered(script, targets={"pjsip:desk": {"answer": 9}}))
    assert [one.status for one in record.attempts] == ["cancelled"]
    assert record.outcome == "caller_hung_up"


def test_who_answers_and_is_gone_at_once_does_not_leave_the_caller_in_silence() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        line._faults["connect"] = _gone()
        call.steering.hand_off("desk")

    def _gone() -> Exception:
        from engine.line import LineError

        return LineError("pjsip:desk is not on the line")

    record = run(steered(script, targets={"pjsip:desk": {"answer": 1}}))
    assert record.outcome == "failed"
    assert "could not" not in record.error
    assert "a supervisor's hand-off to pjsip:desk failed" in record.error


@pytest.mark.parametrize("way", ["hangs up meanwhile", "is gone"])
def test_who_answered_is_let_go_when_the_caller_goes_before_they_are_connected(way: str) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        connecting = asyncio.Event()

        async def connect(leg: Any) -> None:
            connecting.set()
            if way == "is gone":
                raise LineGone("the caller is gone")
            await asyncio.Event().wait()

        await line.log.until("answered")
        line.connect = connect  # type: ignore[method-assign]
        call.steering.hand_off("desk")
        await connecting.wait()
        if way == "hangs up meanwhile":
            await line.caller.hangs_up()

    record = run(steered(script, targets={"pjsip:desk": {"answer": 1}}))
    (leg,) = (one for one in record.legs if one.kind == "target")
    assert leg.ended is not None
    assert record.outcome == "caller_hung_up"


def test_a_call_that_the_flow_has_not_answered_is_answered_for_the_person() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(1)
        call.steering.hand_off("desk")
        await line.log.until("connected", who="pjsip:desk")
        assert line.is_answered
        await line.caller.hangs_up()

    record = run(steered(script, forever, targets={"pjsip:desk": "answer"}))
    assert record.answered is not None
    assert record.legs[0].answered == record.answered


def test_whatever_fails_in_ringing_the_call_goes_on() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        line._faults["dial"] = RuntimeError("a mistake")
        call.steering.hand_off("desk")
        await line.caller.waits(5)
        assert call.steering.obstacles() == []
        assert not line.ended.done()
        await line.caller.hangs_up()

    record = run(steered(script, targets={"pjsip:desk": {"answer": 1}}))
    assert record.outcome == "caller_hung_up"
    assert said(record)[-1] == "desk did not take the call; the talk goes on"


def test_a_supervisor_hangs_up() -> None:
    trail = Trail()
    made = flow(step(answers), step(forever), handlers=[handler("hangup", step(trail("after"), needs_caller=False))])

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        await call.steering.hang_up()
        with pytest.raises(NotPossible, match="the call is over"):
            await call.steering.hang_up()
        with pytest.raises(NotPossible, match="the call is over"):
            call.steering.hand_off("desk")

    record = run(steered(script, targets={}, given=made))
    assert (record.outcome, record.hangup_by) == ("completed", "supervisor")
    assert str(trail) == "after"


def test_a_call_that_could_not_be_hung_up_lives_on_and_is_hung_up_by_another_try() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        async def fails(cause: int = 16) -> None:
            """As a line whose Asterisk does not answer: it tells nobody."""

        await line.log.until("answered")
        works, line.hangup = line.hangup, fails  # type: ignore[method-assign]
        with pytest.raises(NotPossible, match="did not end the call"):
            await call.steering.hang_up()
        assert call.record.ended is None
        assert state_of(call) == "in_flow"
        assert call.steering.obstacles() == []
        line.hangup = works  # type: ignore[method-assign]
        await call.steering.hang_up()

    record = run(steered(script, targets={}))
    assert (record.outcome, record.hangup_by) == ("completed", "supervisor")
    assert said(record) == [
        "a supervisor hung up", "the call could not be hung up, and goes on", "a supervisor hung up"
    ]  # fmt: skip


def test_who_hangs_up_after_a_supervisor_could_not_is_the_caller() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        line._faults["hangup"] = LineError("no")
        with pytest.raises(NotPossible):
            await call.steering.hang_up()
        await line.caller.hangs_up()

    record = run(steered(script, targets={}))
    assert (record.outcome, record.hangup_by) == ("caller_hung_up", "caller")


def test_a_supervisor_hangs_up_a_talk_with_a_person() -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        call.steering.hand_off("desk")
        await line.log.until("connected")
        await asyncio.sleep(1)
        await call.steering.hang_up()

    record = run(steered(script, targets={"pjsip:desk": "answer"}))
    assert (record.outcome, record.hangup_by) == ("handed_off", "supervisor")


def talks_and_is_handed_off(folder: Path, hang_up: bool) -> tuple[Over, list[str]]:
    """In the middle of an AI's sentence somebody is rung, and answers after two seconds."""
    states: list[str] = []

    async def call() -> Over:
        watch, found = Watch(), list[Call]()
        watch.told = found.append

        async def script(line: VirtualLine) -> None:
            await line.log.until("answered")
            await line.caller.waits(1.2)
            states.append(state_of(found[-1]))
            found[-1].steering.hand_off("front-desk")
            await line.caller.waits(1.0)
            states.append(state_of(found[-1]))
            if hang_up:
                await line.caller.hangs_up()
                return
            await line.log.until("connected", who="pjsip:front-desk")
            await line.caller.waits(3.0)
            states.append(state_of(found[-1]))
            await line.caller.hangs_up()

        targets = {"pjsip:front-desk": {"answer": 2}}
        return await talk(folder, script, fields=f"greeting: {LONG} {LONG}", targets=targets, watch=watch)

    return run(call()), states


def test_in_the_middle_of_a_sentence_the_voice_goes_on_until_somebody_answers(tmp_path: Path) -> None:
    over, states = talks_and_is_handed_off(tmp_path, hang_up=False)
    assert states == ["ai_speaking", "ai_speaking", "with_person"]
    assert over.record.outcome == "handed_off"
    (cut,) = over.line.log.find("cut")
    assert 2500 < cut.ms < 3500, "the greeting began 0.4 s after the answer, the person answered after 3.2 s"
    assert [step.outcome for step in over.record.steps] == ["cancelled"]


def test_the_caller_may_hang_up_in_the_middle_of_it(tmp_path: Path) -> None:
    over, states = talks_and_is_handed_off(tmp_path, hang_up=True)
    assert states == ["ai_speaking", "ai_speaking"]
    assert over.record.outcome == "caller_hung_up"
    assert [attempt.status for attempt in over.record.attempts] == ["cancelled"]
