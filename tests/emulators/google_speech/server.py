"""The emulator's front: a gRPC server on a free loopback port for both services, and the judge of what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.cloud.speech_v2.types import cloud_speech as cs
from google.cloud.texttospeech_v1.types import cloud_tts as tts
from grpc import aio

from tests.emulators.google_speech.faults import Faults
from tests.emulators.google_speech.listening import Stream, Texts, in_turn
from tests.emulators.openai_realtime.sound import tone_voice

KEY, PROJECT, TOKEN = "AIza-test-1234567890", "bellas", "ya29-test-1234567890"
MOST = 15_360  # bytes of audio in a request
ROUND_TRIP = 0.03  # seconds
PIECE = 800  # bytes of audio in a response of the synthesiser

Voice = Callable[[str], Awaitable[bytes]]  # a text as µ-law


class Emulator:
    """``async with Emulator(heard=["Hello."]) as emulator:`` then ask `emulator.url`. ``heard``: what callers say."""

    def __init__(
        self,
        heard: Sequence[str] | Texts = ("Hello.",),
        *,
        voice: Voice = tone_voice,
        faults: Faults | None = None,
        pace: float | None = None,
        tls: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._texts = heard if callable(heard) else in_turn(heard)
        self._voice = voice
        self.faults = faults or Faults()
        self._pace = pace  # times as fast as one listens; None: at once
        self._tls = tls  # key and certificate
        self.problems: list[str] = []  # what Google would refuse
        self.openings: list[Any] = []  # first requests
        self.audio: list[bytearray] = []  # of each stream
        self.pieces: list[int] = []  # bytes of each request's audio
        self.said: list[list[str]] = []  # texts of each stream of speech
        self.speech: list[Any] = []  # configurations of them
        self.open = 0
        self.changed = asyncio.Condition()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}" if self._tls is None else f"https://localhost:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        return {"api_key": KEY, "project": PROJECT, "listening_url": self.url, "speech_url": self.url}

    async def __aenter__(self) -> Emulator:
        self._server = aio.server(options=[("grpc.http2.bdp_probe", 0)])  # 64 KB are under way at most
        self._server.add_generic_rpc_handlers((
            _service("google.cloud.speech.v2.Speech", "StreamingRecognize", self._recognize,
                     cs.StreamingRecognizeRequest, cs.StreamingRecognizeResponse),
            _service("google.cloud.texttospeech.v1.TextToSpeech", "StreamingSynthesize", self._synthesize,
                     tts.StreamingSynthesizeRequest, tts.StreamingSynthesizeResponse),
        ))  # fmt: skip
        if self._tls is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([self._tls]))
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)
        handlers = [task for task in asyncio.all_tasks() if task.get_name().startswith("HandleExceptions")]
        if handlers:
            await asyncio.wait(handlers, timeout=5)

    async def drop(self) -> None:
        """Cut every connection, and take no other."""
        await self._server.stop(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until something is so here."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)

    async def _note(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _admit(self, context: Any, refuses: grpc.StatusCode | None) -> None:
        told = dict(context.invocation_metadata())
        if told.get("x-goog-api-key") != KEY and told.get("authorization") != f"Bearer {TOKEN}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "API key not valid.")
        if refuses is not None:
            # As far as Google is away: a status that overtakes a request is told as INTERNAL by grpc.aio.
            await asyncio.sleep(ROUND_TRIP)
            await context.abort(refuses, f"refused, and {KEY} with it")

    async def _refuse(self, context: Any, problem: str) -> None:
        self.problems.append(problem)
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)

    # ── Speech-to-Text ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _recognize(self, _: Any, context: Any) -> None:
        faults, number = self.faults, len(self.audio)
        await self._admit(context, faults.refuses)
        first = await context.read()
        problem = _wrong_opening(first)
        if problem:
            await self._refuse(context, problem)
        self.openings.append(first)
        self.audio.append(bytearray())
        await self._note()
        ends_after = faults.aborts_after[number] if number < len(faults.aborts_after) else None
        stream = Stream(first.streaming_config, self._texts, results=not faults.no_results, events=not faults.no_events)
        self.open += 1
        try:
            while (audio := await self._next_audio(context)) is not None:
                self.audio[number] += audio
                await self._note()
                for response in stream.feed(audio):
                    for sent in await self._faulty(response, stream):
                        await context.write(sent)
                if ends_after is not None and stream.ms >= ends_after:
                    await context.abort(faults.status, "Internal trouble.")
                if stream.ms >= faults.longest:
                    await context.abort(grpc.StatusCode.ABORTED, "Max duration of 5 minutes reached for stream.")
                if faults.stops_reading is not None and number == 0 and stream.ms >= faults.stops_reading:
                    await asyncio.Event().wait()
            for response in stream.rest():
                await context.write(response)
            billed = cs.RecognitionResponseMetadata(total_billed_duration={"seconds": round(stream.ms / 1000)})
            await context.write(cs.StreamingRecognizeResponse.pb(cs.StreamingRecognizeResponse(metadata=billed)))
        finally:
            self.open -= 1

    async def _next_audio(self, context: Any) -> bytes | None:
        """The audio of the next request; None when there are no more."""
        try:
            async with asyncio.timeout(self.faults.patience):
                request = await context.read()
        except TimeoutError:
            text = "Stream timed out after receiving no more client requests."
            await context.abort(grpc.StatusCode.ABORTED, text)
        if request is aio.EOF:
            return None
        if request.recognizer or request.HasField("streaming_config") or not request.audio:
            await self._refuse(context, "only audio may follow the first request")
        if len(request.audio) > MOST:
            await self._refuse(context, f"{len(request.audio)} bytes of audio in one request")
        self.pieces.append(len(request.audio))
        return bytes(request.audio)

    async def _faulty(self, response: Any, stream: Stream) -> list[Any]:
        """A response as the faults have it."""
        faults = self.faults
        final = bool(response.results) and response.results[0].is_final
        if final and faults.delay:
            await asyncio.sleep(faults.delay)
        late = [stream.partial] if final and faults.late and stream.partial is not None else []
        return [response, *([response] if faults.duplicate else []), *late]

    # ── Text-to-Speech ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _synthesize(self, _: Any, context: Any) -> None:
        faults, number = self.faults, len(self.said)
        given: list[str] = []
        self.said.append(given)
        await self._admit(context, faults.speech_refuses)
        first = await context.read()
        if problem := _wrong_voice(first):
            await self._refuse(context, problem)
        self.speech.append(first.streaming_config)
        aborts_after = faults.speech_aborts[number] if number < len(faults.speech_aborts) else None
        sent = 0
        self.open += 1
        try:
            while (text := await self._next_text(context)) is not None:
                given.append(text)
                await self._note()
                audio = await self._voice(text)
                for start in range(0, 0 if faults.speech_silent else len(audio), PIECE):
                    if sent == aborts_after:
                        await context.abort(grpc.StatusCode.ABORTED, "Internal trouble.")
                    piece = audio[start : start + PIECE]
                    response = tts.StreamingSynthesizeResponse(audio_content=piece)
                    await context.write(tts.StreamingSynthesizeResponse.pb(response))
                    sent += 1
                    if self._pace is not None:
                        await asyncio.sleep(len(piece) / 8000 / self._pace)
            if faults.speech_silent:
                await asyncio.Event().wait()
        finally:
            self.open -= 1
            await asyncio.shield(self._note())

    async def _next_text(self, context: Any) -> str | None:
        try:
            async with asyncio.timeout(self.faults.speech_patience):
                request = await context.read()
        except TimeoutError:
            text = "Input must be sent continuously, at least every 5s seconds."
            await context.abort(grpc.StatusCode.ABORTED, text)
        if request is aio.EOF:
            return None
        if not request.HasField("input") or not request.input.text:
            await self._refuse(context, "text must follow the configuration")
        return str(request.input.text)


def _service(name: str, method: str, handler: Any, request: Any, response: Any) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(name, {
        method: grpc.stream_stream_rpc_method_handler(
            handler,
            request_deserializer=request.pb().FromString,
            response_serializer=response.pb().SerializeToString,
        )
    })  # fmt: skip


def _wrong_opening(request: Any) -> str | None:
    config = request.streaming_config.config
    encodings = cs.ExplicitDecodingConfig.AudioEncoding
    decoding = config.explicit_decoding_config
    checks = {
        "recognizer": request.recognizer.startswith(f"projects/{PROJECT}/locations/"),
        "audio in the first request": not request.audio,
        "encoding": decoding.encoding in (encodings.MULAW, encodings.ALAW),
        "rate": decoding.sample_rate_hertz == 8000 and decoding.audio_channel_count == 1,
        "language with its country": all("-" in code for code in config.language_codes) and config.language_codes,
        "model": config.model in ("telephony", "telephony_short", "chirp_3", "long", "short"),
    }
    return next((problem for problem, holds in checks.items() if not holds), None)


def _wrong_voice(request: Any) -> str | None:
    config = request.streaming_config
    encodings = tts.AudioEncoding
    checks = {
        "configuration first": request.HasField("streaming_config"),
        "encoding": config.streaming_audio_config.audio_encoding in (encodings.MULAW, encodings.ALAW),
        "rate": config.streaming_audio_config.sample_rate_hertz == 8000,
        "speaking rate": config.streaming_audio_config.speaking_rate in (0.0, 1.0)
        or 0.25 <= config.streaming_audio_config.speaking_rate <= 2.0,
        "a voice that streams": config.voice.name.startswith(f"{config.voice.language_code}-Chirp3-HD-"),
    }
    return next((problem for problem, holds in checks.items() if not holds), None)
