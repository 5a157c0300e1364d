"""Flows that go in circles, whatever stands in their way out: the call ends, with words, and no other call notices."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from engine.call import Call
from engine.run import BREATH, MAX_JUMPS, MAX_STEPS
from engine.safety import APOLOGY
from engine.virtual import Calls, VirtualLine, VirtualProvider, virtual_services, virtual_time
from flows.library import Library
from tests.engine.support import beside_script
from tests.engine.verbs.phone import dial, flow, library
from tests.engine.verbs.talking import asks, converse, finish

SORRY = "handlers: [{event: error, steps: [{say: We are sorry.}]}]"
TWICE = "{goto: a, catch: [{goto: a}]}"
THRICE = "{goto: a, catch: [{goto: a, catch: [{goto: a}]}]}"
FOREVER = "{repeat: {max: 1000, steps: [{repeat: {max: 1000, steps: [{set: {}}]}}]}"
LOOPS = [
    (f"sections: {{a: [{TWICE}]}}", "- goto: a"),
    (f"sections: {{a: [{THRICE}]}}", "- goto: a"),
    (f"sections: {{a: [{THRICE[:-1]}, retry: {{max: 3, delay: 1s}}}}]}}", "- goto: a"),
    (
        "sections: {a: [{call: {section: b}, outcomes: {error: [{call: {section: b}, catch: [{goto: a}]}]}}],"
        " b: [{call: {section: a}, catch: [{goto: b}]}]}",
        "- goto: a",
    ),
    ("", f"- {FOREVER}, catch: [{FOREVER}, catch: [{FOREVER}, catch: [{FOREVER}}}]}}]}}]}}"),
]


@pytest.mark.parametrize(("head", "steps"), LOOPS)
@virtual_time
async def test_a_circle_that_is_caught_again_and_again_ends_with_words(tmp_path: Path, head: str, steps: str) -> None:
    over = await dial(library(tmp_path, flow(steps, head=head)))
    assert len(over.record.steps) <= 2 * MAX_STEPS
    assert (over.heard, over.record.outcome) == ([APOLOGY], "failed")
    assert "error: loop: " in over.record.error


@pytest.mark.parametrize(("head", "steps"), LOOPS)
@virtual_time
async def test_the_flows_own_handler_comes_before_the_apology(tmp_path: Path, head: str, steps: str) -> None:
    over = await dial(library(tmp_path, flow(steps, head=f"{SORRY}\n{head}")))
    assert len(over.record.steps) <= 2 * MAX_STEPS + 1
    assert (over.heard, over.record.outcome) == (["We are sorry."], "completed")


@virtual_time
async def test_a_circle_in_the_handler_too_leads_to_the_safety_destination(tmp_path: Path) -> None:
    head = f"handlers: [{{event: error, goto: a}}]\nsections: {{a: [{THRICE}]}}"
    line = VirtualLine(targets={"pjsip:front-desk": {"answer": 1, "hangs_up_after": 5}})
    services = {"safety_destination": "pjsip:front-desk"}
    over = await dial(library(tmp_path, flow("- goto: a", head=head)), line=line, **services)
    assert len(over.record.steps) == 3 * (MAX_JUMPS + 1)
    assert (over.record.outcome, over.record.hangup_by) == ("handed_off", "target")


@virtual_time
async def test_a_flow_that_was_called_answers_for_a_circle_once(tmp_path: Path) -> None:
    """Whoever calls it again, and whatever handlers it has: each time it begins anew."""
    inner = flow("- goto: a", head=f"handlers: [{{event: error, goto: a}}]\nsections: {{a: [{TWICE}]}}", name="inner")
    again = "- repeat: {max: 9, steps: [{call: {flow: inner}, catch: []}]}"
    over = await dial(library(tmp_path, flow(again, head=SORRY), inner))
    assert len(over.record.steps) <= 3 * (MAX_JUMPS + 2)
    assert over.heard == ["We are sorry."]


@virtual_time
async def test_a_flow_beside_a_talk_goes_in_circles_once(tmp_path: Path) -> None:
    """The model is told of the first; then the call goes where the flow says."""
    tool = "tools:\n  t: {description: T., flow: {flow: lookup}}\ngreeting: Hello."
    lookup = flow("- goto: a", head="sections: {a: [{goto: a}]}", name="lookup")
    house = library(tmp_path, converse(tool, head=SORRY), lookup)
    over = await dial(house, asks, [Calls("t")], [Calls("t")], [finish()])
    assert [step.verb for step in over.record.steps].count("goto") == 2 * (MAX_JUMPS + 1)
    assert [tool.outcome for tool in over.record.tools] == ["error", "cancelled"]
    assert over.heard[-1] == "We are sorry."


@virtual_time
async def test_the_hangup_handler_goes_in_circles_no_longer(tmp_path: Path) -> None:
    head = f"handlers: [{{event: hangup, goto: a}}]\nsections: {{a: [{THRICE}]}}"
    over = await dial(library(tmp_path, flow("- say: Goodbye.", head=head)))
    assert len(over.record.steps) <= 1 + 2 * (MAX_JUMPS + 1)
    assert (over.heard, over.record.outcome) == (["Goodbye."], "completed")


# ── Other calls ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("steps", "looks"),
    [
        ("- repeat: {max: 990, steps: [{set: {}}]}", 990),
        ("- repeat: {max: 1000, steps: [{set: {}, disabled: true}]}", 1000),
        ("- repeat: {max: 1000, steps: [{set: {}, when: call.did == ''}]}", 1000),
    ],
)
@virtual_time
async def test_other_calls_go_on_between_the_steps_of_one(tmp_path: Path, steps: str, looks: int) -> None:
    """Nothing in such a flow waits, nor in a record that is kept in memory."""
    turns, longest = await beside(library(tmp_path, flow(steps)))
    assert turns >= looks // BREATH
    assert longest <= BREATH + 1


async def beside(house: Library) -> tuple[int, int]:
    """How often somebody else had the event loop while a call lasted, and how many steps it ran at most meanwhile."""
    call = Call(VirtualLine(), house.flows["test"], house, virtual_services(VirtualProvider()))
    ran = [0]

    async def looks() -> None:
        while call.record.ended is None:
            ran.append(len(call.record.steps))
            await asyncio.sleep(0)

    await beside_script(call, looks)
    return len(ran), max(after - before for before, after in pairwise(ran))
