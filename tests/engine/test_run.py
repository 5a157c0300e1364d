from __future__ import annotations

import asyncio

import pytest

from engine.call import Call
from engine.line import LineError
from engine.outcome import Outcome, StepError
from engine.record import CallRecord
from engine.safety import TIME_IS_UP
from engine.virtual import VirtualLine, virtual_time
from flows.expressions import ExpressionError
from flows.flow import Flow, Retry, Step
from tests.engine.support import (
    Act,
    Trail,
    ends,
    flow,
    forever,
    handler,
    raises,
    run_call,
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
    assert 100 <= next(entry.at for entry in line.log if entry.what == "answered") <= 101


@virtual_time
async def test_without_a_handler_the_caller_is_told_that_the_time_is_over() -> None:
    line = VirtualLine()
    path, record = await trail_of(flow(step(forever), max_call=30), Trail(), line)
    assert (path, record.outcome) == ("", "failed")
    assert line.log.heard("caller") == [TIME_IS_UP]
