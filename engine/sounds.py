"""Sounds that `play` fetches from endpoints of the company, kept for a while in the memory of the engine."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

from engine.audio import from_file
from engine.http import Http
from flows.resources import Endpoint

MAX_SOUND = 5 * 1024 * 1024  # bytes: five minutes as WAV, eleven as G.711
MAX_KEPT = 64 * 1024 * 1024  # bytes of G.711: more than two hours
_Key = tuple[str, str, str]  # the endpoint's address, the path, the law


class Sounds:
    """Fetches sounds and keeps them; the one that was not played for longest goes first. One per engine."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()  # when it was fetched, and the sound
        self._size = 0

    async def get(
        self, http: Http, endpoint: Endpoint, path: str, law: str, *, keep: float, timeout: float | None = None
    ) -> bytes:
        """The sound as G.711 of this law, at most ``keep`` seconds old.

        Raises `HttpFailedError`, and `AudioError` for what a telephone cannot play.
        """
        key = (endpoint.base_url, path, law)
        now = asyncio.get_running_loop().time()
        known = self._kept.get(key)
        if known is not None and now - known[0] < keep:
            self._kept.move_to_end(key)
            return known[1]
        data = await http.fetch(endpoint, path, MAX_SOUND, timeout=timeout)
        audio = await asyncio.to_thread(from_file, Path(path.split("?")[0]), data, law)
        self._keep(key, now, audio)
        return audio

    def _keep(self, key: _Key, now: float, audio: bytes) -> None:
        _, before = self._kept.pop(key, (0.0, b""))
        self._kept[key] = (now, audio)
        self._size += len(audio) - len(before)
        while self._size > MAX_KEPT:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._size -= len(oldest)
