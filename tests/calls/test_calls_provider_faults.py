"""A provider refuses, stalls, breaks off or talks nonsense: the flow's failure path runs, and nobody sits in silence.

The silence is measured on what the caller heard.
"""

from __future__ import annotations

import asyncio

import pytest
from company import Open
from hearing import longest_silence, singing

from tests.emulators.openai_realtime import Call, Emulator, Faults, Say
from tests.emulators.openai_realtime.model import Fail

pytestmark = pytest.mark.asterisk

GREETING, ANSWER, GOODBYE = "Hello, what can I do for you today?", "We open at nine.", "Goodbye, and thank you."
CONNECT, ANSWERED = 1.0, 1.5  # seconds that the flow gives the provider
MARGIN = 1.0  # s: making of the prompt, TALK_DETECT, a busy machine

FLOW = f"""
    handlers: [{{event: provider_down, goto: sorry}}]
    steps:
      - id: talk
        converse:
          provider: openai
          greeting: "{GREETING}"
          connect_within: 1s
          answer_within: 1500ms
          silence: {{after: 1500ms, reprompts: 0}}
          exits: {{bye: {{description: The caller says goodbye.}}}}
        outcomes: {{silence: [{{goto: sorry}}], max_duration: []}}
      - hangup: {{result: fine}}
    sections:
      sorry:
        - say: I am sorry, something is broken. Please call again.
        - hangup: {{result: sorry}}
"""


async def call_with(open_company: Open, emulator: Emulator, *, speaks: bool) -> tuple[str, str, float]:
    """A call on that flow: (its result, the error on record, the longest silence that the caller heard)."""
    voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
    async with open_company(FLOW, voices=voices) as house:
        caller = await house.call()
        if speaks:
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("When do you open?")
        record = await house.ended(caller)
        said, heard = await caller.recording()
    spoke = [end for _, end in said.bursts()]
    since = spoke[-1] if spoke else 0.0
    silence = longest_silence(heard, since)
    return record.result, record.error, silence


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (Faults(http_status=401), "key"),
        (Faults(http_status=503), "503"),
        (Faults(hang_upgrade=True), "no session within 1 s"),
        (Faults(no_session=True), "no session within 1 s"),
        (Faults(refuse_session=("invalid_value", "No such voice.")), "No such voice"),
    ],
    ids=["401", "503", "never answers", "silent", "refuses the session"],
)
async def test_refuses_at_connect(open_company: Open, faults: Faults, error: str) -> None:
    async with Emulator(faults=faults) as emulator:
        result, told, silence = await call_with(open_company, emulator, speaks=False)
        assert emulator.open_sessions == 0
    assert result == "sorry"
    assert error in told
    assert silence < CONNECT + MARGIN


async def test_is_not_there_at_all(open_company: Open) -> None:
    emulator = Emulator()
    async with emulator:
        pass  # nobody listens on its port any more
    result, told, silence = await call_with(open_company, emulator, speaks=False)
    assert result == "sorry"
    assert "provider_error" in told
    assert silence < MARGIN


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (Faults(drop_after_ms=600), "provider_error"),
        (Faults(close_after_ms=600, close_code=1011), "provider_error"),
        (Faults(stall=True), "no audio for 1.5 s"),
        (Faults(stop_reading=True), "no audio for 1.5 s"),
        (Faults(error=("insufficient_quota", "You exceeded your quota.")), "quota"),
    ],
    ids=["cut in mid-utterance", "closed in mid-utterance", "never speaks", "stops reading", "quota"],
)
async def test_fails_before_the_caller_spoke(open_company: Open, faults: Faults, error: str) -> None:
    # As fast as it is heard, so that it is still speaking when it breaks off.
    async with Emulator(faults=faults, voice=singing({}), pace=1.0) as emulator:
        result, told, silence = await call_with(open_company, emulator, speaks=False)
        assert emulator.open_sessions == (1 if faults.stop_reading else 0), "who does not read sees no end"
    assert result == "sorry"
    assert error in told
    assert silence < ANSWERED + MARGIN


class Stalling(Emulator):
    """It greets, and never answers after that."""

    async def stall(self) -> None:
        conversation = await self.conversation()
        await conversation.expect("response.create")
        conversation.faults = Faults(stall=True)


async def test_stalls_after_the_caller_spoke(open_company: Open) -> None:
    async with Stalling(voice=singing({})) as emulator:
        stalling = asyncio.create_task(emulator.stall())
        result, told, silence = await call_with(open_company, emulator, speaks=True)
        await stalling
    assert result == "sorry"
    assert "no audio for 1.5 s" in told
    assert silence < ANSWERED + 0.6 + MARGIN, "0.6 s of it are the provider's: it waits for the end of speech"


async def test_fails_to_answer(open_company: Open) -> None:
    async with Emulator(script=[Fail()], voice=singing({})) as emulator:
        result, _, silence = await call_with(open_company, emulator, speaks=True)
    assert result == "sorry"
    assert silence < 1.5 + 0.6 + MARGIN


async def test_nonsense_does_no_harm(open_company: Open) -> None:
    faults = Faults(garbage=("{", "[]", '{"type": 7}', '{"type":"response.output_audio.delta"}', b"\x00\x01", ""))
    script = [Say(ANSWER), Call("finish", {"exit": "bye"}, say=GOODBYE)]
    async with Emulator(faults=faults, script=script, voice=singing({})) as emulator:
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(FLOW, voices=voices) as house:
            caller = await house.call()
            for words in ("When do you open?", "Thank you."):
                await caller.hears_something()
                await caller.hears_nothing()
                await caller.says(words)
            record = await house.ended(caller)
    assert record.result == "fine"
    assert [entry.text for entry in record.transcript if entry.role == "voice"] == [GREETING, ANSWER, GOODBYE]
