"""Google Speech-to-Text v2 as a recogniser: one stretch of listening over as many streams as it takes.

Source: cloud.google.com/speech-to-text/v2/docs and the types of google-cloud-speech 2.41. A stream lasts five minutes
at most, wants audio all the time and near real time, and takes 15 KB in one piece. What it has not written when it ends
is sent once more to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.speech_v2.services.speech import SpeechAsyncClient
from google.cloud.speech_v2.services.speech.transports import SpeechGrpcAsyncIOTransport
from google.cloud.speech_v2.types.cloud_speech import (
    ExplicitDecodingConfig,
    PhraseSet,
    RecognitionConfig,
    RecognitionFeatures,
    SpeechAdaptation,
    StreamingRecognitionConfig,
    StreamingRecognitionFeatures,
    StreamingRecognizeRequest,
)
from grpc import aio

from providers.google_client import Connections, Lease, told, with_country
from providers.google_results import Results
from providers.parts import Heard
from providers.voice import AudioFormat, Failed, Usage, VoiceError

NAME = "Google Speech-to-Text"
BATCH = 100  # ms; smaller pieces cost more processor time (20 ms: four times as much)
LONGEST = 1000  # ms in one request, when audio waits
ROTATE_AFTER = 240_000  # ms of a stream; at a moment when no text is open
ROTATE_AT_LAST = 285_000  # ms; Google ends it at 300 s
LIVES = 500  # ms of new audio that a stream gets at least, however much it had to be sent again
KEPT = 60_000  # ms of audio that is not written yet
SILENT_AFTER = 1.0  # seconds without audio; then silence is sent, for Google ends streams without any
TRIES = 3  # streams in a row that end without having told anything
AGAIN_AFTER = 0.25  # seconds; the second time twice as many
DEADLINE = 310.0  # seconds of one stream
OPEN_WITHIN = 5.0  # seconds
TAKE_WITHIN = 5.0  # seconds to take one request
REST_WITHIN = 5.0  # seconds for the last texts
SILENCES = {"ulaw": b"\xff", "alaw": b"\xd5"}
HINT_BOOST = 10.0  # of 0..20
_Encoding = ExplicitDecodingConfig.AudioEncoding
ENCODINGS = {"ulaw": _Encoding.MULAW, "alaw": _Encoding.ALAW}


def make_client(channel: aio.Channel) -> SpeechAsyncClient:
    """The vendor's client on a connection of ours."""
    return SpeechAsyncClient(transport=SpeechGrpcAsyncIOTransport(channel=channel))


def opening(
    recognizer: str, *, format: AudioFormat, language: str, model: str, hints: Sequence[str] = (), endpointing: str = ""
) -> StreamingRecognizeRequest:
    """The first request of a stream. ``endpointing``: ``short``, ``supershort``, or nothing for the usual one.

    Raises `VoiceError` when the format is not the telephone's.
    """
    if format.encoding not in ENCODINGS or format.rate != 8000:
        raise VoiceError(f"{NAME} is given the telephone's µ-law or A-law, not {format}", code="format")
    decoding = ExplicitDecodingConfig(
        encoding=ENCODINGS[format.encoding], sample_rate_hertz=format.rate, audio_channel_count=1
    )
    config = RecognitionConfig(
        explicit_decoding_config=decoding,
        language_codes=[with_country(language)],
        model=model,
        features=RecognitionFeatures(enable_automatic_punctuation=True),
    )
    if hints:
        phrases = [PhraseSet.Phrase(value=hint, boost=HINT_BOOST) for hint in hints]
        inline = SpeechAdaptation.AdaptationPhraseSet(inline_phrase_set=PhraseSet(phrases=phrases))
        config.adaptation = SpeechAdaptation(phrase_sets=[inline])
    features = StreamingRecognitionFeatures(enable_voice_activity_events=True, interim_results=True)
    if endpointing:
        kinds: Any = StreamingRecognitionFeatures.EndpointingSensitivity
        features.endpointing_sensitivity = kinds[f"ENDPOINTING_SENSITIVITY_{endpointing.upper()}"]
    streaming = StreamingRecognitionConfig(config=config, streaming_features=features)
    return StreamingRecognizeRequest(recognizer=recognizer, streaming_config=streaming)


class GoogleRecogniser:
    """See `providers.parts.Recogniser` for what the methods promise. ``opening`` is the first request of a stream."""

    def __init__(
        self, connections: Connections[SpeechAsyncClient], opening: StreamingRecognizeRequest, format: AudioFormat,
        *, rotate_after: int = ROTATE_AFTER, rotate_at_last: int = ROTATE_AT_LAST,
    ) -> None:  # fmt: skip
        self._connections = connections
        self._opening = opening
        self._bytes_per_ms = format.bytes_per_ms
        self._silence = SILENCES[format.encoding]
        self._rotate_after, self._rotate_at_last = rotate_after, rotate_at_last
        self._results = Results()
        self._audio = bytearray()  # what is kept of it
        self._from = 0  # ms, where that begins
        self._sent = 0  # ms
        self._more = asyncio.Event()
        self._events: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._lease: Lease[SpeechAsyncClient] | None = None
        self._life: asyncio.Task[None] | None = None
        self._told = 0  # responses
        self._unpaid = 0  # ms of audio, sent and not settled
        self._lost = 0  # ms of audio that was dropped
        self._finishing = self._closed = False

    async def connect(self) -> None:
        """Find a connection. What Google says to the request comes with the events. Raises `VoiceError`."""
        self._lease = await self._connections.take(NAME)
        self._life = asyncio.create_task(self._live(self._lease), name="google listens")

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard, until `close`, a failure, or all was written after `finish`."""
        while (event := await self._events.get()) is not None:
            yield event
        if self._life is not None:
            await asyncio.wait([self._life])
            if not self._life.cancelled():
                self._life.result()

    async def send_audio(self, audio: bytes) -> None:
        """Keep it for the task that sends: nothing is waited for here."""
        if self._closed or self._finishing:
            return
        self._audio += audio
        too_much = self._upto - self._from - KEPT
        if too_much > 0:
            self._lost += too_much
            self._forget(self._from + too_much)
        if self._upto - self._sent >= BATCH:
            self._more.set()

    async def finish(self) -> None:
        """No more audio comes."""
        self._finishing = True
        self._more.set()

    def settle(self) -> Sequence[Usage]:
        """The audio that Google was sent since the last time. See `providers.voice.Metered`."""
        ms, self._unpaid = self._unpaid, 0
        model = self._opening.streaming_config.config.model
        return (Usage(seconds_heard=ms / 1000, model=model),) if ms else ()

    async def close(self) -> None:
        """End the stream and ``events``."""
        self._closed = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        if self._lease is not None:
            self._lease.give_back()
        self._events.put_nowait(None)

    @property
    def _upto(self) -> int:
        """Where the audio ends, in ms."""
        return self._from + len(self._audio) // self._bytes_per_ms

    def _forget(self, upto: int) -> None:
        """Audio before this is not needed any more."""
        if upto > self._from:
            del self._audio[: (upto - self._from) * self._bytes_per_ms]
            self._from = upto
            self._sent = max(self._sent, upto)

    # ── streams ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _live(self, lease: Lease[SpeechAsyncClient]) -> None:
        """One stream after the other."""
        barren = 0
        try:
            while True:
                told_before = self._told
                error = await self._stream(lease)
                if error is None and self._finishing:
                    return
                barren = barren + 1 if error is not None and self._told == told_before else 0
                if error is not None and (not error.recoverable or barren >= TRIES):
                    self._events.put_nowait(Failed(str(error), error.code))
                    return
                if error is not None:
                    await asyncio.sleep(AGAIN_AFTER * max(1, barren))
        finally:
            self._events.put_nowait(None)

    async def _stream(self, lease: Lease[SpeechAsyncClient]) -> VoiceError | None:
        """One stream, from what is not written yet, until it has lasted long enough. What it failed with, else None."""
        self._sent = max(self._results.settled, self._from)
        self._results.stream(self._sent)
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                call: Any = await lease.client.streaming_recognize(metadata=lease.metadata, timeout=DEADLINE)
        except GoogleAPICallError as error:
            return told(NAME, error)
        except TimeoutError:
            return VoiceError(f"{NAME} opened no stream within {OPEN_WITHIN:g} s", code="timeout", recoverable=True)
        reading = asyncio.create_task(self._read(call), name="google tells")
        writing = asyncio.create_task(self._write(call), name="google is told")
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and writing.result() == "rotate":
                return None
            try:
                async with asyncio.timeout(REST_WITHIN):  # it was told that this is all, or it broke and can tell why
                    return await reading
            except TimeoutError:
                text = f"{NAME} did not take audio, or did not come to its end, within {REST_WITHIN:g} s"
                return VoiceError(text, code="timeout", recoverable=True)
        finally:
            call.cancel()
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self, call: Any) -> VoiceError | None:
        """What the stream tells; how it ended."""
        try:
            while (response := await call.read()) is not aio.EOF:
                self._told += 1
                for event in self._results.take(response):
                    self._events.put_nowait(event)
        except GoogleAPICallError as error:
            return told(NAME, error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            text = f"{NAME} took no audio for {TAKE_WITHIN:g} s"  # a request that is given up cancels the stream
            return VoiceError(text, code="timeout", recoverable=True)
        return None if self._finishing else VoiceError(f"{NAME} ended the stream", code="ended", recoverable=True)

    async def _write(self, call: Any) -> Literal["rotate", "finished", "broken"]:
        """Send audio as it comes, silence where none does."""
        begins, known = self._sent, self._upto  # what is known already goes out at once: it says nothing of the time
        try:
            async with asyncio.timeout(TAKE_WITHIN):
                await call.write(self._opening)
            while True:
                await self._wait_for_audio()
                while (piece := self._next()) is not None:
                    async with asyncio.timeout(TAKE_WITHIN):
                        await call.write(StreamingRecognizeRequest(audio=piece))
                    ms = len(piece) // self._bytes_per_ms
                    self._sent += ms
                    self._unpaid += ms
                    self._results.sent(self._sent)
                self._forget(min(self._results.settled, self._sent))
                if self._finishing:
                    await call.done_writing()
                    return "finished"
                age = self._sent - begins
                is_old = age >= (self._rotate_at_last if self._results.open else self._rotate_after)
                if is_old and self._sent - known >= LIVES:  # else a busy server would never come to tell anything
                    return "rotate"
        except (GoogleAPICallError, asyncio.InvalidStateError, TimeoutError):
            return "broken"  # why is what the reader is told

    async def _wait_for_audio(self) -> None:
        self._more.clear()
        if self._lost:
            text = f"{NAME} does not keep up: {self._lost} ms of caller audio were not sent"
            self._events.put_nowait(Failed(text, "backlog", recoverable=True))
            self._lost = 0
        if self._finishing or self._upto - self._sent >= BATCH:
            return
        try:
            async with asyncio.timeout(SILENT_AFTER):
                await self._more.wait()
        except TimeoutError:
            self._audio += self._silence * (round(SILENT_AFTER * 1000) * self._bytes_per_ms)

    def _next(self) -> bytes | None:
        """The next piece to send: a batch, or more when it waits; less only at the end."""
        waiting = min(self._upto - self._sent, LONGEST)
        if waiting < (1 if self._finishing else BATCH):
            return None
        start = (self._sent - self._from) * self._bytes_per_ms
        return bytes(self._audio[start : start + waiting * self._bytes_per_ms])
