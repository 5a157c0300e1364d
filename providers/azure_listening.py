"""Azure's recogniser: a push stream of the line's own G.711 into the SDK, its events out as ours.

The SDK sends audio in pieces of 100 ms. Where the service ends a turn or the connection is lost it goes on by itself,
on a new one, with what was not understood yet sent once more. So nothing has to be rotated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from providers.azure_results import Results, confidence, wording
from providers.azure_sdk import Azure, locale, on_loop, wave_format
from providers.parts import Heard
from providers.voice import AudioFormat, Failed, SpeechStarted, SpeechStopped, Usage, UserText, VoiceError

PIECE_MS = 100  # what the SDK sends at once anyway; a call for each 20 ms would cost CPU and bring nothing
FED_EVERY = 0.5  # seconds without audio until it is given silence: it ends phrases by what it hears, not by a clock
CLOSED_WITHIN = 1.5  # seconds that `close` waits; the library may take ten, and is then left to it
SILENCES = {"ulaw": b"\xff", "alaw": b"\xd5", "pcm16": b"\x00\x00"}  # one sample
HINTS = 500  # the service's limit of phrases


class Phrases:
    """The service's results as ours. Sans-IO.

    It tells the beginning of speech once a turn of its own, which may hold many phrases; so the first word of a phrase
    tells it as well.
    """

    def __init__(self) -> None:
        self._number = 0
        self._speaking = False
        self._last = ""  # the service's name of the last phrase

    def begins(self) -> list[Heard]:
        """Speech, or a word of it, was heard."""
        if self._speaking:
            return []
        self._speaking = True
        self._number += 1
        return [SpeechStarted()]

    def words(self, text: str) -> list[Heard]:
        """What a phrase says so far."""
        if not text:
            return []
        return [*self.begins(), UserText(text, final=False, item=self._item)]

    def phrase(self, text: str, confidence: float | None = None, id: str = "") -> list[Heard]:
        """A phrase is over; ``text`` is empty when nothing was understood. One of the same ``id`` came already."""
        if (id and id == self._last) or not (text or self._speaking):
            return []
        self._last = id
        events = [*self.begins(), SpeechStopped(), UserText(text, item=self._item, confidence=confidence)]
        self._speaking = False
        return events

    @property
    def _item(self) -> str:
        return f"caller_{self._number}"


class AzureRecogniser:
    """One stretch of listening. See `providers.parts.Recogniser` for what the methods promise."""

    def __init__(
        self, azure: Azure, *, format: AudioFormat, language: str | None, hints: Sequence[str], pause_ms: int
    ) -> None:
        self._azure = azure
        self._format = format
        self._language = locale(language)
        self._hints = hints
        self._pause_ms = pause_ms
        self._piece = PIECE_MS * format.bytes_per_ms
        self._phrases = Phrases()
        self._events: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._connected: asyncio.Future[None] | None = None
        self._native: list[Any] = []  # connection, recogniser, stream
        self._signals: list[Any] = []
        self._operations: list[Any] = []
        self._stream: Any = None  # while audio may be written
        self._audio = bytearray()
        self._written = 0  # bytes that nobody has counted
        self._fed = False
        self._feeding: asyncio.TimerHandle | None = None
        self._released: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        """Open the connection. Raises `VoiceError`."""
        self._azure.admit()
        self._connected = asyncio.get_running_loop().create_future()
        try:
            self._start()
            await self._connected
        except (RuntimeError, ValueError) as error:  # the library's ways to say that a setting makes no sense
            self._release()
            raise self._azure.failure("setting", str(error)) from None
        except BaseException:
            self._release()
            raise
        self._feeding = asyncio.get_running_loop().call_later(FED_EVERY, self._feed)

    def _start(self) -> None:
        """Make the native objects and begin: a millisecond, nothing in it waits."""
        sdk = self._azure.sdk
        config = self._azure.config()
        config.speech_recognition_language = self._language
        config.output_format = sdk.OutputFormat.Detailed
        config.set_profanity(sdk.ProfanityOption.Raw)  # a name that looks like a swear word is still a name
        config.set_property(sdk.PropertyId.Speech_SegmentationSilenceTimeoutMs, str(self._pause_ms))
        self._stream = sdk.audio.PushAudioInputStream(stream_format=wave_format(sdk, self._format))
        recogniser = sdk.SpeechRecognizer(config, audio_config=sdk.audio.AudioConfig(stream=self._stream))
        connection = sdk.Connection.from_recognizer(recogniser)
        self._native = [connection, recogniser, self._stream]
        if self._hints:
            phrases = sdk.PhraseListGrammar.from_recognizer(recogniser)
            for hint in self._hints[:HINTS]:
                phrases.addPhrase(hint)
        for signal, handler in (
            (connection.connected, self._on_connected),
            (recogniser.speech_start_detected, self._on_start),
            (Results(sdk, recogniser, "recognizing"), self._on_words),
            (Results(sdk, recogniser, "recognized"), self._on_phrase),
            (recogniser.canceled, self._on_canceled),
            (recogniser.session_stopped, self._on_stopped),
        ):
            self._signals.append(signal)
            signal.connect(on_loop(handler))
        self._operations.append(recogniser.start_continuous_recognition_async())

    # ── what it hears ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def send_audio(self, audio: bytes) -> None:
        """Caller audio; handed over in pieces of 100 ms."""
        if self._stream is None:
            return
        self._fed = True
        self._audio += audio
        if len(self._audio) >= self._piece:
            self._write()

    def settle(self) -> Sequence[Usage]:
        """The audio that was handed over: Azure charges by the second."""
        written, self._written = self._written, 0
        return (Usage(seconds_heard=written / self._format.bytes_per_ms / 1000),) if written else ()

    def _write(self) -> None:
        audio = bytes(self._audio)
        self._audio.clear()
        try:
            self._stream.write(audio)  # copied into the library's memory; it never waits
        except (RuntimeError, ValueError, OSError) as error:  # the library's own state is broken
            self._stream = None
            failure = self._azure.failure("audio", str(error))
            self._emit([Failed(str(failure), failure.code, recoverable=False)])
        else:
            self._written += len(audio)

    def _feed(self) -> None:
        """Silence, when nothing came for a while: a caller who is muted, a telephone that sends nothing in pauses."""
        if self._stream is None:
            return
        if not self._fed:
            samples = round(FED_EVERY * self._format.rate)
            self._audio += SILENCES[self._format.encoding] * samples
            self._write()
        self._fed = False
        self._feeding = asyncio.get_running_loop().call_later(FED_EVERY, self._feed)

    async def finish(self) -> None:
        """No more audio comes; ``events`` ends when the service has said what the last of it was."""
        if self._stream is None:
            return
        if self._audio:
            self._write()
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    # ── what the library says, already on the event loop ──────────────────────────────────────────────────────────────

    def _on_connected(self, _: Any) -> None:
        if self._connected is not None and not self._connected.done():
            self._connected.set_result(None)

    def _on_start(self, _: Any) -> None:
        self._emit(self._phrases.begins())

    def _on_words(self, result: dict[str, Any]) -> None:
        self._emit(self._phrases.words(wording(result)))

    def _on_phrase(self, result: dict[str, Any]) -> None:
        self._emit(self._phrases.phrase(wording(result), confidence(result), str(result.get("Id") or "")))

    def _on_canceled(self, event: Any) -> None:
        """The end, told with a reason: after `finish` that of the audio, else a failure."""
        details = event.cancellation_details
        if details.reason == self._azure.sdk.CancellationReason.Error:
            error = self._azure.failure(details.code, details.error_details)
            if self._connected is not None and not self._connected.done():
                self._connected.set_exception(error)
            self._emit([Failed(str(error), error.code, recoverable=False)])

    def _on_stopped(self, _: Any) -> None:
        self._end()

    def _emit(self, events: list[Heard]) -> None:
        if self._released is None:
            for event in events:
                self._events.put_nowait(event)

    def _end(self) -> None:
        self._stream = None
        self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard, until `close`, a failure, or everything was said after `finish`."""
        while (event := await self._events.get()) is not None:
            yield event

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        """End it. When the service is silent, its threads end a few seconds later."""
        self._release()
        if self._released is not None:
            await asyncio.wait([self._released], timeout=CLOSED_WITHIN)

    def _release(self) -> None:
        if self._released is not None or self._connected is None:
            return
        if self._feeding is not None:
            self._feeding.cancel()
        if not self._connected.done():
            self._connected.set_exception(VoiceError("the recogniser was closed", code="closed"))
            self._connected.exception()  # whoever connects has been told, or is gone
        self._end()
        self._released = self._azure.release(self._operations, self._signals, self._native)
        self._operations, self._native, self._signals = [], [], []
