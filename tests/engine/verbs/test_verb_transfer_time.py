"""Whose time runs while the caller talks to a person, and what the call is when the person is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import Calls, VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library

RESCUED = "outcomes: {failed: [{say: Nobody answered.}], timeout: [{say: Nobody answered in time.}]}"
OPERATOR = """
handlers:
  - event: dtmf
    digits: "0"
    steps: [{say: Operator.}]
"""


async def stays(line: VirtualLine) -> None:
    await line.caller.waits(60)
    await line.caller.hangs_up()


@virtual_time
async def test_the_time_of_a_step_ends_no_talk_with_a_person(tmp_path: Path) -> None:
    text = flow(f'- transfer: {{attempts: [{{targets: ["pjsip:a"]}}]}}\n  timeout: 30s\n  {RESCUED}\n')
    over = await dial(library(tmp_path, text), stays, targets={"pjsip:a": {"answer": 3}})
    assert (over.record.outcome, over.record.hangup_by) == ("handed_off", "caller")
    assert (over.heard, over.ways) == ([], [("transfer", "connected")])
    assert over.line.log.now == pytest.approx(60, abs=0.1)


@virtual_time
async def test_it_ends_the_ringing_as_before(tmp_path: Path) -> None:
    text = flow(f'- transfer: {{attempts: [{{targets: ["pjsip:a"]}}]}}\n  timeout: 5s\n  {RESCUED}\n')
    over = await dial(library(tmp_path, text), targets={"pjsip:a": {"answer": 8}})
    assert (over.heard, over.record.outcome) == (["Nobody answered in time."], "completed")


@virtual_time
async def test_the_time_of_a_talk_stands_still_and_then_goes_on(tmp_path: Path) -> None:
    """What has run of it when the person is there has run; with the rest it goes on after them."""
    tool = (
        "{description: A person., transfer: "
        '{attempts: [{targets: ["pjsip:a"]}], after_callee_hangup: continue, unreached: No.}}'
    )
    text = flow(f"""
- repeat:
    max: 2
    steps:
      - converse: {{greeting: Hello., exits: {{done_: {{}}}}, tools: {{person: {tool}}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - wait: 30s
  timeout: 20s
  catch: [{{say: Time is up.}}]
""")
    moments = []

    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("A person, please.", 1)
        await line.log.until("connected")
        moments.append(line.log.now)
        await line.log.until("hung_up", who="pjsip:a", within=90)
        moments.append(line.log.now)
        await line.caller.hears("time is up")
        moments.append(line.log.now)

    over = await dial(
        library(tmp_path, text), script, [Calls("person")], targets={"pjsip:a": {"answer": 3, "hangs_up_after": 60}}
    )
    connected, parted, up = moments
    assert parted == pytest.approx(connected + 60, abs=0.5)
    assert connected + (up - parted) == pytest.approx(20, abs=1.5)
    assert over.record.outcome == "completed"


VOICEMAIL = """
- transfer: {attempts: [{targets: ["pjsip:a"]}]}
  timeout: 4s
  outcomes:
    failed: []
    timeout: []
    connected:
      - say: One word more.
      - wait: 30s
"""


@virtual_time
async def test_after_the_person_keys_work_and_the_call_was_handed_off(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("hung_up", who="pjsip:a", within=90)
        await line.caller.waits(10)
        await line.caller.presses("0")

    house = library(tmp_path, flow(VOICEMAIL, head=OPERATOR))
    over = await dial(house, script, targets={"pjsip:a": {"answer": 1, "hangs_up_after": 2}})
    assert over.heard == ["One word more.", "Operator."]
    assert (over.record.outcome, over.call.with_person) == ("handed_off", False)


@virtual_time
async def test_after_the_person_the_calls_own_time_counts(tmp_path: Path) -> None:
    head = "defaults: {max_call: 10s}\nhandlers: [{event: max_call, steps: [{say: Time is up.}]}]"
    house = library(tmp_path, flow(VOICEMAIL, head=head))
    over = await dial(house, targets={"pjsip:a": {"answer": 1, "hangs_up_after": 2}})
    assert over.heard == ["One word more.", "Time is up."]
    assert over.line.log.now == pytest.approx(11, abs=0.5)


@virtual_time
async def test_who_hangs_up_after_the_person_was_not_connected_then(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("hung_up", who="pjsip:a", within=90)
        await line.caller.waits(10)
        await line.caller.hangs_up()

    over = await dial(
        library(tmp_path, flow(VOICEMAIL)), script, targets={"pjsip:a": {"answer": 1, "hangs_up_after": 2}}
    )
    assert over.ways == [("transfer", "cancelled"), ("say", "done"), ("wait", "cancelled")]
    assert over.record.outcome == "handed_off"


@pytest.mark.parametrize("latency", [0.0, 0.5])
@virtual_time
async def test_a_clock_that_runs_out_as_the_person_answers(tmp_path: Path, latency: float) -> None:
    """Whichever is first: the call is the person's, or it goes on as if nobody had answered."""
    text = flow(f'- transfer: {{attempts: [{{targets: ["pjsip:a"]}}]}}\n  timeout: 4s\n  {RESCUED}\n')
    line = VirtualLine(targets={"pjsip:a": {"answer": 4 - 3 * latency}}, latency=latency)
    over = await dial(library(tmp_path, text), stays_or_is_gone, line=line)
    timed_out = over.ways[0] == ("transfer", "timeout")
    assert over.record.outcome == ("completed" if timed_out else "handed_off")
    assert over.heard == (["Nobody answered in time."] if timed_out else [])


async def stays_or_is_gone(line: VirtualLine) -> None:
    await line.caller.waits(60)
    if not line.ended.done():
        await line.caller.hangs_up()
