"""Google's streaming text to speech: one stream for an utterance, text in and G.711 out.

Source: cloud.google.com/text-to-speech/docs and the types of google-cloud-texttospeech 2.38. A stream without text for
five seconds is ended by Google: where a model makes longer pauses, the rest of its answer gets a stream of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.texttospeech_v1.services.text_to_speech import TextToSpeechAsyncClient
from google.cloud.texttospeech_v1.services.text_to_speech.transports import TextToSpeechGrpcAsyncIOTransport
from google.cloud.texttospeech_v1.types.cloud_tts import (
    AudioEncoding,
    StreamingAudioConfig,
    StreamingSynthesisInput,
    StreamingSynthesizeConfig,
    StreamingSynthesizeRequest,
    VoiceSelectionParams,
)
from grpc import aio

from providers.google_client import Connections, Lease, told, with_country
from providers.parts import Speech
from providers.sentences import pieces
from providers.voice import AudioFormat, Usage, VoiceError

NAME = "Google Text-to-Speech"
LANGUAGE = "en-US"
FAMILY = "Chirp3-HD"  # the voices that speak while text comes; every character exists in every language
VOICE = "Kore"
TEXT_WITHIN = 4.0  # seconds until the next text; Google waits for five
SOUND_WITHIN = 6.0  # seconds until the next audio
OPEN_WITHIN = 5.0  # seconds
DEADLINE = 120.0  # seconds of one stream
TRIES = 2  # of a stream that gave no audio
ENCODINGS = {"ulaw": AudioEncoding.MULAW, "alaw": AudioEncoding.ALAW}


def make_client(channel: aio.Channel) -> TextToSpeechAsyncClient:
    """The vendor's client on a connection of ours."""
    return TextToSpeechAsyncClient(transport=TextToSpeechGrpcAsyncIOTransport(channel=channel))


class GoogleSpeaker:
    """Satisfies `providers.parts.StreamingSpeaker`. ``rate``: 1.0 is the usual speed."""

    def __init__(
        self,
        connections: Connections[TextToSpeechAsyncClient],
        *,
        voice: str | None = None,
        language: str = LANGUAGE,
        rate: float | None = None,
    ) -> None:
        self._connections = connections
        self._voice = voice
        self._language = language
        self._rate = rate

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """The whole prompt as audio. Raises `VoiceError`."""
        audio = bytearray()
        async with aclosing(self.utter(_pieces(text), voice=voice, language=language, format=format)) as sounds:
            async for sound in sounds:
                if isinstance(sound, bytes):
                    audio += sound
        return bytes(audio)

    async def utter(
        self, texts: AsyncIterator[str], *, voice: str | None, language: str | None, format: AudioFormat
    ) -> AsyncGenerator[Speech, None]:
        """Speak one utterance; see `providers.parts.StreamingSpeaker`."""
        config = self._config(voice, language, format)
        reader = _Texts(texts)
        lease: Lease[TextToSpeechAsyncClient] | None = None
        try:
            while await reader.is_there(None):
                lease = lease or await self._connections.take(NAME)
                async with aclosing(_spoken(lease, config, reader)) as sounds:
                    async for sound in sounds:
                        yield sound
        finally:
            if lease is not None:
                lease.give_back()
            await reader.close()

    def usage(self, text: str, *, voice: str | None) -> Usage:
        """Characters, of the family of voices whose price counts. See `providers.voice.ChargedSpeaker`."""
        return Usage(characters=len(text), model=FAMILY)

    def _config(self, voice: str | None, language: str | None, format: AudioFormat) -> StreamingSynthesizeRequest:
        """The first request of a stream. A voice is called by its whole name or by its character (``Kore``)."""
        if format.encoding not in ENCODINGS or format.rate != 8000:
            raise VoiceError(f"{NAME} is asked for the telephone's µ-law or A-law, not {format}", code="format")
        name, tongue = voice or self._voice or VOICE, with_country(language or self._language)
        if name.count("-") > 2:
            tongue = "-".join(name.split("-")[:2])  # a whole name, which says its language
        else:
            name = f"{tongue}-{FAMILY}-{name}"
        audio = StreamingAudioConfig(
            audio_encoding=ENCODINGS[format.encoding], sample_rate_hertz=format.rate, speaking_rate=self._rate or 0.0
        )
        speaker = VoiceSelectionParams(language_code=tongue, name=name)
        config = StreamingSynthesizeConfig(voice=speaker, streaming_audio_config=audio)
        return StreamingSynthesizeRequest(streaming_config=config)


class _Texts:
    """A text that is still being written, read with patience; what one stream was given can be given to another."""

    def __init__(self, texts: AsyncIterator[str]) -> None:
        self._texts = texts
        self._next: asyncio.Task[str | None] | None = None
        self.given: list[str] = []  # to the stream that is open

    async def is_there(self, within: float | None) -> bool:
        """Whether there is more, so soon."""
        if self._next is None:
            self._next = asyncio.create_task(self._read(), name="text to speak")
        await asyncio.wait((self._next,), timeout=within)
        return self._next.done() and self._next.result() is not None

    def take(self) -> str:
        """What `is_there` found."""
        assert self._next is not None
        text = self._next.result()
        assert text is not None
        self._next = None
        self.given.append(text)
        return text

    async def _read(self) -> str | None:
        return await anext(self._texts, None)

    async def close(self) -> None:
        """Read no more."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)


async def _spoken(
    lease: Lease[TextToSpeechAsyncClient], config: StreamingSynthesizeRequest, texts: _Texts
) -> AsyncGenerator[bytes, None]:
    """What one stream says; tried once more when it broke before it said anything. Raises `VoiceError`."""
    texts.given = []
    for attempt in range(TRIES):
        silent = True
        try:
            async with aclosing(_stream(lease, config, texts)) as sounds:
                async for sound in sounds:
                    silent = False
                    yield sound
            return
        except VoiceError as error:
            may_help = error.recoverable and error.code != "timeout"  # somebody waits on the telephone
            if not (silent and may_help and attempt + 1 < TRIES):
                raise


async def _stream(
    lease: Lease[TextToSpeechAsyncClient], config: StreamingSynthesizeRequest, texts: _Texts
) -> AsyncGenerator[bytes, None]:
    try:
        async with asyncio.timeout(OPEN_WITHIN):
            call: Any = await lease.client.streaming_synthesize(metadata=lease.metadata, timeout=DEADLINE)
    except GoogleAPICallError as error:
        raise told(NAME, error) from None
    except TimeoutError:
        raise VoiceError(f"{NAME} opened no stream in {OPEN_WITHIN:g} s", code="timeout", recoverable=True) from None
    writing = asyncio.create_task(_write(call, config, texts), name="google is given text")
    try:
        while True:
            async with asyncio.timeout(SOUND_WITHIN):
                response = await call.read()
            if response is aio.EOF:
                break
            if response.audio_content:
                yield response.audio_content
    except GoogleAPICallError as error:
        raise told(NAME, error) from None
    except TimeoutError:
        if writing.done():
            writing.result()  # raises when there was no text because of a mistake
        text = f"{NAME} said nothing for {SOUND_WITHIN:g} s"
        raise VoiceError(text, code="timeout", recoverable=True) from None
    finally:
        call.cancel()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _write(call: Any, config: StreamingSynthesizeRequest, texts: _Texts) -> None:
    """Hand over the text as it comes; the stream ends with it, or with a long pause in it."""
    try:
        await call.write(config)
        for text in tuple(texts.given):
            await call.write(_input(text))
        while await texts.is_there(TEXT_WITHIN):
            await call.write(_input(texts.take()))
        await call.done_writing()
    except (GoogleAPICallError, asyncio.InvalidStateError):
        return  # why is what the reader is told


def _input(text: str) -> StreamingSynthesizeRequest:
    return StreamingSynthesizeRequest(input=StreamingSynthesisInput(text=text))


async def _pieces(text: str) -> AsyncIterator[str]:
    for piece in pieces(text):
        if piece.strip():
            yield piece
