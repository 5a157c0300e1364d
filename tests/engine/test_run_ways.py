from __future__ import annotations

import asyncio

import pytest

from engine.call import Call
from engine.line import LineGone
from engine.outcome import Goto, Return, StepError, Stop
from engine.record import CallRecord
from engine.run import MAX_JUMPS, MAX_STEPS
from engine.virtual import VirtualLine, virtual_time
from flows.flow import Flow, Step, Variable
from tests.engine.support import (
    Act,
    Trail,
    ends,
    flow,
    forever,
    handler,
    make_call,
    raises,
    run_call,
    speaks,
    step,
    waits,
)


def goes_to(section: str) -> Act:
    async def act(at: Step, call: Call) -> None:
        call.walker.jump(section)

    return act


async def trail_of(made: Flow, trail: Trail, line: VirtualLine | None = None) -> tuple[str, CallRecord]:
    record = await run_call(made, line)
    return str(trail), record


# ── Sections, subflows, loops ─────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_goto_does_not_come_back() -> None:
    seen = Trail()
    made = flow(
        step(goes_to("a")), step(seen("never")),
        sections={"a": [step(seen("a")), step(goes_to("b"))], "b": [step(seen("b"))]},
    )  # fmt: skip
    assert (await trail_of(made, seen))[0] == "a b"


@virtual_time
async def test_a_section_as_a_subroutine_returns_values() -> None:
    seen = Trail()
    got: list[object] = []

    async def calls(at: Step, call: Call) -> None:
        got.append(await call.walker.section("sub"))
        got.append(await call.walker.section("plain"))

    made = flow(
        step(calls), step(seen("on")),
        sections={"sub": [step(raises(Return({"ref": 7}))), step(seen("never"))], "plain": [step(seen("plain"))]},
    )  # fmt: skip
    assert (await trail_of(made, seen))[0] == "plain on"
    assert got == [{"ref": 7}, {}]


@virtual_time
async def test_a_subflow_shares_the_call_and_nothing_else() -> None:
    seen = Trail()
    got: list[object] = []

    async def looks(at: Step, call: Call) -> None:
        got.append((dict(call.walker.vars), dict(call.walker.input), dict(call.walker.steps)))
        call.walker.set("count", 5)

    async def calls(at: Step, call: Call) -> None:
        call.walker.set("count", 1)
        got.append(await call.walker.subflow("inner", {"size": "L"}))
        got.append(call.walker.vars["count"])

    inner = flow(
        step(looks, id="same"),
        step(raises(Return({"price": 9}))),
        name="inner",
        vars={"count": Variable("integer", 40)},
    )
    outer = flow(step(calls, id="same"), step(seen("on")), vars={"count": Variable("integer")})
    record = await run_call(outer, others=[inner])
    assert got == [({"count": 40}, {"size": "L"}, {}), {"price": 9}, 1]
    assert str(seen) == "on"
    assert record.outcome == "completed"


@virtual_time
async def test_handlers_of_the_inner_flow_come_first_then_the_outer_ones() -> None:
    seen = Trail()

    async def calls(at: Step, call: Call) -> None:
        await call.walker.subflow("inner", {})

    failing = step(ends("bad"), bad=["bad"])
    inner = flow(failing, name="inner", handlers=[handler("error", step(seen("inner")))])
    outer = flow(step(calls), step(seen("on")), handlers=[handler("error", step(seen("outer")))])
    await run_call(outer, others=[inner])
    assert str(seen) == "inner on"
    seen.names.clear()
    await run_call(outer, others=[flow(failing, name="inner")])
    assert str(seen) == "outer"


@virtual_time
async def test_stop_ends_everything_from_any_depth() -> None:
    seen = Trail()

    async def calls(at: Step, call: Call) -> None:
        await call.walker.subflow("inner", {})

    inner = flow(step(raises(Stop(result="sold", cause=17))), name="inner")
    record = await run_call(flow(step(calls), step(seen("never"))), others=[inner])
    assert str(seen) == ""
    assert (record.result, record.cause, record.outcome) == ("sold", 17, "completed")


@virtual_time
async def test_jumping_in_a_circle_is_an_error_that_the_flow_may_answer_for() -> None:
    seen = Trail()
    circle = {"a": [step(seen("a")), step(goes_to("b"))], "b": [step(goes_to("a"))]}
    way_out = step(seen("sorry")), step(goes_to("c"))
    made = flow(
        step(goes_to("a")), sections={**circle, "c": [step(seen("person"))]}, handlers=[handler("error", *way_out)]
    )
    path, record = await trail_of(made, seen)
    assert path == " ".join(["a"] * (MAX_JUMPS // 2) + ["sorry", "person"])
    assert f"loop: {MAX_JUMPS} jumps" in record.error


@virtual_time
async def test_a_circle_with_the_caller_in_it_is_none() -> None:
    seen = Trail()

    async def five_times(at: Step, call: Call) -> None:
        if seen.names.count("a") >= 5 * MAX_JUMPS:
            raise Stop

    made = flow(
        step(goes_to("a")),
        sections={"a": [step(seen("a"), interactive=True), step(five_times), step(goes_to("a"))]},
    )
    _, record = await trail_of(made, seen)
    assert record.outcome == "completed"
    assert record.error == ""


@virtual_time
async def test_a_call_of_too_many_steps_is_an_error_that_the_flow_may_answer_for() -> None:
    seen = Trail()

    async def repeats(at: Step, call: Call) -> None:
        while True:
            await call.walker.run_steps([step(seen("x"))])

    made = flow(step(repeats), handlers=[handler("error", step(seen("sorry")))])
    _, record = await trail_of(made, seen)
    assert seen.names[-1] == "sorry"
    assert len(seen.names) == MAX_STEPS
    assert f"loop: the call ran {MAX_STEPS} steps" in record.error


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_key_takes_the_call_to_its_handler_from_any_step() -> None:
    seen = Trail()
    line = VirtualLine()

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(2)
        await line.caller.presses("70")

    made = flow(
        step(speaks("A long announcement. " * 10)), step(seen("never")),
        handlers=[handler("dtmf", digits="0", goto="counter")], sections={"counter": [step(seen("counter"))]},
    )  # fmt: skip
    record = await run_call(made, line, script)
    assert str(seen) == "counter"
    assert line.log.find("cut")[0].ms == pytest.approx(2300, abs=1)
    assert [entry.outcome for entry in record.steps] == ["cancelled", "done"]


@virtual_time
async def test_keys_belong_to_the_step_that_reads_them() -> None:
    read: list[str] = []

    async def reads(at: Step, call: Call) -> None:
        read.append(await call.line.digit())

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.presses("0")

    async def contains(at: Step, call: Call) -> None:
        await call.walker.run_steps([step(reads, takes_digits=True)])

    for act in (reads, contains):
        made = flow(step(act, takes_digits=True), handlers=[handler("dtmf", step(forever), digits="0")])
        await run_call(made, VirtualLine(), script)
    assert read == ["0", "0"]


@virtual_time
async def test_keys_are_the_persons_while_one_is_connected() -> None:
    seen = Trail()

    async def talks(at: Step, call: Call) -> None:
        call.with_person = True
        await asyncio.sleep(10)
        call.with_person = False

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.presses("00")

    made = flow(step(talks), step(seen("on")), handlers=[handler("dtmf", step(seen("never")), digits="0")])
    await run_call(made, VirtualLine(), script)
    assert str(seen) == "on"


@virtual_time
async def test_a_key_in_a_subflow_reaches_the_outer_flows_handler() -> None:
    seen = Trail()

    async def calls(at: Step, call: Call) -> None:
        await call.walker.subflow("inner", {})

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.presses("9")

    inner = flow(step(forever), name="inner", handlers=[handler("dtmf", step(seen("inner")), digits="1")])
    outer = flow(step(calls, takes_digits=True), handlers=[handler("dtmf", step(seen("outer")), digits="9")])
    await run_call(outer, VirtualLine(), script, others=[inner])
    assert str(seen) == "outer"


@virtual_time
async def test_a_pressed_key_is_a_sign_of_life() -> None:
    """A flow that goes round while the caller presses keys does not count as looping."""
    seen = Trail()

    async def script(line: VirtualLine) -> None:
        for _ in range(3 * MAX_JUMPS):
            await line.caller.waits(1)
            if not line.ended.done():
                await line.caller.presses("5")

    async def stops(at: Step, call: Call) -> None:
        if seen.names.count("a") == 2 * MAX_JUMPS:
            raise Stop

    made = flow(
        step(goes_to("a")), handlers=[handler("dtmf", step(seen("never")), digits="0")],
        sections={"a": [step(seen("a", waits(1.5))), step(stops), step(goes_to("a"))]},
    )  # fmt: skip
    record = await run_call(made, VirtualLine(), script)
    assert record.error == ""


# ── The end of the line ───────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_step_that_finds_the_caller_gone_ends_the_call() -> None:
    seen = Trail()
    line = VirtualLine()

    async def gone(at: Step, call: Call) -> None:
        line.end("caller")
        raise LineGone("gone")

    made = flow(step(gone), step(seen("never")), handlers=[handler("error", step(seen("never")))])
    path, record = await trail_of(made, seen, line)
    assert path == ""
    assert (record.outcome, record.hangup_by, record.error) == ("caller_hung_up", "caller", "")


@virtual_time
async def test_the_hangup_handler_runs_however_the_call_ends() -> None:
    seen = Trail()

    async def hangs_up(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.hangs_up()

    writes = step(seen("bye", waits(1)), needs_caller=False), step(seen("wrote"), needs_caller=False)
    bye = handler("hangup", *writes, step(seen("never")))
    zero = handler("dtmf", step(seen("never")), digits="0")
    await run_call(flow(handlers=[bye, zero]))
    await run_call(flow(step(forever), handlers=[bye, zero]), VirtualLine(), hangs_up)
    await run_call(flow(step(raises(StepError("x"))), handlers=[bye, zero]), VirtualLine(fallback=True))
    assert str(seen) == "bye wrote bye wrote bye wrote"


@virtual_time
async def test_the_hangup_handler_has_its_time_and_may_fail() -> None:
    seen = Trail()
    line = VirtualLine()
    record = await run_call(
        flow(handlers=[handler("hangup", step(forever, needs_caller=False), step(seen("never")))]), line
    )
    assert line.log.now == 10
    assert record.steps[-1].outcome == "cancelled"
    for error in (StepError("no"), Goto("x"), Stop(), KeyError("x"), LineGone("gone")):
        record = await run_call(flow(handlers=[handler("hangup", step(raises(error), needs_caller=False))]))
        assert record.outcome == "completed"
    assert str(seen) == ""


@virtual_time
async def test_the_trace_tells_every_step_with_its_place_and_time() -> None:
    made = flow(
        step(waits(1.5), id="first", name="say"),
        step(ends("go", ref="A"), good=["go"], name="menu", outcomes={"go": [step(raises(Stop()), name="hangup")]}),
    )
    record = await run_call(made)
    assert [(entry.id, entry.verb, entry.ms, entry.outcome) for entry in record.steps] == [
        ("first", "say", 1500, "done"), (None, "menu", 0, "go"), (None, "hangup", 0, "done"),
    ]  # fmt: skip
    assert all(entry.where.startswith("t.flow.yaml:") and entry.path for entry in record.steps)
    assert (record.steps[1].started - record.steps[0].started).total_seconds() == 1.5


@virtual_time
async def test_variables_keep_their_types() -> None:
    call = make_call(flow(vars={"n": Variable("integer"), "s": Variable("string", "x"), "o": Variable("object")}))
    assert call.walker.vars == {"n": 0, "s": "x", "o": {}}
    call.walker.set("n", 3.0)
    assert call.walker.vars["n"] == 3
    with pytest.raises(StepError, match=r"vars\.n is declared as integer, but the value is string"):
        call.walker.set("n", "3")
    await call.line.close()
