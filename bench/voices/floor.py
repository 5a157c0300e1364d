"""The floor: what it takes at the least to move the same frames over the same socket, in the same language."""

from __future__ import annotations

import asyncio
import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from bench.voices.wires import Wire, written
from providers.resample import Divider, Doubler
from providers.sound import decode, encode
from providers.voice import ULAW


class Floor:
    """One session: base64 and JSON, and with ``resampled`` what a vendor's own rates cost. Nothing else."""

    def __init__(
        self, http: ClientSession, url: str, wire: Wire, heard: Callable[[bytes], None], *, resampled: bool
    ) -> None:
        self._http, self._url, self._wire, self._heard = http, url, wire, heard
        self._up = Doubler() if resampled else None
        self._down = Divider() if resampled else None
        self._gathered = b""
        self.socket: ClientWebSocketResponse

    async def connect(self) -> None:
        """Returns when the session stands."""
        self.socket = await self._http.ws_connect(self._url, compress=0, max_msg_size=0)
        for _ in self._wire.greets:
            await self.socket.receive()
        await self.socket.send_str(written(self._wire.opens))
        for _ in self._wire.settles:
            await self.socket.receive()

    async def read(self) -> None:
        """Hand on what is heard, until the end."""
        path, down, heard = self._wire.path, self._down, self._heard
        async for message in self.socket:
            found: Any = json.loads(message.data)
            for step in path:
                found = found[step]
            audio = a2b_base64(found)
            heard(audio if down is None else encode(down.feed(audio), ULAW))

    async def send_audio(self, audio: bytes) -> None:
        """A frame of the caller."""
        self._gathered += audio
        if len(self._gathered) < self._wire.batch * 160:
            return
        audio, self._gathered = self._gathered, b""
        if self._wire.rate is not None:
            audio = decode(audio + audio, ULAW) if self._up is None else self._up.feed(decode(audio, ULAW))
        text = self._wire.append + b2a_base64(audio, newline=False) + self._wire.append_end
        await self.socket.send_frame(text, WSMsgType.TEXT)

    async def close(self) -> None:
        """Leave."""
        async with asyncio.timeout(2):
            await self.socket.close()
