from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.call import MEDIA_WITHIN, Call
from engine.handoff import Plan, Round, hand_off, stay_connected
from engine.line import Facts, LineError
from engine.outcome import Outcome, Return, StepError, Stop
from engine.virtual import KeptRecords, VirtualLine, run, virtual_services, virtual_time
from engine.virtual.clock import START
from flows.expressions import CONTEXT
from flows.flow import Flow, Retry, Step
from tests.engine.support import Act, ends, flow, forever, handler, make_call, raises, run_call, speaks, step, waits

TARGETS = {"pjsip:a": {"busy": 1}, "pjsip:b": {"answer": 3, "hangs_up_after": 20}}


async def transfers(at: Step, call: Call) -> None:
    result = await hand_off(call, Plan(rounds=[Round(("pjsip:a", "pjsip:b"))]), "transfer")
    if result.leg is not None:
        await stay_connected(call, result.leg)
        raise Stop(by="target")


async def reads(at: Step, call: Call) -> Outcome:
    async with asyncio.timeout(5):
        return Outcome("done", {"digit": await call.line.digit()})


# ── A call from its beginning to its end ──────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_the_record_tells_the_whole_call() -> None:
    facts = Facts(id="c7", did="+14155550100", caller="+14155550199", trunk="carrier", channel="ch-7")
    line = VirtualLine(facts, TARGETS)
    made = flow(step(speaks("Welcome."), id="hello", name="say"), step(transfers, id="person", name="transfer"))
    services = virtual_services(engine="pbx-1")
    record = await run_call(made, line, services=services)
    assert (record.id, record.engine, record.flow, record.revision) == ("c7", "pbx-1", "test", "r1")
    assert (record.did, record.caller, record.trunk) == ("+14155550100", "+14155550199", "carrier")
    assert (record.outcome, record.hangup_by, record.cause, record.error) == ("handed_off", "target", 16, "")
    said = timedelta(milliseconds=480)
    assert record.started == START
    assert record.answered == START
    assert record.ended == START + said + timedelta(seconds=23)
    assert [(leg.kind, leg.party, leg.started - START, leg.cause) for leg in record.legs] == [
        ("caller", "+14155550199", timedelta(0), 16), ("target", "pjsip:a", said, 17), ("target", "pjsip:b", said, 16),
    ]  # fmt: skip
    assert all(leg.ended is not None for leg in record.legs)
    assert [(entry.target, entry.status, entry.step) for entry in record.attempts] == [
        ("pjsip:a", "busy", "transfer"), ("pjsip:b", "answered", "transfer"),
    ]  # fmt: skip
    assert [(entry.id, entry.verb, entry.outcome, entry.ms) for entry in record.steps] == [
        ("hello", "say", "done", 480), ("person", "transfer", "done", 23_000),
    ]  # fmt: skip
    assert isinstance(services.records, KeptRecords)
    assert services.records.records["c7"] is record
    assert services.records.saves == 5  # at its start, at each step, when a person is connected, at its end


@virtual_time
async def test_what_expressions_may_ask_of_a_call() -> None:
    seen: list[dict[str, Any]] = []

    async def looks(at: Step, call: Call) -> None:
        await asyncio.sleep(60)
        seen.append(call.walker.context())

    line = VirtualLine(Facts(id="c1", did="+1", caller="", headers={"X-A": "b"}))
    await run_call(flow(step(looks)), line, services=virtual_services(tenant={"name": "Acme"}))
    context = seen[0]
    assert context["call"]["headers"] == {"X-A": "b"}
    assert context["call"]["started"] == START
    assert context["now"] == START + timedelta(seconds=60)
    assert context["caller"]["anonymous"] is True
    assert context["tenant"] == {"id": "", "name": "Acme"}
    names = {f"{group}.{name}" for group in ("call", "caller") for name in context[group]}
    assert names == {name for name in CONTEXT if "." in name}, "all that the check knows, and nothing else"


@virtual_time
async def test_a_flow_may_end_by_returning() -> None:
    record = await run_call(flow(step(raises(Return({"x": 1}))), step(forever)))
    assert (record.outcome, record.hangup_by, record.error) == ("completed", "flow", "")


@virtual_time
async def test_a_call_that_is_refused_was_never_answered() -> None:
    line = VirtualLine()
    record = await run_call(flow(step(raises(Stop(cause=17, result="closed")))), line)
    assert (record.answered, record.cause, record.result) == (None, 17, "closed")
    assert line.log.find("answered") == []


@virtual_time
async def test_speaking_answers_the_call_and_opens_one_media_leg() -> None:
    line = VirtualLine()
    await run_call(flow(step(speaks("One")), step(speaks("Two"))), line)
    assert len(line.medias) == 1
    assert line.log.entries[0].what == "answered"
    assert line.log.heard() == ["One", "Two"]


@virtual_time
async def test_after_a_person_the_flow_has_a_media_leg_again() -> None:
    async def transfers_and_goes_on(at: Step, call: Call) -> None:
        result = await hand_off(call, Plan(rounds=[Round(("pjsip:b",))]), "transfer")
        assert result.leg is not None
        await stay_connected(call, result.leg)
        call.handed_off = False

    line = VirtualLine(targets=TARGETS)
    record = await run_call(flow(step(transfers_and_goes_on), step(speaks("Still there?"))), line)
    assert len(line.medias) == 2
    assert line.log.heard() == ["Still there?"]
    assert record.outcome == "completed"


@virtual_time
async def test_a_mistake_in_who_listens_ends_the_audio_and_not_the_call() -> None:
    async def fails(audio: bytes) -> None:
        raise RuntimeError("a mistake")

    async def listens(at: Step, call: Call) -> None:
        playout = await call.playout()
        playout.listener = fails
        await playout.closed.wait()

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1)
        await line.caller.says("Hello?", 1)

    line = VirtualLine()
    record = await run_call(flow(step(listens), step(speaks("Still there?"))), line, script)
    assert (line.log.heard(), record.outcome, record.error) == (["Still there?"], "completed", "")
    assert len(line.medias) == 2


@virtual_time
async def test_a_mistake_beside_the_flow_does_not_end_the_call() -> None:
    async def fails() -> None:
        raise RuntimeError("a mistake")

    async def begins(at: Step, call: Call) -> None:
        call.beside(fails(), "a mistake")
        await asyncio.sleep(1)

    line = VirtualLine()
    record = await run_call(flow(step(begins), step(speaks("Still there?"))), line)
    assert (line.log.heard(), record.outcome, record.error) == (["Still there?"], "completed", "")


@virtual_time
async def test_audio_that_does_not_come_up_is_a_failure_of_the_step() -> None:
    line = VirtualLine(faults={"open_media": 60.0}, fallback=True)
    record = await run_call(flow(step(speaks("Hello"))), line)
    assert "no media connection within 5 s" in record.error
    assert line.log.now == pytest.approx(MEDIA_WITHIN)
    assert record.outcome == "failed"


@virtual_time
async def test_several_who_want_the_audio_at_once_get_the_same() -> None:
    async def twice(at: Step, call: Call) -> None:
        one, two = await asyncio.gather(call.playout(), call.playout())
        assert one is two

    line = VirtualLine(latency=0.1)
    record = await run_call(flow(step(twice)), line)
    assert record.error == ""
    assert len(line.medias) == 1


# ── Whatever fails ────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_mistake_in_a_verb_does_not_drop_the_caller() -> None:
    line = VirtualLine(targets={"pjsip:desk": {"answer": 2, "hangs_up_after": 5}})
    record = await run_call(
        flow(step(raises(ZeroDivisionError("plugin")))),
        line,
        services=virtual_services(safety_destination="pjsip:desk"),
    )
    assert record.outcome == "handed_off"
    assert "ZeroDivisionError" in record.error


@virtual_time
async def test_an_engine_that_stops_releases_the_line_and_keeps_the_record() -> None:
    line = VirtualLine(targets=TARGETS)
    services = virtual_services()
    call = make_call(flow(step(speaks("Hi")), step(transfers)), line, services)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.run(), 2)
    assert (call.record.outcome, call.record.hangup_by) == ("lost", "engine")
    assert "stopped" in call.record.error
    assert line.left_over == []
    assert isinstance(services.records, KeptRecords)
    assert services.records.records[call.record.id].ended is not None
    assert [entry.outcome for entry in call.record.steps] == ["done", "cancelled"]


@virtual_time
async def test_an_engine_that_stops_leaves_the_caller_to_the_dialplan() -> None:
    line = VirtualLine(fallback=True)
    call = make_call(flow(step(speaks("A long announcement. " * 9))), line)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.run(), 2)
    assert [entry.what for entry in line.log][-1] == "given_back"
    assert (call.record.outcome, call.record.result) == ("lost", "given back to the dialplan")


@virtual_time
async def test_a_line_that_cannot_be_released_does_not_hold_the_call() -> None:
    line = VirtualLine(faults={"close": 500.0})
    call = make_call(flow(), line)
    record = await call.run()
    assert line.log.now == 10
    assert record.outcome == "completed"
    await asyncio.sleep(500)  # the command that hangs ends in its own time


@virtual_time
async def test_a_hang_up_that_fails_is_not_the_end_of_the_world() -> None:
    record = await run_call(flow(), VirtualLine(faults={"hangup": LineError("no channel")}))
    assert (record.outcome, record.hangup_by) == ("completed", "flow")


# ── The caller hangs up ───────────────────────────────────────────────────────────────────────────────────────────────

SLOW: dict[str, Act] = {
    "nothing": forever,
    "prompt": speaks("A long announcement that nobody wants to hear to its end, as always. " * 3),
    "keys": reads,
    "ringing": transfers,
    "person": transfers,
}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("latency", [0.0, 0.05])
@virtual_time
async def test_the_caller_hangs_up_in_the_middle_of_a_step(kind: str, latency: float) -> None:
    line = VirtualLine(targets=TARGETS, latency=latency)
    never: list[str] = []

    async def notes(at: Step, call: Call) -> None:
        never.append("ran")

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(4.0 if kind == "person" else 2.0)
        await line.caller.hangs_up()

    made = flow(step(SLOW[kind]), step(notes), handlers=[handler("error", step(notes))])
    record = await run_call(made, line, script)
    assert never == []
    assert record.outcome == ("handed_off" if kind == "person" else "caller_hung_up")
    assert (record.hangup_by, record.cause, record.error) == ("caller", 16, "")
    assert record.steps[0].outcome == ("connected" if kind == "person" else "cancelled")
    assert [entry.text for entry in line.log.find("hung_up") if entry.who != "caller"] in ([], ["engine"])
    assert line.log.now < 5


@virtual_time
async def test_a_caller_who_hangs_up_before_anything_happens() -> None:
    line = VirtualLine(latency=0.5)
    await line.caller.hangs_up()
    record = await run_call(flow(step(speaks("Hello"))), line)
    assert (record.outcome, record.answered) == ("caller_hung_up", None)


STEPS = st.lists(
    st.sampled_from(["prompt", "keys", "waits", "transfer", "busy", "retries", "times_out", "fails", "mistake"]),
    min_size=1,
    max_size=4,
)


def any_flow(kinds: list[str]) -> Flow:
    made: dict[str, Step] = {
        "prompt": step(speaks("Hello there")),
        "keys": step(reads, takes_digits=True, bad=["error"], outcomes={"error": []}),
        "waits": step(waits(1.0)),
        "transfer": step(transfers),
        "busy": step(ends("busy"), bad=["busy"], catch=[step(speaks("Busy"))]),
        "retries": step(raises(StepError("x")), retry=Retry(2, 0.5), outcomes={"error": []}),
        "times_out": step(forever, timeout=1.5, outcomes={"error": [step(waits(0.2))]}),
        "fails": step(raises(StepError("x"))),
        "mistake": step(raises(KeyError("x"))),
    }
    last = handler("hangup", step(waits(0.5), needs_caller=False))
    return flow(*(made[kind] for kind in kinds), handlers=[last, handler("dtmf", step(speaks("Zero")), digits="0")])


@settings(max_examples=150, deadline=None)
@given(
    kinds=STEPS,
    leaves=st.none() | st.floats(0, 12),
    keys=st.lists(st.tuples(st.floats(0.01, 3), st.sampled_from("015")), max_size=3),
    latency=st.sampled_from([0.0, 0.02]),
    fallback=st.booleans(),
    safety=st.sampled_from([None, "pjsip:a", "pjsip:b"]),
)
def test_any_call_ends_and_leaves_nothing(
    kinds: list[str],
    leaves: float | None,
    keys: list[tuple[float, str]],
    latency: float,
    fallback: bool,
    safety: str | None,
) -> None:
    """Whatever the flow does and whenever the caller presses keys or goes: the record is whole and nothing is left."""

    async def main() -> None:
        line = VirtualLine(targets=TARGETS, latency=latency, fallback=fallback)

        async def presses() -> None:
            for pause, key in keys:
                await asyncio.sleep(pause)
                if line.ended.done():
                    return
                await line.caller.presses(key)

        async def goes() -> None:
            if leaves is not None:
                await asyncio.sleep(leaves)
                if not line.ended.done():
                    await line.caller.hangs_up()

        async def script(line: VirtualLine) -> None:
            await asyncio.gather(presses(), goes())

        record = await run_call(any_flow(kinds), line, script, services=virtual_services(safety_destination=safety))
        assert record.outcome in ("completed", "caller_hung_up", "handed_off", "failed")
        by = line.ended.result().text
        if by == "caller":
            went = line.log.find("hung_up", who="caller")[0].at
            assert record.ended is not None
            over = (record.ended - record.started).total_seconds() < went  # they went while we were hanging up
            assert record.hangup_by in ("caller", "target", *(("flow", "engine") if over else ())), line.log
        else:
            assert by in ("engine", "given back"), line.log
            assert record.hangup_by in ("flow", "target", "engine"), line.log
        assert not [entry for entry in line.log.find("hung_up") if entry.text == "close"], line.log
        assert (record.answered is not None) == bool(line.log.find("answered") and line.is_answered)
        assert all(leg.ended is not None for leg in record.legs)

    run(main())
