from __future__ import annotations

import asyncio

import pytest

from engine.call import Call
from engine.line import LineError, LineGone
from engine.outcome import Goto, Outcome, Return, StepError, Stop
from engine.record import CallRecord
from engine.run import MAX_JUMPS, MAX_STEPS
from engine.virtual import VirtualLine, virtual_time
from flows.expressions import ExpressionError
from flows.flow import Flow, Retry, Step, Variable
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
        raise Goto(section)

    return act


async def trail_of(made: Flow, trail: Trail, line: VirtualLine | None = None) -> tuple[str, CallRecord]:
    record = await run_call(made, line)
    return str(trail), record


# ── Steps and their outcomes ──────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_steps_run_in_order_and_the_call_is_hung_up() -> None:
    seen = Trail()
    line = VirtualLine()
    record = await run_call(flow(step(seen("a")), step(seen("b"), disabled=True), step(seen("c"))), line)
    assert str(seen) == "a c"
    assert (record.outcome, record.hangup_by, record.cause) == ("completed", "flow", 16)
    assert [(entry.what, entry.text) for entry in line.log] == [("hung_up", "engine")]


@virtual_time
async def test_an_outcome_leads_to_its_steps_and_on() -> None:
    seen = Trail()
    made = flow(
        step(
            seen("menu", ends("one")),
            good=["one", "two"],
            outcomes={"one": [step(seen("1"))], "two": [step(seen("2"))]},
        ),
        step(seen("after")),
    )
    assert (await trail_of(made, seen))[0] == "menu 1 after"


@virtual_time
async def test_an_unhandled_good_outcome_falls_through() -> None:
    seen = Trail()
    assert (await trail_of(flow(step(seen("a", ends("ok")), good=["ok"]), step(seen("b"))), seen))[0] == "a b"


@virtual_time
async def test_one_outcome_may_stand_for_every_bad_one() -> None:
    seen = Trail()
    made = flow(
        step(ends("busy"), good=["connected"], bad=["busy", "failed"], any_bad="failed",
             outcomes={"failed": [step(seen("failed"))]}),
        step(ends("busy"), bad=["busy", "failed"], any_bad="failed",
             outcomes={"failed": [step(seen("failed"))], "busy": [step(seen("busy"))]}),
        step(ends("connected"), good=["connected"], bad=["failed"], any_bad="failed",
             outcomes={"failed": [step(seen("wrong"))]}),
    )  # fmt: skip
    assert (await trail_of(made, seen))[0] == "failed busy"


@virtual_time
async def test_a_step_may_handle_an_error() -> None:
    seen = Trail()
    made = flow(step(raises(StepError("no")), outcomes={"error": [step(seen("sorry"))]}), step(seen("on")))
    path, record = await trail_of(made, seen)
    assert path == "sorry on"
    assert record.error == ""


@virtual_time
async def test_what_a_step_learned_is_seen_by_the_next() -> None:
    seen = Trail()
    made = flow(
        step(ends("booked", ref="A7"), good=["booked"], id="book"),
        step(seen("same"), when="steps.book.outcome == 'booked' && steps.book.ref == 'A7'"),
        step(seen("other"), when="steps.book.ref == 'B'"),
    )
    assert (await trail_of(made, seen))[0] == "same"


@virtual_time
async def test_a_condition_that_cannot_be_evaluated_is_an_error_of_its_step() -> None:
    seen = Trail()
    made = flow(step(seen("a"), when="steps.nobody.ref == 'x'"), handlers=[handler("error", step(seen("error")))])
    path, record = await trail_of(made, seen)
    assert path == "error"
    assert "t.flow.yaml" in record.error


# ── Failure ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_the_nearest_catch_answers_for_a_failure() -> None:
    seen = Trail()
    failing = step(seen("inner", ends("bad")), bad=["bad"])
    made = flow(
        step(ends("bad"), bad=["bad"], catch=[step(seen("own"))]),
        step(ends("go"), good=["go"], outcomes={"go": [failing, step(seen("never"))]}, catch=[step(seen("outer"))]),
        step(seen("on")),
        handlers=[handler("error", step(seen("handler")))],
    )
    assert (await trail_of(made, seen))[0] == "own inner outer on"


@virtual_time
async def test_the_flows_error_handler_answers_for_the_rest_once() -> None:
    seen = Trail()
    made = flow(
        step(ends("bad"), bad=["bad"]),
        step(seen("never")),
        handlers=[handler("error", step(seen("handler")), step(raises(StepError("again"))), step(seen("never")))],
    )
    line = VirtualLine(fallback=True)
    path, record = await trail_of(made, seen, line)
    assert path == "handler"
    assert record.outcome == "failed"
    assert "bad" in record.error
    assert [entry.what for entry in line.log] == ["given_back"]


@virtual_time
async def test_a_handler_may_go_to_a_section() -> None:
    seen = Trail()
    made = flow(
        step(ends("bad"), bad=["bad"]),
        handlers=[handler("error", goto="counter")],
        sections={"counter": [step(seen("c"))]},
    )
    assert (await trail_of(made, seen))[0] == "c"


@pytest.mark.parametrize(("outcome", "event"), [("silence", "silence"), ("provider_error", "provider_down")])
@virtual_time
async def test_some_outcomes_have_handlers_of_their_own(outcome: str, event: str) -> None:
    seen = Trail()
    special = handler(event, step(seen("special"), bad=[outcome]))  # type: ignore[arg-type]
    made = flow(step(ends(outcome), bad=[outcome]), handlers=[special, handler("error", step(seen("error")))])
    assert (await trail_of(made, seen))[0] == "special"
    seen.names.clear()
    made = flow(step(ends(outcome), bad=[outcome]), handlers=[handler("error", step(seen("error")))])
    assert (await trail_of(made, seen))[0] == "error"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StepError("it is closed"), "it is closed"),
        (ExpressionError("no such key"), "no such key"),
        (LineError("no channel"), "no channel"),
        (KeyError("plugin"), "KeyError: 'plugin'"),
        (TimeoutError(), "a wait inside"),
    ],
)
@virtual_time
async def test_whatever_goes_wrong_in_a_verb_is_its_failure_outcome(error: Exception, said: str) -> None:
    seen = Trail()
    made = flow(
        step(raises(error), bad=["failed", "busy"], failure="failed", outcomes={"failed": [step(seen("failed"))]}),
        step(seen("on")),
    )
    path, record = await trail_of(made, seen)
    assert path == "failed on"
    assert said in record.steps[0].detail
    assert record.steps[0].outcome == "failed"


@virtual_time
async def test_a_verb_may_name_the_outcome_of_its_error() -> None:
    seen = Trail()
    made = flow(
        step(raises(StepError("x", "busy")), bad=["busy"], outcomes={"busy": [step(seen("busy"))]}),
        step(raises(StepError("x", "unheard_of")), bad=["busy"], outcomes={"error": [step(seen("error"))]}),
    )
    assert (await trail_of(made, seen))[0] == "busy error"


# ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_step_has_its_time() -> None:
    seen = Trail()
    line = VirtualLine()
    made = flow(
        step(forever, timeout=5, bad=["timeout"], outcomes={"timeout": [step(seen("timeout"))]}),
        step(forever, timeout=2, outcomes={"error": [step(seen("error"))]}),
        step(waits(1), timeout=2),
    )
    path, record = await trail_of(made, seen, line)
    assert path == "timeout error"
    assert line.log.now == 8
    assert [entry.ms for entry in record.steps if entry.verb == "does"] == [5000, 0, 2000, 0, 1000]
    assert "longer than 5" in record.steps[0].detail


@virtual_time
async def test_a_step_is_tried_again_after_growing_pauses() -> None:
    seen = Trail()
    line = VirtualLine()
    tries: list[float] = []

    async def third_time(at: Step, call: Call) -> Outcome:
        tries.append(line.log.now)
        return Outcome("http_error" if len(tries) < 3 else "done")

    again = step(third_time, bad=["http_error"], retry=Retry(3, 0.5, 2.0), id="book")
    _, record = await trail_of(flow(again), seen, line)
    assert tries == [0, 0.5, 1.5]
    assert [entry.outcome for entry in record.steps] == ["http_error", "http_error", "done"]


@virtual_time
async def test_tries_run_out() -> None:
    seen = Trail()
    made = flow(
        step(seen("x", ends("no")), bad=["no"], retry=Retry(2, 1.0), outcomes={"no": [step(seen("sorry"))]}),
        step(seen("on")),
    )
    assert (await trail_of(made, seen))[0] == "x x x sorry on"


@virtual_time
async def test_a_good_outcome_is_not_tried_again() -> None:
    seen = Trail()
    assert (await trail_of(flow(step(seen("x", ends("ok")), good=["ok"], retry=Retry(2))), seen))[0] == "x"


@virtual_time
async def test_the_longest_call_goes_to_its_handler_in_time() -> None:
    seen = Trail()
    line = VirtualLine()
    made = flow(step(forever), step(seen("never")), max_call=30.5, handlers=[handler("max_call", step(seen("over")))])
    path, record = await trail_of(made, seen, line)
    assert path == "over"
    assert line.log.now == 30.5
    assert "max_call" in record.error
    assert record.steps[0].outcome == "cancelled"


@virtual_time
async def test_time_does_not_run_out_while_a_person_is_connected() -> None:
    seen = Trail()
    line = VirtualLine()

    async def talks(at: Step, call: Call) -> None:
        call.with_person = True
        await asyncio.sleep(100)
        call.with_person = False

    made = flow(step(talks), step(seen("after"), name="after"), step(forever), max_call=10)
    await trail_of(made, seen, line)
    assert str(seen) == "after"
    assert 100 <= line.log.now <= 101


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
