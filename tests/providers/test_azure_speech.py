"""Azure Speech against its emulator: the vendor's own SDK lies between, and judges every frame of the emulator's."""

from __future__ import annotations

import asyncio
import audioop
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, cast

import pytest

from providers import azure_speaking, azure_speech
from providers.azure_listening import AzureRecogniser
from providers.azure_sdk import LIVE, TUNING
from providers.azure_speech import AzureSpeech as Provider
from providers.parts import Said, StreamingSpeaker
from providers.voice import ALAW, ULAW, AudioFormat, Failed, SpeechStarted, SpeechStopped, UserText, Voice, VoiceError
from tests.emulators.azure_speech import AzureSpeech, Faults
from tests.emulators.openai_realtime.sound import from_ulaw, silence, tone
from tests.providers.conftest import KEY, Owner, owned

WORDS = tone(400) + silence(600)


@asynccontextmanager
async def at(settings: dict[str, str] | None = None, **options: Any) -> AsyncIterator[tuple[AzureSpeech, Provider]]:
    """The service and the provider for it; in the end no native object may be left, nor a thread of one."""
    async with AzureSpeech(**options) as service:
        provider = azure_speech.provider({"api_key": KEY, "endpoint": service.url, **(settings or {})})
        try:
            yield service, provider
        finally:
            await provider.close()
        assert provider.azure.live == 0
        assert service.problems == []


@asynccontextmanager
async def listening(provider: Provider, **options: Any) -> AsyncIterator[Owner]:
    async with owned(cast("Voice", provider.recogniser(**{"format": ULAW, **options}))) as owner:
        yield owner


async def over(owner: Owner) -> list[Any]:
    """Everything that was heard, once the recogniser has said so."""
    await cast("AzureRecogniser", owner.voice).finish()
    async with asyncio.timeout(10):
        await owner.over.wait()
    return owner.events


def finals(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, UserText) and event.final]


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not met():  # noqa: ASYNC110 - nobody tells when a native thread is gone
            await asyncio.sleep(0.01)


# ── Settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "set AZURE_SPEECH_KEY"),
        ({"api_key": KEY}, "set AZURE_SPEECH_REGION .* or AZURE_SPEECH_ENDPOINT"),
        ({"api_key": KEY, "endpoint": "my.azure.com"}, "AZURE_SPEECH_ENDPOINT must be like https://"),
        ({"api_key": KEY, "region": "West Europe"}, "AZURE_SPEECH_REGION must be like westeurope"),
        ({"api_key": KEY, "region": "westeurope", "pause_ms": "50"}, "AZURE_SPEECH_PAUSE_MS must be 100 to 5000"),
    ],
)
def test_what_is_missing_is_named(settings: dict[str, str], told: str) -> None:
    with pytest.raises(VoiceError, match=told) as caught:
        azure_speech.provider(settings)
    assert KEY not in str(caught.value)


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.azure_sdk.PACKAGE", "azure.cognitiveservices.no_speech")
    with pytest.raises(VoiceError, match=r"pip install 'hookflash\[azure\]'"):
        azure_speech.provider({"api_key": KEY, "region": "westeurope"})


async def test_a_format_that_it_does_not_know() -> None:
    async with at() as (_, provider):
        with pytest.raises(VoiceError, match="8 or 16 kHz"):
            provider.recogniser(format=AudioFormat("pcm16", 48000))
        with pytest.raises(VoiceError, match="does not speak"):
            await provider.speaker().speak("Hi.", voice=None, language=None, format=AudioFormat("pcm16", 11000))


# ── Listening ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", [ULAW, ALAW, AudioFormat("pcm16", 8000)])
async def test_what_the_caller_says_is_written_down(format: AudioFormat) -> None:
    sent = WORDS + WORDS
    if format.encoding == "alaw":
        sent = from_ulaw(sent, "audio/pcma")
    elif format.encoding == "pcm16":
        sent = audioop.ulaw2lin(sent, 2)
    async with at(heard=["Two pizzas please", "And a beer."]) as (service, provider):
        async with listening(provider, format=format, language="de", hints=["Röschti", "Bella's"]) as owner:
            await owner.hear(sent)
            events = await over(owner)
        connection = await service.recognition()
    [used] = cast("AzureRecogniser", owner.voice).settle()
    assert used.seconds_heard == pytest.approx(len(sent) / format.bytes_per_ms / 1000)
    assert bytes(connection.audio) == sent, "the line's own samples, all of them, and nothing else"
    assert connection.format == format
    assert finals(events) == ["Two pizzas please", "And a beer."]
    assert [type(event) for event in events if not isinstance(event, UserText)] == [SpeechStarted, SpeechStopped] * 2
    texts = [(event.text, event.item) for event in events if isinstance(event, UserText)]
    assert texts[:3] == [("two", "caller_1"), ("two pizzas", "caller_1"), ("Two pizzas please", "caller_1")]
    assert texts[-1] == ("And a beer.", "caller_2")
    assert [event.confidence for event in events if isinstance(event, UserText) and event.final] == [0.9, 0.9]
    [context] = connection.contexts
    assert context["phraseDetection"]["language"] == "de-DE"
    assert "Röschti" in str(context["dgi"])
    assert connection.request.headers["Ocp-Apim-Subscription-Key"] == KEY


async def test_the_last_word_may_be_cut_off() -> None:
    async with at(heard=["until the very end"]) as (_, provider), listening(provider) as owner:
        await owner.hear(tone(450))
        assert finals(await over(owner)) == ["until the very end"]


async def test_silence_has_no_words() -> None:
    async with at() as (service, provider), listening(provider) as owner:
        await owner.hear(silence(700))
        assert await over(owner) == []
        assert len((await service.recognition()).audio) == 5600


async def test_what_nobody_could_understand_is_no_text() -> None:
    async with at(faults=Faults(nothing_understood=True)) as (_, provider), listening(provider) as owner:
        await owner.hear(WORDS)
        assert await over(owner) == [SpeechStarted(), SpeechStopped(), UserText("", item="caller_1")]


async def test_a_muted_caller_is_silence() -> None:
    """The service ends phrases by what it hears: given nothing, it would wait for ever."""
    async with at(heard=["hello"], pause_ms=400) as (_, provider), listening(provider) as owner:
        await owner.hear(tone(400))
        await owner.next(SpeechStopped)
        assert finals([await owner.next(UserText)]) == ["hello"]


async def test_what_came_late_is_caught_up_with_though_nothing_was_said_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TUNING, "SPEECH-BufferSizePercentSwitchToLowRate", "10")  # long are 7 s, not 33
    async with at() as (service, provider), listening(provider) as owner:
        recognition = await service.recognition()
        await owner.voice.send_audio(silence(7000))
        await recognition.until(lambda: len(recognition.audio) >= 6900 * 8)
        began = time.monotonic()
        await owner.voice.send_audio(silence(3000))
        await recognition.until(lambda: len(recognition.audio) >= 9900 * 8)
        assert time.monotonic() - began < 2.3, "twice as fast as it is spoken"


async def test_the_service_ends_a_turn_and_it_goes_on() -> None:
    faults = Faults(end_turn_after_ms=900)
    async with at(heard=["one two", "three"], faults=faults) as (service, provider), listening(provider) as owner:
        await owner.hear(WORDS)
        await owner.next(SpeechStopped)
        await (await service.recognition()).until(lambda: len(service.connections[0].of("speech.context")) == 2)
        await owner.hear(WORDS)
        assert finals(await over(owner)) == ["one two", "three"]
        assert len(service.connections) == 1


@pytest.mark.parametrize(
    "fault", [{"close_after_ms": 50}, {"drop_after_ms": 50}, {"close_after_ms": 50, "close_code": 1001}]
)
async def test_a_lost_connection_loses_no_word(fault: dict[str, int]) -> None:
    """The SDK connects once more and sends again what was not understood yet."""
    faults = Faults(connections=1, **fault)
    async with at(heard=["lost", "Good day."], faults=faults) as (service, provider), listening(provider) as owner:
        await owner.hear(tone(400))
        second = await service.recognition(1)
        await owner.hear(silence(600))
        assert finals(await over(owner)) == ["Good day."]
        assert bytes(second.audio) == WORDS


@pytest.mark.parametrize(
    ("status", "code", "recoverable", "told"),
    [
        (401, "authentication_failure", False, "check AZURE_SPEECH_KEY"),
        (403, "authentication_failure", False, "rights"),
        (429, "too_many_requests", True, "quota"),
        (503, "service_unavailable", True, "503"),
    ],
)
async def test_a_refused_connection(status: int, code: str, recoverable: bool, told: str) -> None:
    async with at(faults=Faults(http_status=status)) as (_, provider):
        recogniser = provider.recogniser(format=ULAW)
        with pytest.raises(VoiceError, match=told) as caught:
            await recogniser.connect()
        assert (caught.value.code, caught.value.recoverable) == (code, recoverable)
        assert KEY not in str(caught.value)
        await recogniser.close()
        with pytest.raises(VoiceError) as caught:
            await provider.speaker().speak("Hello.", voice=None, language=None, format=ULAW)
        assert (caught.value.code, caught.value.recoverable) == (code, recoverable)


async def test_nobody_listens_at_that_address() -> None:
    provider = azure_speech.provider({"api_key": KEY, "endpoint": "ws://127.0.0.1:9"})
    recogniser = provider.recogniser(format=ULAW)
    with pytest.raises(VoiceError, match="check the network") as caught:
        await recogniser.connect()
    assert caught.value.recoverable
    await recogniser.close()
    await provider.close()


async def test_the_service_ends_the_talk_for_good() -> None:
    faults = Faults(close_after_ms=50, close_code=1007, close_reason="that was nonsense")
    async with at(faults=faults) as (_, provider), listening(provider) as owner:
        await owner.hear(tone(200))
        failed = await owner.next(Failed)
        assert not failed.recoverable
        assert "that was nonsense" in failed.message
        async with asyncio.timeout(5):
            await owner.over.wait()
        await owner.hear(tone(200))


async def test_results_that_come_twice_count_once() -> None:
    faults = Faults(duplicate=True)
    async with at(heard=["one two", "three"], faults=faults) as (_, provider), listening(provider) as owner:
        await owner.hear(WORDS + WORDS)
        events = await over(owner)
        assert finals(events) == ["one two", "three"]
        assert len([event for event in events if isinstance(event, SpeechStarted)]) == 2


async def test_late_results_come_late() -> None:
    faults = Faults(delay_ms=300)
    async with at(heard=["at last"], faults=faults) as (_, provider), listening(provider) as owner:
        await owner.hear(WORDS)
        assert finals(await over(owner)) == ["at last"]


async def test_a_silent_service_holds_nobody() -> None:
    """`finish` brings nothing, and `close` does not wait for what will not come."""

    async def call(faults: Faults) -> None:
        async with at(faults=faults) as (_, provider):
            async with listening(provider) as owner:
                await owner.hear(WORDS)
                await cast("AzureRecogniser", owner.voice).finish()
                began = time.monotonic()
            assert time.monotonic() - began < 4
            assert finals(owner.events) in ([], ["[sound]"])

    async with asyncio.TaskGroup() as group:  # the library takes ten seconds for each
        for faults in (Faults(stop_reading=True), Faults(no_results=True), Faults(silent_end=True)):
            group.create_task(call(faults))


async def test_a_connection_that_never_comes() -> None:
    async with at(faults=Faults(hang_upgrade=True)) as (_, provider):
        recogniser = provider.recogniser(format=ULAW)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await recogniser.connect()
        began = time.monotonic()
        await recogniser.close()
        await recogniser.close()
        assert time.monotonic() - began < 4


async def test_frames_that_make_no_sense() -> None:
    faults = Faults(garbage=("no headers", b"\x00", "Path:speech.hypothesis\r\n\r\n{", "Path:moon\r\n\r\n{}"))
    async with at(heard=["still here"], faults=faults) as (_, provider), listening(provider) as owner:
        await owner.hear(WORDS)
        events = await over(owner)
        assert finals(events) == ["still here"]


async def test_close_before_connect_and_twice() -> None:
    async with at() as (service, provider):
        recogniser = provider.recogniser(format=ULAW)
        await recogniser.close()
        await recogniser.send_audio(tone(100))
        await recogniser.finish()
        assert service.upgrades == []


async def test_a_library_that_takes_no_more_audio_has_failed() -> None:
    class Broken:
        def write(self, audio: bytes) -> None:
            raise RuntimeError("Exception with error code: 0x5 (SPXERR_INVALID_ARG)")

    async with at() as (_, provider), listening(provider) as owner:
        recogniser = cast("AzureRecogniser", owner.voice)
        recogniser._stream = Broken()
        await recogniser.send_audio(tone(400))
        failed = await owner.next(Failed)
        assert "SPXERR_INVALID_ARG" in failed.message
        await recogniser.send_audio(tone(400))  # nothing takes it any more
        await recogniser.finish()


async def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.azure_sdk.LIVE", 1)
    async with at() as (_, provider), listening(provider):
        with pytest.raises(VoiceError, match="no more are opened") as caught:
            await provider.recogniser(format=ULAW).connect()
        assert caught.value.recoverable
    assert LIVE == 200


async def test_native_threads_are_gone_when_it_is_closed() -> None:
    async with at() as (_, provider):
        async with listening(provider) as owner:  # what the library and the pool of threads keep for themselves
            await owner.hear(WORDS)
        before = native_threads()
        for _ in range(3):
            async with AsyncExitStack() as stack:
                owners = [await stack.enter_async_context(listening(provider)) for _ in range(5)]
                for owner in owners:
                    await owner.hear(WORDS)
                assert native_threads() <= before + 5 * 4
        await until(lambda: provider.azure.live == 0)
        await until(lambda: native_threads() <= before + 15)  # the pool's own, idle


# ── Speaking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def written(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


@pytest.mark.parametrize(
    ("format", "kind"),
    [(ULAW, "audio/pcmu"), (ALAW, "audio/pcma"), (AudioFormat("pcm16", 24000), "audio/pcm")],
)
async def test_a_prompt_in_the_format_of_the_line(format: AudioFormat, kind: str) -> None:
    async def voice(_: str) -> bytes:
        return tone(730)

    async with at(voice=voice, pace=50) as (service, provider):
        audio = await provider.speaker().speak("Welcome.", voice="en-GB-RyanNeural", language=None, format=format)
        [asked] = (await service.synthesis()).asked
    assert audio == from_ulaw(tone(730), kind)
    assert (asked.text, asked.voice, asked.language) == ("Welcome.", "en-GB-RyanNeural", "en-GB")


async def test_what_looks_like_markup_is_spoken() -> None:
    text = 'Tom & Jerry <say> "5 < 6" ]]>\x00\x0b \U0001f355 &amp; ä'
    async with at(pace=50) as (service, provider):
        await provider.speaker().speak(text, voice="a'b\"<c", language=None, format=ULAW)
        [asked] = (await service.synthesis()).asked
    assert asked.text == 'Tom & Jerry <say> "5 < 6" ]]>   \U0001f355 &amp; ä'
    assert asked.voice == "a'b\"<c"


async def test_a_language_of_its_own() -> None:
    async with at(pace=50) as (service, provider):
        await provider.speaker().speak("Grüezi.", voice=None, language="de", format=ULAW)
        [asked] = (await service.synthesis()).asked
    assert (asked.voice, asked.language) == ("en-US-AvaMultilingualNeural", "de-DE")
    assert '<lang xml:lang="de-DE">' in asked.ssml


async def test_sentence_by_sentence_on_one_connection() -> None:
    gate = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        yield "Good day. "
        await gate.wait()
        yield "We open at nine."

    async with at(pace=50) as (service, provider):
        speaker = provider.speaker()
        assert isinstance(speaker, StreamingSpeaker)
        for _ in range(2):
            gate.clear()
            audio, places = bytearray(), []
            async for part in speaker.utter(texts(), voice=None, language=None, format=ULAW):
                if isinstance(part, bytes):
                    gate.set()  # the first sentence is heard before the second one is written
                    audio += part
                else:
                    places.append(part)
            assert bytes(audio) == tone(600) + tone(960)
            assert places[-1] == Said(1560, 26)
            assert Said(600, 10) in places
            assert [part.characters for part in places][:2] == [4, 9]
            assert places == sorted(places, key=lambda part: part.at_ms)
            await until(lambda: bool(speaker._resting))
        assert len(service.upgrades) == 1, "the second utterance finds a connection that is open"


async def test_stopped_at_once_and_ready_again() -> None:
    async with at(pace=2) as (service, provider):
        speaker = provider.speaker()
        texts = written("A very long sentence. " * 10)
        async with aclosing(speaker.utter(texts, voice=None, language=None, format=ULAW)) as speech:
            while not isinstance(first := await anext(speech), bytes):
                pass
            began = time.monotonic()
        assert time.monotonic() - began < 0.1, "nobody waits for the library"
        assert first
        connection = await service.synthesis()
        async with asyncio.timeout(5):
            await connection.ended.wait()
        assert connection.given < 20000
        await service.synthesis(1)  # opened at once, for the next answer
        await until(lambda: bool(speaker._resting))
        service.pace = 50
        assert await speaker.speak("Hello.", voice=None, language=None, format=ULAW) == tone(360)
        assert len(service.upgrades) == 2


async def test_a_connection_that_was_lost_while_it_rested() -> None:
    async with at(pace=50) as (service, provider):
        speaker = provider.speaker()
        await speaker.speak("One.", voice=None, language=None, format=ULAW)
        await (await service.synthesis()).socket.close(code=1000)
        assert await speaker.speak("Hello.", voice=None, language=None, format=ULAW) == tone(360)
        assert len(service.upgrades) == 2


async def test_a_connection_that_died_while_it_rested_and_nobody_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_speaking, "RESTED_WITHIN", 0.3)
    async with at(pace=50) as (service, provider):
        speaker = provider.speaker()
        await speaker.speak("One.", voice=None, language=None, format=ULAW)
        await until(lambda: bool(speaker._resting))
        (await service.synthesis()).request.transport.pause_reading()  # type: ignore[union-attr]
        assert await speaker.speak("Hello.", voice=None, language=None, format=ULAW) == tone(360)
        assert len(service.upgrades) == 2


@pytest.mark.parametrize(
    ("fault", "told", "recoverable"),
    [
        ({"refuse_text": "bad SSML"}, "bad SSML", False),
        ({"empty": True}, "spoke nothing", True),
        ({"drop_after_ms": 50}, "ConnectionFailure|WebSocket|connection", True),
        ({"stop_after_ms": 300}, "imeout", True),
        ({"stop_reading": True}, "did not say a word", True),
    ],
)
async def test_what_goes_wrong_while_it_speaks(
    fault: dict[str, Any], told: str, recoverable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "stop_reading" in fault:
        monkeypatch.setattr(azure_speaking, "SILENT_WITHIN", 0.5)
    async with at(faults=Faults(**fault), pace=5) as (_, provider):
        with pytest.raises(VoiceError, match=told) as caught:
            await provider.speaker().speak("A sentence of some length.", voice=None, language=None, format=ULAW)
        assert caught.value.recoverable == recoverable


async def test_a_burst_is_whole() -> None:
    async with at(faults=Faults(burst=True)) as (_, provider):
        audio = await provider.speaker().speak("word " * 200, voice=None, language=None, format=ULAW)
        assert audio == tone(60 * 1000)


async def test_long_texts_are_asked_for_in_pieces() -> None:
    text = "word " * 1500
    async with at(faults=Faults(burst=True)) as (service, provider):
        await provider.speaker().speak(text, voice=None, language=None, format=ULAW)
        asked = (await service.synthesis()).asked
    assert len(asked) == 3
    assert "".join(each.text for each in asked) == text


async def test_a_crowd_speaks_and_few_connections_rest() -> None:
    async with at(pace=20) as (service, provider):
        speaker = provider.speaker()
        async with asyncio.TaskGroup() as group:
            spoken = [
                group.create_task(speaker.speak(f"Caller {n}.", voice=None, language=None, format=ULAW))
                for n in range(10)
            ]
        assert all(task.result() == tone(540) for task in spoken)
        await until(lambda: len(speaker._resting) == provider.azure.live == azure_speaking.RESTING)
        assert len(service.upgrades) == 10


async def test_stopped_when_the_last_was_made_and_nobody_took_it() -> None:
    """Then the connection is still there, and the next utterance does not wait for another one."""
    async with at(faults=Faults(burst=True)) as (service, provider):
        speaker = provider.speaker()
        async with aclosing(speaker.utter(written("A sentence."), voice=None, language=None, format=ULAW)) as speech:
            await anext(speech)
            connection = await service.synthesis()
            await connection.until(lambda: bool(connection.of("telemetry")))  # the library has its end
        await until(lambda: bool(speaker._resting))
        began = time.monotonic()
        assert await speaker.speak("Hello.", voice=None, language=None, format=ULAW) == tone(360)
        assert time.monotonic() - began < 0.8
