"""The key of a `dtmf` handler, while the step that runs reads and forgets keys of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import Calls, Says, VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library

OPERATOR = """
handlers:
  - event: dtmf
    digits: "0"
    steps:
      - say: Operator.
"""


@pytest.mark.parametrize("pressed", ["", "5", "57", "571"])
@virtual_time
async def test_it_is_heard_after_wrong_answers_were_forgotten(tmp_path: Path, pressed: str) -> None:
    gather = """
    - gather: {say: Tell me your name., input: speech, interruptible: none, retries: 3, timeout: 4s}
      outcomes: {no_input: [], no_match: [], provider_error: []}
    - say: Over.
    """

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        if pressed:
            await line.caller.presses(pressed)
        await line.caller.waits(7.0)  # it is asked again
        await line.caller.presses("0")
        await line.caller.hears("operator", within=2.0)

    over = await dial(library(tmp_path, flow(gather, head=OPERATOR)), script)
    assert over.heard[-1] == "Operator."


@virtual_time
async def test_it_is_heard_after_a_transfer_that_nobody_answered(tmp_path: Path) -> None:
    talk = """
    - converse:
        greeting: Hello.
        exits: {done_: {}}
        tools: {person: {description: A person., transfer: {attempts: [{targets: ["pjsip:bob"]}]}}}
      outcomes: {silence: [], max_duration: [], provider_error: []}
    """

    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.presses("5")
        await line.caller.says("A person, please.", 1.0)
        await line.caller.hears("sorry")
        await line.caller.presses("0")
        await line.caller.hears("operator", within=2.0)

    over = await dial(
        library(tmp_path, flow(talk, head=OPERATOR)), script, [Calls("person")], [Says("Sorry, nobody is there.")],
        targets={"pjsip:bob": "busy"},
    )  # fmt: skip
    assert over.heard[-1] == "Operator."
