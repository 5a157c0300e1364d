"""OpenAI's recogniser against the emulated provider, whose every frame the vendor's own types judge."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import pytest
from openai import AsyncOpenAI

from providers import realtime_socket, transcription
from providers.openai import OpenAI, provider
from providers.transcription import RealtimeRecogniser
from providers.voice import (
    ALAW,
    ULAW,
    AudioFormat,
    Failed,
    SpeechStarted,
    SpeechStopped,
    Used,
    UserText,
    Voice,
    VoiceError,
)
from tests.emulators.openai_realtime import Faults, silence, tone
from tests.emulators.openai_realtime.sound import from_ulaw
from tests.providers.conftest import KEY, Owner, owned

Emulate = Callable[..., Any]
Make = Callable[..., OpenAI]
WORDS = tone(400) + silence(700)


def listening(provider: OpenAI, **options: Any) -> AbstractAsyncContextManager[Owner]:
    """A connected recogniser with somebody who reads it."""
    return owned(cast("Voice", provider.recogniser(**{"format": ULAW, **options})))


async def over(owner: Owner) -> list[Any]:
    """Everything that was heard, once the recogniser has said so."""
    await cast("RealtimeRecogniser", owner.voice).finish()
    async with asyncio.timeout(5):
        await owner.over.wait()
    return owner.events


def finals(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, UserText) and event.final]


async def test_it_asks_for_a_session_that_only_listens(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate()
    async with listening(openai(emulator), language="de-CH", hints=["Röschti", "Bella's"]):
        conversation = await emulator.conversation()
    assert dict(conversation.request.query) == {"intent": "transcription"}
    assert conversation.request.headers["Authorization"] == f"Bearer {KEY}"
    [update] = conversation.client_events
    assert update["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-transcribe", "language": "de", "keywords": ["Röschti", "Bella's"]},
                "turn_detection": {"type": "server_vad"},
            }
        },
    }


@pytest.mark.parametrize("format", [ULAW, ALAW, AudioFormat("pcm16", 24000)])
async def test_what_the_caller_says_is_written_down(emulate: Emulate, openai: Make, format: AudioFormat) -> None:
    emulator = await emulate(heard=["two pizzas", "and a beer"])
    kind = {"ulaw": "audio/pcmu", "alaw": "audio/pcma", "pcm16": "audio/pcm"}[format.encoding]
    async with listening(openai(emulator), format=format) as owner:
        sent = from_ulaw(WORDS + WORDS, kind)
        await owner.hear(sent)
        events = await over(owner)
    conversation = await emulator.conversation()
    assert bytes(conversation.audio).startswith(sent)  # as it came from the line
    assert finals(events) == ["two pizzas", "and a beer"]
    others = [event for event in events if not isinstance(event, UserText)]
    assert [type(event) for event in others if not isinstance(event, Used)] == [SpeechStarted, SpeechStopped] * 2
    used = [event.usage for event in others if isinstance(event, Used)]
    assert {one.model for one in used} == {"gpt-transcribe"}
    assert sum(one.seconds_heard for one in used) == pytest.approx(2.0, abs=0.25), "the words, with a pause behind each"
    assert [event.text for event in events if isinstance(event, UserText)][:2] == ["two ", "two pizzas "]
    assert conversation.responses == []


async def test_the_last_word_may_be_cut_off(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(heard=["until the very end"])
    async with listening(openai(emulator)) as owner:
        await owner.hear(tone(500))
        events = await over(owner)
    assert finals(events) == ["until the very end"]


async def test_silence_has_no_words_whatever_the_model_takes_it_for(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(heard=["Thank you for watching."])
    async with listening(openai(emulator)) as owner:
        await owner.hear(silence(500))
        events = await over(owner)
    assert emulator.heard == []
    assert events == []


async def test_an_empty_end_is_an_end(emulate: Emulate, openai: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription, "SILENCE_MS", 0)
    async with listening(openai(await emulate())) as owner:
        events = await over(owner)
    assert events == []


async def test_what_cannot_be_written_is_told_and_the_rest_goes_on(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(faults=Faults(no_transcript=f"the key {KEY} made no sense"))
    async with listening(openai(emulator)) as owner:
        await owner.hear(WORDS)
        events = await over(owner)
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert failed == Failed(
        "what the caller said could not be written: the key … made no sense", "transcription", recoverable=True
    )


async def test_a_text_that_does_not_come(emulate: Emulate, openai: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription, "TEXT_WITHIN", 0.1)
    async with listening(openai(await emulate(faults=Faults(stall=True)))) as owner:
        await owner.hear(WORDS)
        failed = await owner.next(Failed)
    assert failed == Failed("OpenAI gave no answer within 0.1 s", "stalled", recoverable=True)


async def test_a_lost_connection_is_the_last_event(emulate: Emulate, openai: Make) -> None:
    async with listening(openai(await emulate(faults=Faults(drop_after_ms=50)))) as owner:
        await owner.next(Failed)
        await owner.hear(WORDS)  # to nobody, without an error
        assert await over(owner) == [Failed("OpenAI lost the connection", "close_1006", recoverable=True)]


async def test_audio_that_the_provider_does_not_take_is_told(
    emulate: Emulate, openai: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_socket, "SEND_TIMEOUT", 0.01)
    async with listening(openai(await emulate(faults=Faults(stop_reading=True)))) as owner:
        async with asyncio.timeout(20):
            ear: Any = owner.voice
            while not ear._dropped:
                await ear.send_audio(b"\xff" * 8000)
                await asyncio.sleep(0)
            while ear._socket is not None and not owner.over.is_set():
                await ear.finish()
                await asyncio.sleep(0)
    assert [(type(event), event.code) for event in owner.events] == [(Failed, "backlog")] * 2
    assert "does not keep up" in owner.events[0].message  # type: ignore[union-attr]


@pytest.mark.parametrize("faults", [Faults(http_status=401), Faults(refuse_session=("invalid_value", "no such model"))])
async def test_a_refused_session(emulate: Emulate, openai: Make, faults: Faults) -> None:
    ear = openai(await emulate(faults=faults)).recogniser(format=ULAW)
    with pytest.raises(VoiceError, match=r"API key is wrong|no such model"):
        await ear.connect()


def test_a_format_that_openai_does_not_take() -> None:
    with pytest.raises(VoiceError, match=r"OpenAI takes ulaw at 8 kHz, .*; not"):
        provider({"api_key": KEY}).recogniser(format=AudioFormat("pcm16", 8000))


async def test_the_vendors_own_client_has_its_speech_written_down(emulate: Emulate) -> None:
    emulator = await emulate(heard=["a pizza"])
    client = AsyncOpenAI(api_key=KEY, base_url=emulator.http_url)
    asked = client.realtime.connect(extra_query={"intent": "transcription"})
    async with asyncio.timeout(10), client, asked as connection:
        async for event in connection:
            if event.type == "session.created":
                hearing: Any = {"format": {"type": "audio/pcmu"}, "transcription": {"model": "gpt-transcribe"}}
                await connection.session.update(session={"type": "transcription", "audio": {"input": hearing}})
            elif event.type == "session.updated":
                await connection.input_audio_buffer.append(audio=b64encode(WORDS).decode())
            elif event.type == "conversation.item.input_audio_transcription.completed":
                assert event.transcript == "a pizza"
                break
