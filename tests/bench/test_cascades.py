"""What the figures of the cascades rest on: stamps that nobody hears, conversations that go round, and the sums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bench.stamp import FRAME_BYTES, quiet, read, read_quiet
from bench.voices.__main__ import CASCADES
from bench.voices.cascades import line as lines
from bench.voices.cascades.floors import FLOORS, GoogleFloor
from bench.voices.cascades.line import CascadeLine, spoken
from bench.voices.cascades.measure import CascadeFigures, Side, Windows
from bench.voices.cascades.talker import CascadeTalker
from bench.voices.service import CASCADES as LINES
from providers.energy import EnergyDetector
from providers.voice import Audio, Session, Turns, UserText
from tests.emulators.vendors import KEY, VENDORS


def test_a_quiet_stamp_comes_back_and_is_silence() -> None:
    frame = quiet(who=7, number=42)
    assert len(frame) == FRAME_BYTES
    found = read_quiet(frame)
    assert found is not None
    assert found[1:] == (7, 42)
    assert read_quiet(b"\xff" * FRAME_BYTES) is None
    assert read_quiet(b"\x80" * FRAME_BYTES) is None
    assert read_quiet(frame[1:]) is None
    assert EnergyDetector(min_speech_ms=20).feed(frame * 20) == []


@pytest.fixture(params=CASCADES)
async def vendor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    for name, quicker in {"TEXT_EVERY": 0.05, "TEXTS": 3, "PIECES": 2, "TOKEN_EVERY": 0.001}.items():
        monkeypatch.setattr(lines, name, quicker)
    monkeypatch.setattr(GoogleFloor, "channels", None)  # they belong to one loop
    line: CascadeLine = LINES[request.param]()
    await line.serve()
    line.speaking = True
    yield request.param, line
    await line.close()


@contextmanager
def fed(end: Any) -> Iterator[None]:
    """A caller of whom stamped frames come while the conversation goes on."""

    async def feed() -> None:
        for number in range(1000):
            await end.send_audio(quiet(1, number))
            await asyncio.sleep(0.005)

    task = asyncio.create_task(feed())
    try:
        yield
    finally:
        task.cancel()


async def test_a_conversation_goes_round_and_every_delay_is_taken(vendor: tuple[str, CascadeLine]) -> None:
    name, line = vendor
    provider: Any = VENDORS[name].provider({"api_key": KEY, **line.settings})
    voice = provider.voice(Session(turns=Turns(interruptible=False)))
    talker = CascadeTalker()
    texts: list[UserText] = []
    sound = b""
    async with asyncio.timeout(20):
        await voice.connect()
        with fed(voice):
            async with aclosing(voice.events()) as events:
                async for event in events:
                    if isinstance(event, UserText):
                        texts.append(event)
                    elif isinstance(event, Audio):
                        sound += event.data
                        talker._heard(event.data)
                    if len(sound) >= 2 * 2 * 800 and line.ages:  # both sentences
                        break
        await voice.close()
        await provider.close()
    assert {text.final for text in texts} == {True, False}
    assert all(0 < (spoken(text.text) or 0) < 20_000 for text in texts)
    assert len(talker._down) >= 4, "a delay for each piece"
    assert read(sound) is not None
    assert line.sent >= 4
    assert all(0 < age < 20_000 for age in line.ages)


async def test_the_floor_of_a_cascade_carries_the_same(vendor: tuple[str, CascadeLine]) -> None:
    name, line = vendor
    texts: list[str] = []
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with aiohttp.ClientSession() as http, asyncio.timeout(20):
        floor = FLOORS[name](http, line.settings, texts.append, heard.put_nowait)
        await floor.connect()
        with fed(floor):
            reading = asyncio.create_task(floor.read())
            size = 0
            while size < 2 * 2 * 800 or not line.ages:
                size += len(await heard.get())
        reading.cancel()
        await asyncio.wait([reading])
        await floor.close()
    assert all(spoken(text) is not None for text in texts)
    assert line.heard >= 1


async def test_nobody_is_spoken_to_out_of_turn(vendor: tuple[str, CascadeLine]) -> None:
    _, line = vendor
    line.speaking = False
    assert len([sound async for sound in line.sounds()]) == 1, "what was begun ends"
    line.note(quiet(1, 1))
    assert (line.heard, line.sent, line.ages) == (1, 0, [])


def test_figures_of_a_cascade() -> None:
    windows = Windows()
    for cpu in (150.0, 250.0, 160.0):
        told = {"text_ms": [1.0], "down_ms": [2.0], "lag_ms": [0.1], "frames": 95}
        windows.add(cpu, told, {"ages_ms": [3.0, 4.0], "sent": 20})
    side = windows.side(clock_ms=50.0, sessions=10, memory_kb=20.0)
    assert side.cpu_ms == [10.0, 20.0, 11.0]
    assert side.frames_missed == pytest.approx(0.05)
    assert side.up_ms is not None
    assert side.up_ms["count"] == 6
    one = CascadeFigures("google", side, side, side.lag_ms, 40.0)
    assert not one.too_slow
    late: Side = replace(side, text_ms={"min": 1.0, "p50": 2.0, "p99": 20.1, "max": 30.0, "count": 9})
    assert replace(one, ours=late).too_slow
    assert replace(one, ours=replace(side, lag_ms=None)).too_slow, "what was not measured is not good"
