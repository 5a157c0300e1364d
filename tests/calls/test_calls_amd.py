"""Asterisk's own detector of machines, on calls that stay where they are meanwhile."""

from __future__ import annotations

import array
import asyncio
import audioop
import wave
from pathlib import Path

import pytest
from company import Open, until
from hearing import seconds_of_tone

from asterisk.recording import Track

pytestmark = pytest.mark.asterisk

MAILBOX = "You have reached the answering machine of Miller and Sons. Please speak after the tone."
FLOW = """
    steps:
      - answer: {}
      - id: who
        detect_machine: {engine: asterisk, timeout: 4s}
        outcomes:
          machine:
            - id: beep
              wait_for: {event: beep, timeout: 15s}
              outcomes: {timeout: []}
      - say: Good day.
      - hangup: {result: "${steps.who.outcome} ${steps.beep.outcome}"}
"""


async def test_a_person_a_machine_and_nobody(open_company: Open) -> None:
    async with open_company(FLOW) as house:
        person = await house.call()
        await person.says("Good morning.")
        record = await house.ended(person)
        assert record.result == "human "
        assert (record.steps[-3].ms or 0) < 4000

        machine = await house.call()
        await machine.says(MAILBOX)
        await machine.sounds(1000, 0.5)
        record = await house.ended(machine)
        assert record.result == "machine done"

        nobody = await house.call()
        record = await house.ended(nobody)
        assert record.result == "unknown "
        assert 3900 < (record.steps[-3].ms or 0) < 5000


async def test_the_recording_the_keys_and_the_voice_go_on_meanwhile(open_company: Open, tmp_path: Path) -> None:
    flow = """
        steps:
          - say: One.
          - id: tape
            record: start
          - detect_machine: {engine: asterisk}
          - id: key
            wait_for: {event: dtmf, timeout: 1s}
            outcomes: {timeout: []}
          - say: Two.
          - record: stop
          - hangup: {result: "${steps.key.key}"}
    """
    async with open_company(flow, storage=tmp_path / "kept") as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.sounds(500, 0.6)
        await caller.presses("7")
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert [step.outcome for step in record.steps if step.verb == "detect_machine"] == ["human"]
    assert record.result == "7"
    assert len(heard.bursts()) == 2
    [file] = (tmp_path / "kept/recordings").iterdir()
    assert seconds_of_tone(_callers_side(file), 500) == pytest.approx(0.6, abs=0.15)


def _callers_side(file: Path) -> Track:
    with wave.open(str(file)) as sound:
        return Track(array.array("h", audioop.tomono(sound.readframes(sound.getnframes()), 2, 1.0, 0.0)))


async def test_the_caller_hangs_up_meanwhile(open_company: Open) -> None:
    async with open_company(FLOW) as house:  # counts what is left
        for seconds in (0.0, 0.005, 0.02, 0.05, 0.5):
            caller = await house.call()
            call = await house.live(caller)
            await until(lambda call=call: call.record.steps[-1].verb == "detect_machine", "the detection to begin")
            await asyncio.sleep(seconds)  # somewhere between the first request and AMD at work
            await caller.hangs_up()
            record = await house.ended(caller)
            assert record.outcome == "caller_hung_up"
            assert record.steps[-1].outcome == "cancelled"


async def test_a_key_that_leads_elsewhere_is_not_kept_waiting(open_company: Open) -> None:
    flow = """
        handlers: [{event: dtmf, digits: "0", goto: desk}]
        steps:
          - detect_machine: {engine: asterisk, timeout: 9s}
        sections: {desk: [{hangup: {result: desk}}]}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await asyncio.sleep(0.5)  # AMD listens; no event tells
        await caller.presses("0")
        record = await house.ended(caller)
    assert record.result == "desk"
    assert (record.steps[0].ms or 0) < 2000


async def test_an_asterisk_that_is_not_prepared_cannot_tell(
    open_company: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asterisk.detector.CONTEXT", "somewhere-else")
    async with open_company(FLOW.replace("timeout: 4s", "timeout: 1s")) as house:
        caller = await house.call()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.result == "unknown "
    assert heard.bursts(), "the flow goes on"
    detail = next(step.detail for step in record.steps if step.verb == "detect_machine")
    assert "needs the context somewhere-else" in detail
