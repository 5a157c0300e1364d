"""The measured process: so many conversations of a cascade, or of its floor, fed with stamped frames in real time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop
from aiohttp import ClientSession, TCPConnector

from bench.child import obey
from bench.stamp import FRAME_BYTES, MAGIC, now_ns, quiet, read
from bench.voices.cascades.floors import FLOORS
from bench.voices.cascades.line import spoken
from bench.voices.talker import SLOTS, Talker
from bench.voices.wires import FRAME_MS
from providers.cascade import Cascade
from providers.voice import ULAW, Audio, Session, Turns, UserText


class CascadeTalker(Talker):
    """The process. Delays are taken in every window: what that costs is the same for all, and for the clock alone."""

    def __init__(self) -> None:
        super().__init__()
        self._count = self._number = 0
        self._texts: list[float] = []

    async def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Make and connect ``count`` conversations of the ``kind``: nothing, floor or voice."""
        self._count = asked["count"]
        return await super().start(asked)

    def _voices(self, asked: dict[str, Any]) -> Any:
        self._load(asked)
        session = Session(instructions="You answer the phone.", format=ULAW, turns=Turns(interruptible=False))
        return lambda: self._provider.voice(session)

    def _floors(self, asked: dict[str, Any]) -> Any:
        http = self._http = ClientSession(connector=TCPConnector(limit=0))
        return lambda: FLOORS[asked["voice"]](http, asked["settings"], self._told, self._heard)

    async def _own(self, voice: Cascade) -> None:
        async for event in voice.events():
            if isinstance(event, UserText):
                self._told(event.text)
            elif isinstance(event, Audio):
                self._heard(event.data)

    def _told(self, text: str) -> None:
        if (age := spoken(text)) is not None:
            self._texts.append(age)

    def _heard(self, audio: bytes) -> None:
        """Count the bytes, and look for the stamp of each message that is in it."""
        now, at, last = now_ns(), audio.find(MAGIC), 0
        self._frames += len(audio)
        while at >= 0:
            found = read(audio[at:])
            if found is not None and found[0] != last:
                last = found[0]
                self._down.append((now - last) / 1e6)
            at = audio.find(MAGIC, at + len(MAGIC))

    async def talk(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Every caller speaks for so many ``seconds``; every single delay of it, in ms, and the ``frames`` heard."""
        self._frames = 0
        for found in (self._down, self._texts, self._late):
            found.clear()
        watching = asyncio.create_task(self._watch())
        await self._feed(asked["seconds"])
        watching.cancel()
        if ended := [task for task in self._readers if task.done()]:
            raise RuntimeError(f"{len(ended)} conversations ended: {ended[0]!r}")
        return {
            "frames": self._frames // FRAME_BYTES, "down_ms": self._down, "text_ms": self._texts, "lag_ms": self._late,
        }  # fmt: skip

    async def _feed(self, seconds: float) -> None:
        due = time.monotonic()
        for _ in range(round(seconds * 1000 / FRAME_MS)):
            self._number += 1
            for slot in range(SLOTS):
                due += FRAME_MS / 1000 / SLOTS
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                for who in range(slot, self._count, SLOTS):
                    frame = quiet(who, self._number)
                    if self._ends:
                        await self._ends[who].send_audio(frame)


async def main() -> None:
    """Obey until stdin ends."""
    talker = CascadeTalker()
    await obey({"start": talker.start, "talk": talker.talk})


if __name__ == "__main__":
    uvloop.run(main())
