"""A voice keeps the caller company while real phones ring, and is gone when a person is there."""

from __future__ import annotations

import pytest
from company import Open
from hearing import longest_silence, seconds_of_tone, singing

from engine.company import WORDS
from tests.emulators.openai_realtime import Emulator, Faults, Say

pytestmark = pytest.mark.asterisk

RINGS_FOR_THREE = "+12125570309"  # seconds, then answers with 900 Hz
RINGS_FOR_EIGHT = "+12125570809"
FIRST, AGAIN = WORDS["en"]
ANSWER = "I do not know."
PITCHES = {FIRST: 600.0, AGAIN: 700.0, ANSWER: 800.0}
PERSON = 900.0


def flow(target: str, more: str = "") -> str:
    return f"""
        defaults: {{converse: {{provider: openai}}}}
        steps:
          - transfer:
              caller_hears: ai
              attempts: [{{targets: ["tel:{target}"], timeout: 30s{more}}}]
            outcomes: {{failed: []}}
          - hangup: {{result: wrong}}
    """


def voices(emulator: Emulator) -> dict[str, dict[str, str]]:
    return {"openai": {"api_key": "test-key", "base_url": emulator.url}}


async def test_the_voice_talks_at_once_and_stops_in_the_middle_of_a_word_when_the_person_is_there(
    open_company: Open,
) -> None:
    async with Emulator(voice=singing(PITCHES)) as emulator:
        async with open_company(flow(RINGS_FOR_THREE), voices=voices(emulator)) as house:
            caller = await house.call()
            await house.connected(caller)
            await caller.sounds(500, 1.5)
            await caller.hangs_up()
            record = await house.ended(caller)
            _, heard = await caller.recording()
            person = await house.heard_by(RINGS_FOR_THREE)
        assert emulator.open_sessions == 0
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []
        session = (await emulator.conversation()).session
    assert record.outcome == "handed_off"
    assert [(entry.role, entry.interrupted) for entry in record.transcript] in ([], [("voice", True)])
    assert session["tools"] == []
    pieces = [heard.part(at / 10, at / 10 + 0.1) for at in range(int(heard.seconds * 10))]
    voice = [at for at, piece in enumerate(pieces) if piece.tone_share(600) > 0.8]
    people = [at for at, piece in enumerate(pieces) if piece.tone_share(PERSON) > 0.8]
    assert voice[0] < 10, "the voice speaks within a second"
    assert 20 < len(voice) < 33, "it would speak for over four seconds, and is cut off"
    assert people[0] - voice[-1] <= 3, "the person is heard at once"
    assert voice[-1] < people[0]
    assert seconds_of_tone(person, 500) > 1.0
    assert seconds_of_tone(person, 600) == 0, "the person hears nothing of it"


async def test_the_caller_talks_with_it_while_it_rings(open_company: Open) -> None:
    emulator = Emulator(script=[Say(ANSWER)], heard=["How long will it take?"], voice=singing(PITCHES))
    async with emulator, open_company(flow(RINGS_FOR_EIGHT), voices=voices(emulator)) as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.says("How long will it take?")
        await house.connected(caller)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    said = [(entry.role, entry.text.strip()) for entry in record.transcript]
    assert said == [("voice", FIRST), ("caller", "How long will it take?"), ("voice", ANSWER)]
    assert seconds_of_tone(heard, 800.0) == pytest.approx(0.84, abs=0.25)


@pytest.mark.parametrize("faults", [Faults(http_status=503), Faults(drop_after_ms=1500)], ids=["refuses", "breaks"])
async def test_when_the_voice_fails_it_rings(open_company: Open, faults: Faults) -> None:
    emulator = Emulator(faults=faults, voice=singing(PITCHES))
    async with emulator, open_company(flow(RINGS_FOR_EIGHT), voices=voices(emulator)) as house:
        caller = await house.call()
        await house.connected(caller)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.outcome == "handed_off"
    ringing = heard.part(6.0, 8.0)
    assert ringing.tone_share(440) + ringing.tone_share(480) > 0.8
    assert longest_silence(heard, 0.5, 7.5) < 4.5


async def test_what_is_said_before_an_attempt_is_heard_alone(open_company: Open) -> None:
    emulator, told = Emulator(voice=singing(PITCHES)), ", before: [{say: I will try the nurse at home.}]"
    async with emulator, open_company(flow(RINGS_FOR_THREE, told), voices=voices(emulator)) as house:
        caller = await house.call()
        await house.connected(caller)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert [step.verb for step in record.steps] == ["transfer", "say"]
    began = next(at / 10 for at in range(100) if heard.part(at / 10, at / 10 + 0.1).tone_share(600) > 0.8)
    assert began > 1.0, "the words of the flow come first"
    assert heard.part(0.3, began - 0.3).tone_share(440) < 0.2, "and no ringing with them"
