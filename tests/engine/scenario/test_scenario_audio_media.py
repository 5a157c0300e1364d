"""The ear and the mouth of a test by audio: words are known, never played, and written down when they were heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asterisk.media.leg import Closed, Drained, MarkReached, MediaEvent
from engine.audio import tone
from engine.scenario.audio_media import HeardMedia
from engine.scenario.audio_voice import AudioProvider, AudioVoice, Mouth
from engine.virtual import Says, virtual_time
from engine.virtual.log import Log
from engine.virtual.words import Listening, captioned
from providers.voice import ULAW, AudioFormat, Session, SpeechStarted, SpeechStopped, UserText

SPEECH = tone((440.0,), 1000, "ulaw", 0.5)
HELLO = captioned("Hello.", SPEECH)


class Tape:
    """Satisfies `engine.line.Media`: keeps what is played; a test says what becomes of it."""

    format = "ulaw"

    def __init__(self) -> None:
        self.played = b""
        self.marks: list[str] = []
        self.left_ms = 0
        self.queue: asyncio.Queue[MediaEvent] = asyncio.Queue()

    async def send(self, audio: bytes) -> None:
        self.played += audio

    async def mark(self, name: str) -> None:
        self.marks.append(name)

    async def flush(self) -> int:
        return self.left_ms

    async def events(self) -> AsyncIterator[MediaEvent]:
        while True:
            event = await self.queue.get()
            yield event
            if type(event) is Closed:
                return

    async def close(self) -> None:
        self.queue.put_nowait(Closed("closed"))


def opened() -> tuple[Tape, HeardMedia, Log]:
    tape, log = Tape(), Log()
    return tape, HeardMedia(tape, "caller", log), log


async def after(media: HeardMedia, tape: Tape, *events: MediaEvent) -> list[MediaEvent]:
    """What its reader gets of these events."""
    for event in (*events, Closed("the end")):
        tape.queue.put_nowait(event)
    return [event async for event in media.events()]


@virtual_time
async def test_the_text_is_not_played_and_nothing_is_left_out() -> None:
    tape, media, _ = opened()
    for start in range(0, len(HELLO), 100):
        await media.send(HELLO[start : start + 100])
    hidden = len(HELLO) - len(SPEECH)
    assert tape.played == b"\xff" * hidden + SPEECH


@virtual_time
async def test_words_count_as_heard_when_asterisk_says_that_they_were_played() -> None:
    tape, media, log = opened()
    await media.send(HELLO)
    assert log.heard() == []
    assert media.is_playing
    seen = await after(media, tape, MarkReached(tape.marks[0]), MarkReached("theirs"))
    assert log.heard() == ["Hello."]
    assert not media.is_playing
    assert seen == [MarkReached("theirs"), Closed("the end")], "its own marks are nobody else's"
    assert media.utterances[0].loud == pytest.approx(1.0, abs=0.05)
    assert log.entries[media.utterances[0].index].text == "Hello."


@virtual_time
async def test_what_a_flush_took_back_was_not_heard() -> None:
    tape, media, log = opened()
    await media.send(HELLO + captioned("Good evening.", SPEECH))
    tape.left_ms = 1400
    assert await media.flush() == 1400
    assert log.heard() == ["Hello.…"], "of the second not a word"
    assert log.entries[0].ms == pytest.approx(600, abs=10)
    await media.send(captioned("Once more.", SPEECH))
    await after(media, tape, MarkReached(tape.marks[-1]))
    assert log.heard() == ["Hello.…", "Once more."]


@virtual_time
async def test_what_is_sent_after_a_flush_is_a_sound_of_its_own() -> None:
    tape, media, _ = opened()
    await media.send(HELLO + captioned("Good evening.", SPEECH))
    await asyncio.sleep(0.6)
    tape.left_ms = 1400 + 2 * (len(HELLO) - len(SPEECH)) // 8
    await media.flush()
    assert len(media.afresh) == 1, "the first one is its own, the second follows it"
    began = asyncio.get_running_loop().time()
    await media.send(captioned("Once more.", SPEECH) + captioned("And on.", SPEECH))
    await asyncio.sleep(1.0)
    await after(media, tape, MarkReached(tape.marks[-2]))
    assert media.afresh[1:] == [pytest.approx(began, abs=0.1)]


@virtual_time
async def test_music_has_no_words_and_ends_with_silence() -> None:
    tape, media, log = opened()
    await media.send(SPEECH)
    await media.send(SPEECH)
    await after(media, tape, Drained())
    assert [(entry.what, entry.text, entry.ms) for entry in log] == [("heard", "", 2000)]
    assert media.utterances == []


@virtual_time
async def test_the_end_of_the_connection_cuts_by_the_clock() -> None:
    _, media, log = opened()
    await media.send(HELLO)
    await asyncio.sleep(0.5)
    media.end()
    media.end()
    assert [(entry.what, entry.text, entry.ms) for entry in log] == [("cut", "Hello.", 500)]
    assert not media.is_playing


class Synthesiser:
    """A second of tone for every text."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        self.asked.append(text)
        return SPEECH


def heard(audio: bytes) -> list[str]:
    return [piece.words.text for piece in Listening().feed(audio) if piece.words is not None and piece.last]


@virtual_time
async def test_a_mouth_says_a_text_once_made() -> None:
    synthesiser = Synthesiser()
    mouth = Mouth(synthesiser)
    audio = await mouth.speak("Hello.")
    assert heard(audio) == ["Hello."]
    assert await mouth.speak("Hello.") == mouth.made("Hello.", None, None) == audio
    await mouth.speak("Hello.", voice="rms")
    assert synthesiser.asked == ["Hello.", "Hello."]


@virtual_time
async def test_a_turn_ends_when_the_caller_has_no_more_to_say_however_long_they_breathe() -> None:
    provider = AudioProvider(mouth=Mouth(Synthesiser()), script=[[Says("I see.")]])
    voice = provider.voice(Session(format=ULAW))
    assert isinstance(voice, AudioVoice)
    await provider.rehearse()
    provider.said.append("A table. For two.")
    provider.speaking = True
    for sound in (SPEECH, b"\xff" * 8000, SPEECH, b"\xff" * 8000):  # a sentence, a second of quiet, another
        await voice.send_audio(sound)
        await asyncio.sleep(1)
    assert voice.heard == [], "they have not said that they are done"
    provider.line_ended()
    await asyncio.sleep(3)
    assert voice.heard == ["A table. For two."]
    assert not voice.owes
    await voice.close()
    kinds = [type(event) async for event in voice.events()]
    assert kinds[:3] == [SpeechStarted, SpeechStopped, UserText], "one turn"


@virtual_time
async def test_a_line_that_is_never_heard_has_no_answer() -> None:
    provider = AudioProvider(mouth=Mouth(Synthesiser()), script=[[Says("I see.")]])
    voice = provider.voice(Session(format=ULAW))
    provider.said.append("Hello?")
    await voice.send_audio(b"\xff" * 16000)
    provider.line_ended()
    await asyncio.sleep(5)
    assert voice.heard == []
    assert list(provider.replies) == [[Says("I see.")]]
    await voice.close()


@virtual_time
async def test_a_recogniser_writes_down_what_was_said_when_it_was_heard() -> None:
    provider = AudioProvider(mouth=Mouth(Synthesiser()))
    recogniser = provider.recogniser(format=ULAW)
    await recogniser.connect()
    provider.said.append("Sales, please.")
    provider.speaking = True
    await recogniser.send_audio(b"\xff" * 8000 + SPEECH)
    await recogniser.send_audio(b"\xff" * 8000)  # quiet, but they have more to say
    await recogniser.send_audio(SPEECH + b"\xff" * 8000)
    provider.line_ended()
    await recogniser.send_audio(SPEECH)  # somebody coughs: there are no words for it
    await recogniser.finish()
    heard = [event async for event in recogniser.events()]
    assert heard == [
        SpeechStarted(), SpeechStopped(), UserText("Sales, please."),
        SpeechStarted(), SpeechStopped(), UserText(""),
    ]  # fmt: skip


@virtual_time
async def test_a_recogniser_that_heard_nothing_writes_nothing() -> None:
    provider = AudioProvider(mouth=Mouth(Synthesiser()))
    recogniser = provider.recogniser(format=ULAW)
    provider.said.append("Sales, please.")
    await recogniser.send_audio(b"\xff" * 16000)
    provider.line_ended()
    await recogniser.finish()
    assert [event async for event in recogniser.events()] == []
