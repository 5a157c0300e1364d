"""A caller answers by speech on a real line: their words go to the recogniser, and keys and barge-in still count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from company import Company, Open, until

from tests.emulators.openai_realtime import Emulator, Faults

pytestmark = pytest.mark.asterisk

FLOW = """
    steps:
      - id: who
        gather:
          say: Please say the name of the department that you want, or enter its number.
          input: any
          language: en-US
          hints: [sales, support]
          retries: 0
        outcomes:
          no_input: [{hangup: {result: silent}}]
          no_match: [{hangup: {result: unclear}}]
          provider_error: [{hangup: {result: deaf}}]
      - hangup: {result: "text ${steps.who.text} keys ${steps.who.digits}"}
"""


@asynccontextmanager
async def listening(open_company: Open, **options: Any) -> AsyncIterator[tuple[Company, Emulator]]:
    """A company whose flow listens by the openai voice, and the emulator behind it; nothing of it may be left."""
    async with Emulator(**options) as emulator:
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(FLOW, voices=voices, listening="openai") as house:
            yield house, emulator
        assert emulator.open_sessions == 0
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []


async def test_what_a_caller_says_reaches_the_flow(open_company: Open) -> None:
    async with listening(open_company, heard=["The support, please."]) as (house, emulator):
        caller = await house.call()
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.says("The support, please.")
        record = await house.ended(caller)
        conversation = await emulator.conversation()
    assert record.result == "text The support, please. keys "
    assert [(entry.role, entry.text) for entry in record.transcript][1:] == [("caller", "The support, please.")]
    hearing = conversation.session["audio"]["input"]
    assert hearing["transcription"] == {"model": "gpt-transcribe", "language": "en", "keywords": ["sales", "support"]}
    assert len(conversation.audio) > 8000, "the caller's own audio went there, µ-law as it came"


async def test_who_knows_the_way_speaks_over_the_question(open_company: Open) -> None:
    async with listening(open_company, heard=["Sales."]) as (house, _):
        caller = await house.call()
        await caller.hears_something()
        await caller.says("The sales department, please.")
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.result == "text Sales. keys "
    assert heard.bursts()[-1][1] < 2.0, "the question alone takes four seconds"


async def test_a_key_ends_an_answer_that_has_begun(open_company: Open) -> None:
    async with listening(open_company, heard=["I am not quite sure."]) as (house, emulator):
        caller = await house.call()
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.says("Well, I am not quite sure, but perhaps it may have been number", wait=False)
        conversation = await emulator.conversation()
        await until(lambda: len(conversation.audio) > 8000, "the caller to be heard")
        await caller.presses("42#")
        record = await house.ended(caller)
    assert record.result == "text  keys 42"
    assert [entry.role for entry in record.transcript] == ["voice"]


async def test_a_recogniser_that_is_cut_off_is_an_outcome(open_company: Open) -> None:
    async with listening(open_company, faults=Faults(drop_after_ms=200)) as (house, _):
        caller = await house.call()
        record = await house.ended(caller)
    assert record.result == "deaf"
    assert "OpenAI lost the connection" in record.steps[0].detail
