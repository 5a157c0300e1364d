"""The voice `azure-speech`: Azure hears and speaks, a text model of the house thinks; each emulated on its own wire."""

from __future__ import annotations

import asyncio
import audioop
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from providers import azure_speech
from providers.azure_speech import AzureSpeech as Provider
from providers.sound import encode
from providers.voice import (
    ULAW,
    Audio,
    AudioFormat,
    Failed,
    Ready,
    SpeechStarted,
    Tool,
    ToolCall,
    TurnDone,
    Turns,
    Used,
    UserText,
    VoiceError,
    VoiceText,
)
from tests.emulators.azure_speech import AzureSpeech, Faults
from tests.emulators.chat_completions import Answer, Emulator
from tests.emulators.openai_realtime.sound import silence, tone
from tests.providers.conftest import KEY, Owner, owned, session

A_TURN = tone(400) + silence(900)
PRICE = Tool("price", "Price of a dish.", {"type": "object", "properties": {"dish": {"type": "string"}}})


@dataclass
class Talk:
    owner: Owner
    service: AzureSpeech
    texts: Emulator
    provider: Provider


@asynccontextmanager
async def talking(
    *answers: Answer, wanted: dict[str, Any] | None = None, heard: Sequence[str] = (), **options: Any
) -> AsyncIterator[Talk]:
    async with AzureSpeech(heard=heard, **options) as service, Emulator(answers) as texts:
        provider = azure_speech.provider(
            {"api_key": KEY, "endpoint": service.url, "text_url": texts.url, "text_model": "house"}
        )
        try:
            async with owned(provider.voice(session(**(wanted or {})))) as owner:
                yield Talk(owner, service, texts, provider)
        finally:
            await provider.close()
        assert provider.azure.live == 0
        assert (service.problems, texts.oracle.problems) == ([], [])


def said(talk: Talk, item: str | None) -> bytes:
    return b"".join(audio.data for audio in talk.owner.of(Audio) if audio.item == item)


async def test_greeting_question_and_answer() -> None:
    answers = Answer("From seven to nine. Shall I book?")
    async with talking(answers, heard=["When do you open?"], pace=50) as talk:
        assert await talk.owner.next(Ready) == Ready()
        await talk.owner.voice.say("Bella's, good evening.")
        greeted = await talk.owner.next(TurnDone)
        assert said(talk, greeted.item) == tone(60 * 22)
        await talk.owner.hear(A_TURN)
        answered = await talk.owner.next(TurnDone, 1)
        assert answered.status == "completed"
        assert said(talk, answered.item) == tone(60 * 20) + tone(60 * 13)
        assert [text.text for text in talk.owner.of(UserText) if text.final] == ["When do you open?"]
        whole = [text.text for text in talk.owner.of(VoiceText) if text.final]
        assert whole == ["Bella's, good evening.", "From seven to nine. Shall I book?"]
        [request] = talk.texts.requests
        assert request["model"] == "house"
        assert [message["role"] for message in request["messages"]] == ["system", "assistant", "user"]
        assert (answered.usage.input_text, answered.usage.output_text) == (20, 7)
        used = [event.usage for event in talk.owner.of(Used)]
        assert [usage.characters for usage in used if usage.characters] == [22, 33]
        assert sum(usage.seconds_heard for usage in used) == pytest.approx(1.3, abs=0.1)
        assert len(talk.service.upgrades) == 2, "one to hear, one to speak, which was open before the first word"
        assert talk.owner.of(Failed) == []


async def test_the_caller_interrupts_and_the_model_knows_what_was_heard() -> None:
    answers = [Answer("We have pizza and pasta and many other things that take long to tell."), Answer("Gladly.")]
    async with talking(*answers, heard=["What is there?", "Pizza, please."], pace=4) as talk:
        await talk.owner.hear(A_TURN)
        item = (await talk.owner.next(Audio)).item
        await talk.owner.next(Audio, 5)
        await talk.owner.hear(tone(400))
        await talk.owner.next(SpeechStarted, 1)
        assert (await talk.owner.next(TurnDone)).status == "interrupted"
        await talk.owner.voice.truncate(item, 520)
        before = len(said(talk, item))
        await talk.owner.hear(silence(900))
        talk.service.pace = 50
        assert (await talk.owner.next(TurnDone, 1)).status == "completed"
        assert len(said(talk, item)) == before, "not a sound more of what was interrupted"
        told = [message["content"] for message in talk.texts.requests[1]["messages"] if message["role"] == "assistant"]
        assert told == ["We have …"]


async def test_tools() -> None:
    answers = [Answer("One moment.", calls=(("call_7", "price", '{"dish": "pizza"}'),)), Answer("Nine dollars.")]
    async with talking(*answers, heard=["How much is a pizza?"], wanted={"tools": (PRICE,)}, pace=50) as talk:
        await talk.owner.hear(A_TURN)
        call = await talk.owner.next(ToolCall)
        assert (call.name, call.arguments) == ("price", {"dish": "pizza"})
        await talk.owner.next(TurnDone)
        await talk.owner.voice.tool_result(call.id, '{"price": 9}')
        await talk.owner.next(TurnDone, 1)
        assert [text.text for text in talk.owner.of(VoiceText) if text.final] == ["One moment.", "Nine dollars."]


@pytest.mark.parametrize("format", azure_speech.SPOKEN)
async def test_every_format_that_it_declares(format: AudioFormat) -> None:
    def as_format(ulaw: bytes) -> bytes:
        linear = audioop.ratecv(audioop.ulaw2lin(ulaw, 2), 2, 1, 8000, format.rate, None)[0]
        return ulaw if format == ULAW else encode(linear, format)

    async with talking(Answer("Yes."), heard=["Hello?"], wanted={"format": format}, pace=50) as talk:
        frame = 20 * format.bytes_per_ms
        sound = as_format(A_TURN)
        for start in range(0, len(sound), frame):
            await talk.owner.voice.send_audio(sound[start : start + frame])
        done = await talk.owner.next(TurnDone)
        assert abs(len(said(talk, done.item)) - 240 * format.bytes_per_ms) <= 2 * format.bytes_per_ms
        assert (await talk.service.recognition()).format == format


async def test_the_pause_and_the_words_that_are_likely() -> None:
    wanted = {"turns": Turns(min_delay=0.9), "options": {"hints": ["Röschti"]}, "language": "de-CH"}
    async with talking(wanted=wanted) as talk:
        connection = await talk.service.recognition()
        await talk.owner.hear(tone(100))
        await connection.until(lambda: bool(connection.contexts))
        [context] = connection.contexts
        assert "Röschti" in str(context)
        assert context["phraseDetection"]["language"] == "de-CH"
        assert "900" in str(context["phraseDetection"])


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        ({}, {}, "set HOOKFLASH_VOICES_AZURE_SPEECH_TEXT_API_KEY"),
        ({"text_api_key": "sk-x"}, {"pause": 3}, "no option 'pause' .did you mean 'pause_ms'"),
        ({"text_api_key": "sk-x"}, {"pause_ms": 20}, "must be 100 to 5000"),
        ({"text_api_key": "sk-x"}, {"hints": ["ok", 3]}, "hints of azure-speech must be at most 500 texts"),
    ],
)
async def test_what_is_missing_or_wrong(settings: dict[str, str], options: dict[str, Any], told: str) -> None:
    provider = azure_speech.provider({"api_key": KEY, "region": "westeurope", **settings})
    with pytest.raises(VoiceError, match=told):
        provider.voice(session(options=options))
    await provider.close()


def test_a_text_model_that_makes_no_sense() -> None:
    given = {"api_key": KEY, "region": "westeurope", "text_url": "http://127.0.0.1:1/v1"}
    with pytest.raises(VoiceError, match="set HOOKFLASH_VOICES_AZURE_SPEECH_TEXT_MODEL"):
        azure_speech.provider(given)


async def test_a_wrong_key_is_told_when_it_connects() -> None:
    async with AzureSpeech(key="another") as service:
        settings = {"api_key": KEY, "endpoint": service.url, "text_api_key": "sk-x"}
        provider = azure_speech.provider(settings)
        with pytest.raises(VoiceError, match="check AZURE_SPEECH_KEY") as caught:
            await provider.voice(session()).connect()
        assert KEY not in str(caught.value)
        await provider.close()
        assert provider.azure.live == 0


async def test_the_recogniser_fails_in_the_middle() -> None:
    faults = Faults(close_after_ms=100, close_code=1007, close_reason="gone")
    async with talking(faults=faults) as talk:
        await talk.owner.hear(tone(400))
        assert "gone" in (await talk.owner.next(Failed)).message
        async with asyncio.timeout(5):
            await talk.owner.over.wait()


async def test_the_speaker_fails_again_and_again() -> None:
    async with talking(faults=Faults(refuse_text="no such voice")) as talk:
        await talk.owner.voice.say("Good day.")
        assert (await talk.owner.next(TurnDone)).status == "failed"
        assert "no such voice" in (await talk.owner.next(Failed)).message
