from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

STEPS = """
- id: sign
  wait_for: {event: %s, timeout: 5s}
  outcomes: {timeout: [{say: Nobody.}]}
- say: Done.
"""


@virtual_time
async def test_a_key_ends_the_wait_and_is_taken(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(2)
        await line.caller.presses("7")

    steps = (STEPS % "dtmf") + '- hangup: {result: "${steps.sign.key}"}\n'
    over = await dial(library(tmp_path, flow(steps)), script)
    assert over.ways[0] == ("wait_for", "done")
    assert over.record.steps[0].ms == 2000
    assert over.record.result == "7"


@virtual_time
async def test_speech_ends_the_wait(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(3)
        await line.caller.says("Hello?", 1.0)

    over = await dial(library(tmp_path, flow(STEPS % "speech")), script)
    assert over.ways[0] == ("wait_for", "done")
    assert over.record.steps[0].ms == pytest.approx(3080, abs=20)


@pytest.mark.parametrize("event", ["dtmf", "speech"])
@virtual_time
async def test_nobody_does_anything(tmp_path: Path, event: str) -> None:
    over = await dial(library(tmp_path, flow(STEPS % event)))
    assert over.ways == [("wait_for", "timeout"), ("say", "done"), ("say", "done")]
    assert over.record.steps[0].ms == 5000
    assert over.record.steps[0].detail == "nothing within 5 s"


@pytest.mark.parametrize(("event", "ends"), [("dtmf", "done"), ("speech", "cancelled")])
@virtual_time
async def test_a_key_belongs_to_the_step_only_when_it_waits_for_one(tmp_path: Path, event: str, ends: str) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.presses("0")

    head = 'handlers: [{event: dtmf, digits: "0", goto: desk}]\nsections: {desk: [{hangup: {result: desk}}]}'
    over = await dial(library(tmp_path, flow(STEPS % event, head=head)), script)
    assert over.ways[0] == ("wait_for", ends)
    assert over.record.result == ("" if event == "dtmf" else "desk")


@virtual_time
async def test_what_the_caller_says_is_heard_by_the_next_step_again(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.says("Hello?", 1.0)
        await line.caller.hears("Done.")
        await line.caller.waits(3)
        await line.caller.says("Hello again?", 1.0)

    over = await dial(
        library(tmp_path, flow((STEPS % "speech") + "- wait: 2s\n- wait_for: speech\n  catch: []")), script
    )
    assert over.ways == [("wait_for", "done"), ("say", "done"), ("wait", "done"), ("wait_for", "done")]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(tmp_path, "- wait_for: rain\n  catch: []")
    known = "'dtmf', 'speech', 'beep', 'webhook' or 'supervisor'"
    assert found[0].startswith(f"3:15: error[E203]: 'rain' is not one of {known}")
    assert any("wait_for may end with timeout" in line for line in problems(tmp_path, "- wait_for: dtmf"))
