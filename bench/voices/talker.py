"""The measured process: so many sessions of a voice, or of its floor, fed and read in real time; or just the clock."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import time
from collections import deque
from typing import Any

import uvloop
from aiohttp import ClientSession, TCPConnector
from aiohttp.client_proto import ResponseHandler

from bench.child import obey, resident_bytes
from bench.figures import spread
from bench.voices.floor import Floor
from bench.voices.wires import FRAME_MS, wire_of
from providers.voice import ULAW, Audio, Session
from tests.emulators.openai_realtime.sound import tone

SLOTS = 20
FRAME = tone(FRAME_MS)
LOOK_EVERY = 0.01  # seconds


class Talker:
    """The process."""

    def __init__(self) -> None:
        self._ends: list[Any] = []  # floors, or voices
        self._readers: list[asyncio.Task[None]] = []
        self._frames = 0  # that the owners were given
        self._probing = False
        self._read_at: dict[Any, deque[float]] = {}  # transport -> when audio frames were read from it
        self._down: list[float] = []
        self._up: list[float] = []
        self._late: list[float] = []

    # ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Make and connect ``count`` sessions of the ``kind``: nothing, bare, floor, voice, or probed: a voice whose
        delays are taken, which costs CPU itself."""
        kind, count = asked["kind"], asked["count"]
        if kind == "probed":
            self._probe()
        if kind == "nothing":
            return {"memory_kb": 0.0}
        make = self._voices(asked) if kind in ("voice", "probed") else self._floors(asked)
        await self._open(make())
        gc.collect()
        before = resident_bytes(os.getpid())  # the first session loads what all share
        for _ in range(count - 1):
            await self._open(make())
        gc.collect()
        gc.freeze()  # what stands for the whole call is not collected again and again
        return {"memory_kb": (resident_bytes(os.getpid()) - before) / 1024 / (count - 1)}

    def _load(self, asked: dict[str, Any]) -> None:
        self._provider = importlib.import_module(asked["module"]).provider(asked["settings"])

    def _voices(self, asked: dict[str, Any]) -> Any:
        self._load(asked)
        return lambda: self._provider.voice(Session(instructions="You answer the phone.", format=ULAW))

    def _floors(self, asked: dict[str, Any]) -> Any:
        wire = wire_of(asked["voice"])
        http = self._http = ClientSession(connector=TCPConnector(limit=0))
        resampled = wire.rate is not None and asked["kind"] == "floor"

        def heard(_: bytes) -> None:
            self._frames += 1

        return lambda: Floor(http, f"ws://127.0.0.1:{asked['port']}/", wire, heard, resampled=resampled)

    async def _open(self, end: Any) -> None:
        await end.connect()
        self._ends.append(end)
        reading = end.read() if hasattr(end, "read") else self._own(end)  # only a floor reads by itself
        self._readers.append(asyncio.create_task(reading))
        await asyncio.sleep(0)

    async def _own(self, voice: Any) -> None:
        transport = voice._socket.transport
        async for event in voice.events():
            if isinstance(event, Audio):
                self._frames += 1
                if self._probing and (read := self._read_at.get(transport)):
                    self._down.append((time.monotonic() - read.popleft()) * 1000)

    # ── a window ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def talk(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Every caller speaks for so many ``seconds``."""
        self._frames = 0
        for found in (self._down, self._up, self._late):
            found.clear()
        watching = asyncio.create_task(self._watch()) if self._probing else None
        await self._feed(asked["seconds"])
        if watching is not None:
            watching.cancel()
        return {
            "frames": self._frames, "down_ms": spread(self._down), "up_ms": spread(self._up),
            "lag_ms": spread(self._late),
        }  # fmt: skip

    async def _feed(self, seconds: float) -> None:
        due, slot, up, loop = time.monotonic(), 0, self._up, asyncio.get_running_loop()
        for _ in range(round(seconds * 1000 / FRAME_MS) * SLOTS):
            due += FRAME_MS / 1000 / SLOTS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            slot = (slot + 1) % SLOTS
            for end in self._ends[slot::SLOTS]:
                if self._probing:
                    began = time.monotonic()
                    await end.send_audio(FRAME)
                    loop.call_soon(_note, up, began)
                else:
                    await end.send_audio(FRAME)

    def _probe(self) -> None:
        """Note when aiohttp is given what was read from a socket; before the first is opened, for the loop keeps it."""
        received, read_at = ResponseHandler.data_received, self._read_at

        def data_received(handler: ResponseHandler, data: bytes) -> None:
            now = time.monotonic()
            read = read_at.setdefault(handler.transport, deque())
            for _ in range(data.count(b'"delta":"') + data.count(b'"inlineData"')):
                read.append(now)
            received(handler, data)

        ResponseHandler.data_received = data_received  # type: ignore[method-assign, assignment]
        self._probing = True

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            self._late.append(max(0.0, time.monotonic() - due) * 1000)


def _note(delays: list[float], began: float) -> None:
    delays.append((time.monotonic() - began) * 1000)


async def main() -> None:
    """Obey until stdin ends."""
    talker = Talker()
    await obey({"start": talker.start, "talk": talker.talk})


if __name__ == "__main__":
    uvloop.run(main())
