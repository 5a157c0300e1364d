"""What the figures of the voices rest on: frames that each voice and its floor understand alike, and the sums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from bench.voices.__main__ import REALTIME, Place
from bench.voices.floor import Floor
from bench.voices.report import Figures
from bench.voices.service import SLOTS, Line
from bench.voices.wires import wire_of
from providers.voice import Audio, Session
from tests.emulators.vendors import KEY, VENDORS


@pytest.fixture(params=REALTIME)
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Line]]:
    line = Line(wire_of(request.param))
    runner = await line.serve()
    yield request.param, line
    await runner.cleanup()


async def _say(line: Line) -> None:
    for slot in range(SLOTS):
        await line.say(slot)


async def test_a_voice_hears_and_is_heard(vendor: tuple[str, Line]) -> None:
    name, line = vendor
    made = VENDORS[name]
    provider = made.provider({"api_key": KEY, **made.settings(Place(line.port))})
    voice = provider.voice(Session())
    async with asyncio.timeout(5):
        await voice.connect()
        for _ in range(line.wire.batch):
            await voice.send_audio(b"\xff" * 160)
        heard: list[Audio] = []
        async for event in voice.events():
            if isinstance(event, Audio):
                heard.append(event)
            if len(heard) == 3:
                break
            await _say(line)
        await voice.close()
        await provider.close()
    assert 3 * 160 - 40 <= sum(len(audio.data) for audio in heard) <= 3 * 160 + 640, "20 ms each, and what leads in"
    assert line.heard >= 1


@pytest.mark.parametrize("resampled", [False, True])
async def test_the_floor_carries_the_same(vendor: tuple[str, Line], resampled: bool) -> None:
    _, line = vendor
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    if resampled and line.wire.rate is None:
        resampled = False
    async with aiohttp.ClientSession() as http, asyncio.timeout(5):
        floor = Floor(http, f"ws://127.0.0.1:{line.port}/", line.wire, heard.put_nowait, resampled=resampled)
        await floor.connect()
        reading = asyncio.create_task(floor.read())
        for _ in range(line.wire.batch):
            await floor.send_audio(b"\xff" * 160)
        await _say(line)
        size = len(await heard.get())
        await floor.close()
        await reading
    assert line.heard >= 1
    assert size == (960 if line.wire.rate and not resampled else pytest.approx(160, abs=40))


def test_figures_of_a_voice() -> None:
    spread = {"min": 0.1, "p50": 0.2, "p99": 0.4, "max": 0.5, "count": 9}
    one = Figures("grok", (2.0, 3.0, 2.4), (2.0, 2.0, 2.0), (1.5, 1.0, 1.4), 10, 5, spread, None, spread, 30, 0.0)
    assert one.ratio == pytest.approx(1.2)
    assert one.spread == (1.0, 1.5)
    assert one.resampling_ms == pytest.approx(0.6)
