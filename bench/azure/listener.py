"""A process with so many recognisers that are fed in real time: through the SDK, by the bare client, or by nobody."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import uvloop
from aiohttp import ClientSession

from bench.azure.direct import DirectRecogniser
from bench.child import obey, resident_bytes
from bench.figures import spread
from providers import azure_speech
from providers.azure_listening import AzureRecogniser
from providers.voice import ULAW, UserText
from tests.emulators.openai_realtime.sound import silence, tone

FRAME_MS = 20
SPEECH = tone(1500) + silence(1000)  # what every caller says, again and again


class Listener:
    """The process."""

    def __init__(self) -> None:
        self._ears: list[AzureRecogniser | DirectRecogniser] = []
        self._readers: list[asyncio.Task[None]] = []
        self._http: ClientSession | None = None
        self._provider: azure_speech.AzureSpeech | None = None
        self._texts = 0
        self._late: list[float] = []

    async def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Make ``count`` recognisers of the ``kind`` and connect them."""
        before = resident_bytes(os.getpid()), _threads()
        if asked["kind"] == "sdk":
            self._provider = azure_speech.provider({"api_key": "bench", "endpoint": asked["url"]})
            self._ears = [self._provider.recogniser(format=ULAW) for _ in range(asked["count"])]
        elif asked["kind"] == "direct":
            self._http = ClientSession()
            self._ears = [DirectRecogniser(self._http, asked["url"]) for _ in range(asked["count"])]
        self._count = asked["count"]
        await asyncio.gather(*(ear.connect() for ear in self._ears))
        self._readers = [asyncio.create_task(self._read(ear)) for ear in self._ears]
        return {"memory": before[0], "threads": before[1]}

    async def _read(self, ear: AzureRecogniser | DirectRecogniser) -> None:
        async for event in ear.events():
            self._texts += isinstance(event, UserText) and event.final

    async def talk(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Every caller talks for so many ``seconds``, each beginning somewhere else."""
        self._texts = 0
        self._late.clear()
        lag = asyncio.create_task(self._watch())
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._feed(number, asked["seconds"]))
        lag.cancel()
        await asyncio.wait([lag])
        return {
            "texts": self._texts, "lag_ms": spread(self._late), "threads": _threads(),
            "memory": resident_bytes(os.getpid()),
        }  # fmt: skip

    async def _feed(self, number: int, seconds: float) -> None:
        size = FRAME_MS * ULAW.bytes_per_ms
        at, due = number * 37 * size % len(SPEECH), time.monotonic() + number * 0.0004 % 0.02
        for _ in range(round(seconds * 1000 / FRAME_MS)):
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            frame = SPEECH[at : at + size]
            at = (at + size) % len(SPEECH)
            if self._ears:
                await self._ears[number].send_audio(frame)

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self._late.append((time.monotonic() - due) * 1000)

    async def finish(self, _: dict[str, Any]) -> dict[str, Any]:
        """Close everything; the threads that are left."""
        await asyncio.gather(*(ear.close() for ear in self._ears))
        for reader in self._readers:
            reader.cancel()
        if self._provider is not None:
            await self._provider.close()
        if self._http is not None:
            await self._http.close()
        return {"threads": _threads()}


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


async def main() -> None:
    """Obey until stdin ends."""
    listener = Listener()
    await obey({"start": listener.start, "talk": listener.talk, "finish": listener.finish})


if __name__ == "__main__":
    uvloop.run(main())
