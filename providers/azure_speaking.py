"""Azure's text to speech: sentence by sentence on a connection that is there before the first one is written.

Voices are named in SSML, so one synthesiser of the SDK speaks for anybody; those at rest keep their connections for the
next utterance. Audio comes in the line's own G.711.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from providers.azure_events import Sounds, Word, Words
from providers.azure_sdk import RELEASED_WITHIN, Azure, locale, on_loop, resolve
from providers.parts import Said, Speech
from providers.voice import AudioFormat, Usage, VoiceError

VOICE = "en-US-AvaMultilingualNeural"  # speaks what it is given, in some ninety languages
SILENT_WITHIN = 5.0  # seconds without audio; the SDK itself gives up after three, but not while it connects
OPENED_WITHIN = 1.0  # seconds; the library tells that a connection is there, never that there will be none
RESTED_WITHIN = 2.0  # seconds for the first sound on a connection that rested; then another one tries
RESTING = 4  # synthesisers that keep a connection for the next utterance
LONGEST = 3000  # characters in one request; the service takes 64 kB of SSML and ten minutes of audio
FORMATS = {
    ("ulaw", 8000): "Raw8Khz8BitMonoMULaw",
    ("alaw", 8000): "Raw8Khz8BitMonoALaw",
    ("pcm16", 8000): "Raw8Khz16BitMonoPcm",
    ("pcm16", 16000): "Raw16Khz16BitMonoPcm",
    ("pcm16", 24000): "Raw24Khz16BitMonoPcm",
}
SILENT = "Azure Speech spoke nothing; check the name and the language of the voice"

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0, escaped or not


def ssml(text: str, voice: str | None, language: str | None) -> str:
    """One text for one voice, to the letter: what looks like markup in it is spoken, not obeyed."""
    words = escape(_FORBIDDEN.sub(" ", text))
    named = voice or VOICE
    wanted = locale(language or ("-".join(named.split("-")[:2]) if voice else None))
    if language and "Multilingual" in named:  # other voices speak the language of their name
        words = f"<lang xml:lang={quoteattr(wanted)}>{words}</lang>"
    return (
        f'<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang={quoteattr(wanted)}>'
        f"<voice name={quoteattr(named)}>{words}</voice></speak>"
    )


def pieces(text: str) -> Iterator[str]:
    """The text in requests that the service takes, cut at spaces; joined, they are the text."""
    while len(text) > LONGEST:
        cut = text.rfind(" ", 0, LONGEST) + 1 or LONGEST
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


class Mouth:
    """One synthesiser of the SDK and its connection: speaks one text after the other."""

    def __init__(self, azure: Azure, format: AudioFormat) -> None:
        sdk = azure.sdk
        self._azure = azure
        self._told: asyncio.Queue[bytes | Word | VoiceError | None] = asyncio.Queue()
        self._operations: list[Any] = []
        self.rested = False  # its connection has been idle, and may be dead without anybody knowing
        self._speaking = False
        self._connected = asyncio.Event()
        self._open_by: float | None = None  # while a connection is being opened that nothing was asked of yet
        config = azure.config()
        kind = FORMATS[format.encoding, format.rate]
        config.set_speech_synthesis_output_format(getattr(sdk.SpeechSynthesisOutputFormat, kind))
        synthesiser = sdk.SpeechSynthesizer(config, audio_config=None)
        connection = sdk.Connection.from_speech_synthesizer(synthesiser)
        self._native = [connection, synthesiser]
        self._signals: list[Any] = []
        for signal, handler in (
            (connection.connected, self._on_connected),
            (connection.disconnected, self._on_disconnected),
            (Sounds(sdk, synthesiser), self._told.put_nowait),
            (Words(sdk, synthesiser), self._told.put_nowait),
            (synthesiser.synthesis_completed, self._on_end),
            (synthesiser.synthesis_canceled, self._on_canceled),
        ):
            self._signals.append(signal)
            signal.connect(on_loop(handler))

    def open(self) -> None:
        """Connect before there is something to say. That this fails is told by `next`, later."""
        if self._connected.is_set():
            return
        self._open_by = asyncio.get_running_loop().time() + OPENED_WITHIN
        self._native[0].open(True)

    async def begin(self, text: str) -> None:
        """Speak this SSML; `next` tells what comes of it."""
        if self._open_by is not None:  # the library would open another connection beside the one that is coming
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._open_by):
                    await self._connected.wait()
            self._open_by = None
        try:
            self._operations.append(self._native[1].start_speaking_ssml_async(text))
        except RuntimeError as error:
            raise self._azure.failure("RuntimeError", str(error)) from None
        self._speaking = True

    async def next(self) -> bytes | Word | None:
        """A piece of the audio, a word that is in it, None at the end. Raises `VoiceError`."""
        within = RESTED_WITHIN if self.rested else SILENT_WITHIN
        try:
            async with asyncio.timeout(within):
                told = await self._told.get()
        except TimeoutError:
            text = f"Azure Speech did not say a word within {within:g} s"
            raise VoiceError(text, code="timeout", recoverable=True) from None
        if isinstance(told, VoiceError):
            self._speaking = False
            raise told
        self.rested = False
        if told is None:
            self._speaking = False
        return told

    async def rest(self) -> bool:
        """Whether it is ready for another utterance. One that is stopped costs the connection; another is opened."""
        stopped, operations = self._stop(), self._operations
        await asyncio.shield(self._azure.run(lambda: resolve(operations)))
        if stopped:
            try:
                async with asyncio.timeout(SILENT_WITHIN):
                    while isinstance(await self._told.get(), bytes | Word):
                        pass  # its end is told some time after it was stopped
            except TimeoutError:
                return False
            self.open()
        self.rested = not stopped
        return True

    async def close(self) -> None:
        """Release it."""
        self._stop()
        await asyncio.shield(self._azure.release(self._operations, self._signals, self._native))

    def _stop(self) -> bool:
        if not self._speaking:
            return False
        self._speaking = False
        self._operations.append(self._native[1].stop_speaking_async())
        return True

    # ── what the library says, already on the event loop ──────────────────────────────────────────────────────────────

    def _on_connected(self, _: Any) -> None:
        self._connected.set()

    def _on_disconnected(self, _: Any) -> None:
        self._connected.clear()

    def _on_end(self, _: Any) -> None:
        self._told.put_nowait(None)

    def _on_canceled(self, event: Any) -> None:
        details = event.result.cancellation_details
        self._told.put_nowait(self._azure.failure(details.error_code, details.error_details))


@dataclass(slots=True)
class _Held:
    """A synthesiser, and what it speaks: of one utterance, or at rest."""

    mouth: Mouth
    format: AudioFormat


class AzureSpeaker:
    """Text to speech for whole prompts and for answers that are still being written.

    See `providers.parts.StreamingSpeaker` for what the methods promise.
    """

    def __init__(self, azure: Azure, *, voice: str | None = None) -> None:
        self._azure = azure
        self._voice = voice
        self._resting: list[_Held] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """The whole prompt as audio. Raises `VoiceError`."""

        async def whole() -> AsyncIterator[str]:
            yield text

        speech = self._utter(self._mouth(format), whole(), voice, language, format)
        async with aclosing(speech):
            return b"".join([part async for part in speech if isinstance(part, bytes)])

    def usage(self, text: str, *, voice: str | None) -> Usage:
        """Azure charges for characters; one of Chinese or Japanese counts as two, which is not known here."""
        return Usage(characters=len(text), model=voice or self._voice or VOICE)

    async def utter(
        self, texts: AsyncIterator[str], *, voice: str | None, language: str | None, format: AudioFormat
    ) -> AsyncGenerator[Speech, None]:
        """Speak the pieces of a text one after the other. Raises `VoiceError`."""
        async with aclosing(self._utter(self._mouth(format, early=True), texts, voice, language, format)) as speech:
            async for part in speech:
                yield part

    async def _utter(
        self, mouth: Mouth, texts: AsyncIterator[str], voice: str | None, language: str | None, format: AudioFormat
    ) -> AsyncGenerator[Speech, None]:
        held, broken = _Held(mouth, format), False
        heard = said = 0  # bytes of audio, characters of text
        try:
            async for text in texts:
                for piece in pieces(text):
                    began, word_from = heard, 0
                    if piece.strip():
                        told = await self._begin(held, ssml(piece, voice or self._voice, language))
                        while told is not None:
                            if isinstance(told, bytes):
                                heard += len(told)
                                yield told
                            elif (found := piece.find(told.text, word_from)) >= 0:
                                word_from = found + len(told.text)
                                yield Said(began // format.bytes_per_ms + told.at_ms, said + word_from)
                            told = await held.mouth.next()
                        if heard == began and any(letter.isalnum() for letter in piece):
                            raise VoiceError(SILENT, code="empty", recoverable=True)
                    said += len(piece)
                    yield Said(heard // format.bytes_per_ms, said)
        except VoiceError:
            broken = True
            raise
        finally:
            self._later(self._put_back(held, broken))

    async def _begin(self, held: _Held, words: str) -> bytes | Word | None:
        """What is told first of this SSML. A connection that rested may be dead: then another one tries."""
        try:
            await held.mouth.begin(words)
            return await held.mouth.next()
        except VoiceError as error:
            if not (held.mouth.rested and error.recoverable):
                raise
        dead, held.mouth = held.mouth, self._another(held.format)
        self._later(dead.close())
        await held.mouth.begin(words)
        return await held.mouth.next()

    def warm(self, format: AudioFormat) -> None:
        """Open a connection for an utterance in this format, unless one rests. What goes wrong is told to that one."""
        if not any(each.format == format for each in self._resting):
            with suppress(VoiceError):
                self._resting.append(_Held(self._another(format, early=True), format))

    def _mouth(self, format: AudioFormat, *, early: bool = False) -> Mouth:
        """One that rests, or another one; ``early``: before there is something to say."""
        for each in self._resting:
            if each.format == format:
                self._resting.remove(each)
                return each.mouth
        return self._another(format, early=early)

    def _another(self, format: AudioFormat, *, early: bool = False) -> Mouth:
        if (format.encoding, format.rate) not in FORMATS:
            raise VoiceError(f"Azure Speech does not speak {format}", code="format")
        self._azure.admit()
        try:
            mouth = Mouth(self._azure, format)
            if early:
                mouth.open()
        except (RuntimeError, ValueError) as error:  # the library's ways to say that a setting makes no sense
            self._azure.dismiss()
            raise self._azure.failure("setting", str(error)) from None
        return mouth

    async def _put_back(self, held: _Held, broken: bool) -> None:
        """Stopping takes some 20 ms, or seconds when the service is silent."""
        if not broken and await held.mouth.rest() and not self._closed and len(self._resting) < RESTING:
            self._resting.append(held)
        else:
            await held.mouth.close()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it while nobody waits."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Release everything; wait a while for it."""
        self._closed = True
        while self._resting:
            self._later(self._resting.pop().mouth.close())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=RELEASED_WITHIN)
