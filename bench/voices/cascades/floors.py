"""The floor of a cascade: bare streams that hear, ask and speak; no turns, no memory, no bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from google.cloud.speech_v2.types import cloud_speech as cs
from google.cloud.texttospeech_v1.types import cloud_tts as tts
from grpc import aio

from bench.azure.direct import DirectRecogniser
from bench.voices.cascades.google_line import HEAR, SPEAK
from bench.voices.cascades.line import MODEL, SENTENCES
from providers.azure_speaking import ssml
from providers.voice import UserText
from tests.emulators.azure_speech import usp

BATCH = 800  # bytes in a message: 100 ms
ULAW_OUT = {"synthesis": {"audio": {"outputFormat": "raw-8khz-8bit-mono-mulaw"}}}


class CascadeFloor:
    """One session. ``told`` is given texts, ``heard`` audio. Each of the vendors brings its own `hear` and `speak`."""

    def __init__(
        self, http: ClientSession, settings: Mapping[str, str],
        told: Callable[[str], None], heard: Callable[[bytes], None],
    ) -> None:  # fmt: skip
        self._http, self._settings = http, settings
        self._told, self._heard = told, heard
        self._asked = asyncio.Event()

    async def connect(self) -> None:
        """Returns when audio may flow."""
        raise NotImplementedError

    async def send_audio(self, audio: bytes) -> None:
        """A frame of the caller."""
        raise NotImplementedError

    def texts(self) -> AsyncIterator[tuple[str, bool]]:
        """What the caller says, and whether that is final."""
        raise NotImplementedError

    async def speak(self, sentences: list[str]) -> None:
        """Have them spoken, and the audio heard."""
        raise NotImplementedError

    async def close(self) -> None:
        """Leave."""

    async def read(self) -> None:
        """A conversation, until it is cancelled: what comes while the voice speaks is one question."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self.speak(await self._think())

    async def _listen(self) -> None:
        async for text, final in self.texts():
            self._told(text)
            if final:
                self._asked.set()

    async def _think(self) -> list[str]:
        answer = ""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "pizza"}], "stream": True}
        async with self._http.post(f"{self._settings['text_url']}/chat/completions", json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    answer += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        assert answer.strip() == "".join(SENTENCES)
        return list(SENTENCES)


class GoogleFloor(CascadeFloor):
    """On gRPC itself, without the vendor's client."""

    channels: tuple[aio.Channel, aio.Channel] | None = None  # of all sessions of this process

    async def connect(self) -> None:
        """Returns when the stream is open."""
        if GoogleFloor.channels is None:
            address = self._settings["listening_url"].removeprefix("http://")
            pool = (("grpc.use_local_subchannel_pool", 1),)
            GoogleFloor.channels = aio.insecure_channel(address, pool), aio.insecure_channel(address, pool)
        self._hearing, self._speaking = GoogleFloor.channels
        self._gathered = b""
        self._call: Any = self._hearing.stream_stream("/" + "/".join(HEAR))()
        self._request, self._response = cs.StreamingRecognizeRequest.pb(), cs.StreamingRecognizeResponse.pb()
        await self._call.write(self._request(recognizer="bench").SerializeToString())

    async def send_audio(self, audio: bytes) -> None:
        """A frame of the caller."""
        self._gathered += audio
        if len(self._gathered) == BATCH:
            audio, self._gathered = self._gathered, b""
            await self._call.write(self._request(audio=audio).SerializeToString())

    async def texts(self) -> AsyncIterator[tuple[str, bool]]:
        """What the stream tells."""
        while (raw := await self._call.read()) is not aio.EOF:
            result = self._response.FromString(raw).results[0]
            yield result.alternatives[0].transcript, result.is_final

    async def speak(self, sentences: list[str]) -> None:
        """A stream for them."""
        call: Any = self._speaking.stream_stream("/" + "/".join(SPEAK))()
        request, response = tts.StreamingSynthesizeRequest.pb(), tts.StreamingSynthesizeResponse.pb()
        await call.write(request(streaming_config={"voice": {"name": "bench"}}).SerializeToString())
        for sentence in sentences:
            await call.write(request(input={"text": sentence}).SerializeToString())
        await call.done_writing()
        while (raw := await call.read()) is not aio.EOF:
            self._heard(response.FromString(raw).audio_content)

    async def close(self) -> None:
        """Leave."""
        self._call.cancel()


class AzureFloor(CascadeFloor):
    """The service's own protocol on aiohttp, without the vendor's SDK; one connection speaks for the whole call."""

    async def connect(self) -> None:
        """Returns when both connections are open."""
        url = self._settings["endpoint"]
        self._ears = DirectRecogniser(self._http, url)
        await self._ears.connect()
        headers = {"Ocp-Apim-Subscription-Key": "bench"}
        self._mouth: ClientWebSocketResponse = await self._http.ws_connect(
            f"{url}/tts/cognitiveservices/websocket/v1", headers=headers, protocols=("USP",), compress=0
        )

    async def send_audio(self, audio: bytes) -> None:
        """A frame of the caller."""
        await self._ears.send_audio(audio)

    async def texts(self) -> AsyncIterator[tuple[str, bool]]:
        """What the connection tells."""
        async for event in self._ears.events():
            if isinstance(event, UserText):
                yield event.text, event.final

    async def speak(self, sentences: list[str]) -> None:
        """One after the other."""
        for sentence in sentences:
            request = usp.new_id()
            await self._mouth.send_str(usp.text("synthesis.context", request, ULAW_OUT))
            head = f"X-RequestId:{request}\r\nContent-Type:application/ssml+xml\r\nPath:ssml\r\n\r\n"
            await self._mouth.send_str(head + ssml(sentence, None, None))
            async for frame in self._mouth:
                if frame.type is WSMsgType.BINARY:
                    self._heard(frame.data[2 + int.from_bytes(frame.data[:2]) :])
                elif "Path:turn.end" in frame.data:
                    break

    async def close(self) -> None:
        """Leave."""
        await self._ears.close()
        await self._mouth.close()


FLOORS: Mapping[str, type[CascadeFloor]] = {"google": GoogleFloor, "azure-speech": AzureFloor}
