"""The transcript of a recording, by the emulated provider: real frames over a real socket, faster than real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.listening import Recognisers
from engine.transcripts import Transcript, patience, transcribe
from engine.voices import Voices
from providers.voice import VoiceError
from tests.emulators.openai_realtime import Emulator, Faults, silence, tone

MESSAGE = tone(600) + silence(800) + tone(400)  # two sentences, and cut off behind the last word


@asynccontextmanager
async def recognisers(**options: Any) -> AsyncIterator[tuple[Recognisers, Emulator]]:
    async with Emulator(**options) as emulator:
        voices = Voices({"openai": {"api_key": "test-key", "base_url": emulator.url}})
        yield Recognisers(voices, "openai"), emulator
        await voices.close()
        assert emulator.open_sessions == 0
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []


async def test_every_sentence_is_written_down_faster_than_it_was_spoken() -> None:
    clock = asyncio.get_running_loop().time
    async with recognisers(heard=["Please call me.", "It is urgent."]) as (own, emulator):
        began = clock()
        found = await transcribe(own, MESSAGE, "ulaw", language="en-US", hints=["Ada"])
        assert clock() - began < 1.5  # of 1.8 s
        conversation = await emulator.conversation()
    assert found == Transcript("Please call me. It is urgent.")
    assert bytes(conversation.audio).startswith(MESSAGE)
    assert conversation.session["audio"]["input"]["transcription"]["keywords"] == ["Ada"]


async def test_what_came_before_it_broke_is_kept() -> None:
    async with recognisers(heard=["Please call me."], faults=Faults(drop_after_ms=350)) as (own, _):
        found = await transcribe(own, tone(600) + silence(6000), "ulaw")
    assert found == Transcript("Please call me.", "OpenAI lost the connection")


async def test_nothing_at_all_is_an_error() -> None:
    async with recognisers(faults=Faults(no_transcript="too loud")) as (own, _):
        with pytest.raises(VoiceError, match="could not be written: too loud"):
            await transcribe(own, MESSAGE, "ulaw")
    async with recognisers(faults=Faults(http_status=401)) as (own, _):
        with pytest.raises(VoiceError, match="API key is wrong"):
            await transcribe(own, MESSAGE, "ulaw")


async def test_silence_is_no_error() -> None:
    async with recognisers() as (own, _):
        assert await transcribe(own, silence(400), "ulaw") == Transcript("")


async def test_it_may_be_cancelled() -> None:
    async with recognisers() as (own, emulator):
        task = asyncio.create_task(transcribe(own, tone(60_000), "ulaw"))
        await (await emulator.conversation()).heard(8000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await (await emulator.conversation()).ended.wait()


def test_it_takes_an_eighth_of_the_message() -> None:
    assert patience(bytes(8000 * 1800)) == pytest.approx(1800 / 8 + 37)
