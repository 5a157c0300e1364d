"""Azure Speech as the vendor's process plays it: its websockets, of whose messages only the heads are read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from bench.voices.cascades.line import PIECE_MS, PIECES, CascadeLine
from tests.emulators.azure_speech import usp

TICKS = 1_250  # of 100 ns, in a byte of the caller's audio


@dataclass(slots=True)
class Heard:
    """How much of a caller came: what a phrase tells of it is what the SDK keeps no longer, to send it again."""

    ticks: int = 0


class AzureLine(CascadeLine):
    """Speech to text, text to speech and a text model."""

    def __init__(self) -> None:
        super().__init__()
        self._app.router.add_get("/{path:.*}", self._accept)

    @property
    def settings(self) -> Mapping[str, str]:
        """What a provider is made with beside a key."""
        return {**super().settings, "endpoint": f"ws://{self.address}"}

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, protocols=("USP",))
        await socket.prepare(request)
        speaks = request.path.startswith(("/tts", "/cognitiveservices"))
        await (self._synthesise if speaks else self._recognise)(socket)
        return socket

    async def _recognise(self, socket: web.WebSocketResponse) -> None:
        telling: asyncio.Task[None] | None = None
        heard = Heard()
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.BINARY:
                    continue
                if telling is None:  # the head of a WAV
                    request = usp.parse(frame.data).request
                    await socket.send_str(usp.text("turn.start", request, {"context": {"serviceTag": usp.new_id()}}))
                    telling = asyncio.create_task(self._tell(socket, request, heard))
                else:
                    heard.ticks += (len(frame.data) - 2 - int.from_bytes(frame.data[:2])) * TICKS
                    self.note(frame.data)
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, socket: web.WebSocketResponse, request: str, heard: Heard) -> None:
        begins = 0
        async for text, final in self.texts():
            where = {"Id": usp.new_id(), "Offset": begins, "Duration": heard.ticks - begins, "Channel": 0}
            told: dict[str, Any] = where | {"Text": text}
            if final:
                begins = heard.ticks
                best = {"Confidence": 0.9, "Lexical": text, "ITN": text, "MaskedITN": text, "Display": text}
                told = where | {"RecognitionStatus": "Success", "DisplayText": text, "NBest": [best]}
            await socket.send_str(usp.text("speech.phrase" if final else "speech.hypothesis", request, told))

    async def _synthesise(self, socket: web.WebSocketResponse) -> None:
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            asked = usp.parse(frame.data)
            if asked.path != "ssml":
                continue
            stream, tag = usp.new_id(), {"serviceTag": usp.new_id()}
            await socket.send_str(usp.text("turn.start", asked.request, {"context": tag}))
            inline = {"type": "inline", "streamId": stream}
            await socket.send_str(usp.text("response", asked.request, {"context": tag, "audio": inline}))
            await socket.send_str(usp.text("audio.metadata", asked.request, {"Metadata": _bounds(asked.body.decode())}))
            async for sound in self.sounds():
                await socket.send_bytes(usp.audio(asked.request, stream, sound))
            await socket.send_bytes(usp.audio(asked.request, stream, b""))
            await socket.send_str(usp.text("turn.end", asked.request, {}))


def _bounds(ssml: str) -> list[dict[str, Any]]:
    """Where the words of a sentence are in its sound, which the service tells ahead."""
    words = re.sub("<[^>]*>", "", ssml).split()
    each = PIECES * PIECE_MS * 10_000 // max(1, len(words))
    bounds = enumerate({"Text": word, "Length": len(word), "BoundaryType": "WordBoundary"} for word in words)
    data = ({"Offset": number * each, "Duration": each, "text": bound} for number, bound in bounds)
    return [{"Type": "WordBoundary", "Data": one} for one in data]
