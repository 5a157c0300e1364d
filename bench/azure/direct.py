"""A bare recogniser on aiohttp that speaks the service's protocol itself: what the SDK could cost at the least.

It does not connect again, sends nothing twice and reads no errors: a yardstick, not a product.
"""

from __future__ import annotations

import json
import struct
import time
from binascii import hexlify
from collections.abc import AsyncIterator
from os import urandom
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from providers.azure_listening import PIECE_MS, Phrases
from providers.parts import Heard

PATH = "/stt/speech/universal/v2"
# A WAV of unknown length: µ-law (7), one channel, 8000 Hz, 8 bit.
RIFF = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8) + b"data\0\0\0\0"


class DirectRecogniser:
    """One stretch of listening, µ-law at 8 kHz."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._socket: ClientWebSocketResponse | None = None
        self._request = hexlify(urandom(16)).decode()
        self._audio = bytearray()
        self._phrases = Phrases()

    async def connect(self) -> None:
        """Open it and tell what comes."""
        headers = {"Ocp-Apim-Subscription-Key": "bench", "X-ConnectionId": self._request}
        self._socket = await self._http.ws_connect(self._url + PATH, headers=headers, protocols=("USP",), compress=0)
        system = {"version": "0", "name": "bench", "build": "0", "lang": "Python"}
        await self._tell("speech.config", {"context": {"system": system}})
        context = {"phraseDetection": {"language": "en-US"}, "audio": {"streams": {"1": None}}}
        await self._tell("speech.context", context)
        await self._sound(RIFF, "Content-Type:audio/x-wav\r\n")

    async def send_audio(self, audio: bytes) -> None:
        """In pieces as long as the SDK's."""
        self._audio += audio
        if len(self._audio) >= PIECE_MS * 8:
            await self._sound(bytes(self._audio))
            self._audio.clear()

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard."""
        assert self._socket is not None
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            head, _, body = frame.data.partition("\r\n\r\n")
            for event in self._read(head.rpartition("Path:")[2].partition("\r\n")[0], body):
                yield event

    def _read(self, path: str, body: str) -> list[Heard]:
        match path:
            case "speech.startDetected":
                return self._phrases.begins()
            case "speech.hypothesis":
                return self._phrases.words(json.loads(body)["Text"])
            case "speech.phrase":
                return self._phrases.phrase(json.loads(body).get("DisplayText", ""))
        return []

    async def close(self) -> None:
        """End it."""
        if self._socket is not None:
            await self._socket.close()

    async def _tell(self, path: str, body: dict[str, Any]) -> None:
        assert self._socket is not None
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        head = f"X-RequestId:{self._request}\r\nX-Timestamp:{stamp}\r\nContent-Type:application/json\r\nPath:{path}"
        await self._socket.send_str(f"{head}\r\n\r\n{json.dumps(body)}")

    async def _sound(self, audio: bytes, kind: str = "") -> None:
        assert self._socket is not None
        head = f"X-RequestId:{self._request}\r\nX-StreamId:1\r\nPath:audio\r\n{kind}".encode()
        await self._socket.send_bytes(struct.pack(">H", len(head)) + head + audio)
