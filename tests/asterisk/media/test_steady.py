"""A leg that outlives its connection, on legs of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from asterisk.facts import LineError
from asterisk.media.leg import Closed, Drained, Format, MarkReached, MediaEvent, MediaLeg
from asterisk.media.steady import CHANGES, SteadyLeg


class Wire:
    """A leg that keeps what it is given; the test says what comes."""

    format: Format = "ulaw"

    def __init__(self, name: str) -> None:
        self.channel_id = name
        self.given: list[bytes | str] = []
        self.flushes = 0
        self.is_closed = False
        self._coming: asyncio.Queue[MediaEvent] = asyncio.Queue()

    async def send(self, audio: bytes) -> None:
        self.given.append(audio)

    async def mark(self, name: str) -> None:
        self.given.append(name)

    async def flush(self) -> int:
        self.flushes += 1
        return 17

    async def events(self) -> AsyncGenerator[MediaEvent, None]:
        while True:
            event = await self._coming.get()
            yield event
            if isinstance(event, Closed):
                return

    async def close(self) -> None:
        self.comes(Closed("closed by the engine"))

    def comes(self, event: MediaEvent) -> None:
        self.is_closed = self.is_closed or isinstance(event, Closed)
        self._coming.put_nowait(event)


class Stage:
    """A steady leg whose every loss is answered by the next wire, once `may_go_on` is set."""

    def __init__(self) -> None:
        self.wires = [Wire("w0")]
        self.may_go_on = asyncio.Event()
        self.asked = asyncio.Event()
        self.leg = SteadyLeg(self.wires[0], self._replace)
        self.heard: list[MediaEvent] = []
        self.listening = asyncio.create_task(self._listen())

    async def _replace(self, closed: Closed) -> MediaLeg:
        self.asked.set()
        await self.may_go_on.wait()
        self.wires.append(Wire(f"w{len(self.wires)}"))
        return self.wires[-1]

    async def _listen(self) -> None:
        async for event in self.leg.events():
            self.heard.append(event)

    async def lost(self) -> None:
        self.asked.clear()
        self.wires[-1].comes(Closed("broke"))
        await self.asked.wait()

    async def settled(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def stage() -> Stage:
    here = Stage()
    await here.settled()
    return here


async def test_what_is_handed_over_meanwhile_follows_in_order(stage: Stage) -> None:
    await stage.leg.send(b"a" * 1600)
    await stage.leg.mark("a")
    await stage.lost()
    assert not stage.leg.is_closed
    await stage.leg.send(b"b" * 800)
    await stage.leg.mark("b")
    stage.may_go_on.set()
    await stage.settled()
    first, *rest = stage.wires[1].given
    assert isinstance(first, bytes)
    assert first.strip(b"a") == b""
    assert rest == ["a", b"b" * 800, "b"]
    assert stage.leg.channel_id == "w1"
    stage.wires[1].comes(b"caller")
    stage.wires[1].comes(MarkReached("a"))
    await stage.settled()
    assert stage.heard == [b"caller", MarkReached("a")]
    await stage.leg.close()
    await stage.listening


async def test_what_was_played_is_told_although_the_leg_could_not(stage: Stage) -> None:
    await stage.leg.send(b"a" * 8)
    await stage.leg.mark("a")
    await asyncio.sleep(0.01)
    await stage.lost()
    stage.may_go_on.set()
    await stage.settled()
    assert stage.heard == [MarkReached("a"), Drained()]
    assert stage.wires[1].given == []
    await stage.leg.close()


async def test_a_flush_meanwhile_takes_everything_back(stage: Stage) -> None:
    await stage.leg.send(b"a" * 80_000)
    await stage.leg.mark("a")
    await stage.lost()
    assert 9_900 < await stage.leg.flush() <= 10_000
    await stage.leg.send(b"b" * 160)
    stage.may_go_on.set()
    await stage.settled()
    assert stage.wires[1].given == [b"b" * 160]
    assert await stage.leg.flush() == 17  # the leg that lives knows better
    await stage.leg.close()


async def test_closing_gives_the_next_one_up(stage: Stage) -> None:
    await stage.lost()
    await stage.leg.close()
    await stage.listening
    assert stage.heard == [Closed("broke; closed by the engine")]
    assert stage.leg.is_closed
    await stage.leg.send(b"a")
    assert stage.wires[0].given == []


async def test_whoever_stops_listening_gives_the_next_one_up(stage: Stage) -> None:
    await stage.lost()
    stage.listening.cancel()
    await asyncio.gather(stage.listening, return_exceptions=True)
    assert stage.leg.is_closed


async def test_it_is_given_up_when_it_is_lost_too_often(stage: Stage) -> None:
    stage.may_go_on.set()
    for _ in range(CHANGES):
        await stage.lost()
        await stage.settled()
    stage.wires[-1].comes(Closed("broke"))
    await stage.listening
    assert len(stage.wires) == CHANGES + 1
    assert stage.heard == [Closed(f"broke; it was lost {CHANGES + 1} times within 15 s")]


async def test_where_there_is_no_next_one_it_ends() -> None:
    async def none(closed: Closed) -> MediaLeg:
        raise LineError("no audio")

    wire = Wire("w")
    leg = SteadyLeg(wire, none)
    wire.comes(Closed("broke", 1.5))
    assert [event async for event in leg.events()] == [Closed("broke; no audio", 1.5)]
    assert leg.is_closed
