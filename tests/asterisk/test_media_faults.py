"""The engine's audio survives what happens to its connection: the upgrade that stalls, the cut, the silence."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from telephony import House, hear, nothing_left, settings, ulaw_tone

from asterisk import ari, janitor
from asterisk.bridge import KIND
from asterisk.exchange import Exchange
from asterisk.facts import LineError
from asterisk.instance import Instance
from asterisk.line import AsteriskLine
from asterisk.media.leg import Closed, Drained, MarkReached, MediaEvent, MediaLeg
from asterisk.media.steady import CHANGES
from asterisk.recording import Track
from tests.media_proxy import MediaProxy

pytestmark = pytest.mark.asterisk


@pytest.fixture
async def proxy(pbx: Instance) -> AsyncIterator[MediaProxy]:
    async with MediaProxy(pbx) as proxy:
        yield proxy


@pytest.fixture
async def house(pbx: Instance, world: Instance, proxy: MediaProxy) -> AsyncIterator[House]:
    async with Exchange.open(settings(pbx, url=proxy.ari_url)) as exchange:
        yield House(pbx, world, exchange)
        await world.cli("channel request hangup all")
        await nothing_left(pbx, world)
        assert exchange.leftovers() == []


async def answered(house: House) -> AsteriskLine:
    line = await house.call()
    await line.answer()
    return line


class Ear:
    """Iterates a leg for as long as it lives, as the engine does."""

    def __init__(self, media: MediaLeg) -> None:
        self.events: list[MediaEvent] = []
        self.frames = 0
        self._media = media
        self._frame = asyncio.Event()

    async def listen(self) -> None:
        async for event in self._media.events():
            if isinstance(event, bytes):
                self.frames += 1
                self._frame.set()
            else:
                self.events.append(event)

    async def until_frame(self) -> None:
        """The next one that comes."""
        self._frame.clear()
        await self._frame.wait()

    async def until(self, event: MediaEvent) -> None:
        while event not in self.events:
            await self.until_frame()


@asynccontextmanager
async def listening(media: MediaLeg) -> AsyncIterator[Ear]:
    ear = Ear(media)
    task = asyncio.create_task(ear.listen())
    try:
        async with asyncio.timeout(20):
            yield ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool], within: float = 10.0) -> None:
    """For what nobody tells of."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def alone(house: House, technology: str) -> None:
    """Until one channel of this technology carries the engine's audio, and what was given up is gone."""
    found: list[str] = []
    async with asyncio.timeout(5):
        while found != [technology]:
            found = [name.split("/")[0] for name in await house.pbx.channels() if not name.startswith("PJSIP/")]


async def test_an_upgrade_that_stalls_is_tried_afresh(house: House, proxy: MediaProxy) -> None:
    proxy.stalls = lambda number: number == 0
    line = await answered(house)
    began = asyncio.get_running_loop().time()
    media = await line.open_media()
    assert asyncio.get_running_loop().time() - began < 2.5
    assert len(await hear(media, 100)) >= 1600
    await alone(house, "WebSocket")
    assert house.exchange.drivers.failures == {"websocket": 1}
    assert house.exchange.drivers.complaints() == []
    await line.close()


@pytest.mark.parametrize(("able", "used"), [("audiosocket rtp", "AudioSocket"), ("rtp", "UnicastRTP")])
async def test_upgrades_that_all_stall_are_the_next_drivers_turn(
    house: House, proxy: MediaProxy, able: str, used: str
) -> None:
    proxy.stalls = lambda _: True
    house.exchange.drivers.names = ("websocket", *able.split())  # type: ignore[assignment]
    line = await answered(house)
    began = asyncio.get_running_loop().time()
    media = await line.open_media()
    assert asyncio.get_running_loop().time() - began < 3.5
    await media.send(ulaw_tone(700, 1000))
    assert len(await hear(media, 800)) >= 12800
    await alone(house, used)
    await line.close()
    await house.caller_hangs_up()
    assert Track.read(await house.heard()).tone_share(700) > 0.8


async def test_where_nothing_comes_up_the_line_says_so_in_time(house: House, proxy: MediaProxy) -> None:
    proxy.stalls = lambda _: True
    house.exchange.drivers.names = ("websocket",)
    line = await answered(house)
    began = asyncio.get_running_loop().time()
    with pytest.raises(LineError, match=r"connected within 4 s \(.*: no answer in 3 s;.*; websocket: no answer\)"):
        await line.open_media()
    assert asyncio.get_running_loop().time() - began < 4.5
    proxy.stalls = lambda _: False
    assert len(await hear(await line.open_media(), 100)) >= 1600  # the line is as good as before
    await line.close()


async def test_a_driver_that_keeps_failing_rests(
    house: House, proxy: MediaProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.stalls = lambda _: True
    lines = [await answered(house) for _ in range(3)]
    await asyncio.gather(*(line.open_media() for line in lines))
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "3 media legs in a row could not be opened by websocket: calls use audiosocket or rtp for now"
    ]
    assert house.exchange.drivers.complaints() == [
        "media driver websocket rests: 3 legs in a row failed; calls use audiosocket or rtp"
    ]
    tried = proxy.seen
    last = await answered(house)
    began = asyncio.get_running_loop().time()
    await last.open_media()
    assert asyncio.get_running_loop().time() - began < 1.0
    assert proxy.seen == tried
    for line in (*lines, last):
        await line.close()


@pytest.mark.parametrize(("fault", "within"), [("cut", 1.0), ("fall_silent", 3.0)])
async def test_audio_goes_on(house: House, proxy: MediaProxy, fault: str, within: float) -> None:
    line = await answered(house)
    media = await line.open_media()
    first = media.channel_id
    loop = asyncio.get_running_loop()
    async with listening(media) as ear:
        await media.send(ulaw_tone(700, 6000))
        await media.mark("end")
        began = loop.time()
        while loop.time() < began + 1.5:
            await ear.until_frame()
        getattr(proxy, fault)()
        await media.send(ulaw_tone(900, 1000))  # handed over while the connection is broken
        await media.mark("very end")
        broken = loop.time()
        await until(lambda: media.channel_id != first)
        await ear.until_frame()
        assert loop.time() - broken < within
        await ear.until(MarkReached("very end"))
        await ear.until(Drained())
        assert [event for event in ear.events if isinstance(event, MarkReached)] == [
            MarkReached("end"),
            MarkReached("very end"),
        ]
        assert not media.is_closed
        assert await line.open_media() is media
    assert house.exchange.drivers.losses == {"websocket": 1}
    await line.close()
    await house.caller_hangs_up()
    heard = Track.read(await house.heard())
    bursts = heard.bursts(0.02)
    gaps = [after - before for (_, before), (after, _) in itertools.pairwise(bursts)]
    spoken = sum(end - start for start, end in bursts)
    assert max(gaps, default=0.0) < within
    assert 6.8 < spoken < 7.0 + within  # nothing is lost; what nobody knows to have been heard comes again
    assert heard.part(heard.seconds - 1.5).tone_share(900) > 0.6


async def test_a_flush_while_nothing_carries_the_audio(house: House, proxy: MediaProxy) -> None:
    line = await answered(house)
    media = await line.open_media()
    async with listening(media) as ear:
        await ear.until_frame()
        house.exchange.drivers.names = ("websocket",)
        proxy.stalls = lambda number: number == 1
        await media.send(ulaw_tone(700, 6000))
        await media.mark("never")
        proxy.cut()
        await until(lambda: proxy.seen == 2)
        flushed = await media.flush()
        assert 5000 < flushed <= 6000
        await media.send(ulaw_tone(900, 500))
        await media.mark("heard")
        await ear.until(MarkReached("heard"))
        assert MarkReached("never") not in ear.events
    await line.close()
    await house.caller_hangs_up()
    assert Track.read(await house.heard()).tone_share(900) > 0.6


async def test_a_connection_that_is_lost_again_and_again_is_given_up(house: House, proxy: MediaProxy) -> None:
    house.exchange.drivers.names = ("websocket",)
    line = await answered(house)
    media = await line.open_media()
    async with listening(media) as ear:
        await ear.until_frame()
        proxy.cuts_new = True
        proxy.cut()
        await until(lambda: media.is_closed)
    assert proxy.seen <= 1 + 2 * (CHANGES + 1)
    [closed] = [event for event in ear.events if isinstance(event, Closed)]
    assert closed.reason
    proxy.cuts_new = False
    assert len(await hear(await line.open_media(), 100)) >= 1600
    await line.close()


async def test_the_line_is_closed_while_its_audio_is_replaced(house: House, proxy: MediaProxy) -> None:
    house.exchange.drivers.names = ("websocket",)
    for _ in range(3):
        line = await answered(house)
        media = await line.open_media()
        seen = proxy.seen
        async with listening(media) as ear:
            await ear.until_frame()
            proxy.stalls = lambda number, seen=seen: number >= seen
            proxy.cut()
            await until(lambda seen=seen: proxy.seen > seen)  # type: ignore[misc]
            async with asyncio.timeout(5):
                await line.close()
            assert media.is_closed
        proxy.stalls = lambda _: False


async def test_a_caller_whose_phone_sends_nothing_is_no_fault(house: House, proxy: MediaProxy) -> None:
    await house.world.cli("channel originate PJSIP/+12125550100@pbx application Wait 30")
    async with asyncio.timeout(5):
        line = await anext(house.lines)
    await line.answer()
    media = await line.open_media()
    with contextlib.suppress(TimeoutError):
        async with listening(media) as ear, asyncio.timeout(4):
            await asyncio.Event().wait()
    assert ear.frames == 0
    assert proxy.seen == 1
    assert not media.is_closed
    await line.close()


async def test_asterisk_stands_still_while_audio_is_connected(
    own_pair: tuple[Instance, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "SOON", 1.0)
    pbx, world = own_pair
    async with Exchange.open(settings(pbx)) as exchange:
        house = House(pbx, world, exchange)
        lines = [await answered(house) for _ in range(4)]
        for ms, line in enumerate(lines[:3]):
            opening = asyncio.create_task(line.open_media())
            await asyncio.sleep(ms / 1000)
            os.kill(pbx.pid, signal.SIGSTOP)
            try:
                with pytest.raises(LineError, match="could not be connected"):
                    await opening
                if ms:
                    await asyncio.sleep(2)  # the requests to end it go unanswered, too
            finally:
                os.kill(pbx.pid, signal.SIGCONT)
            assert len(await hear(await line.open_media(), 100)) >= 1600  # the line is as good as before
        await asyncio.gather(*(line.close() for line in lines))
        await house.caller_hangs_up()
        await nothing_left(pbx, world)
        assert exchange.leftovers() == []


async def test_a_bridge_whose_making_was_never_answered_is_used(house: House, pbx: Instance) -> None:
    line = await answered(house)
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as late:
        await late.bridges.create_with_id(bridge_id=line._bridge.id, type=KIND, name=house.exchange.app)
        assert len(await hear(await line.open_media(), 100)) >= 1600
        await line.close()
        with pytest.raises(ari.NotFound):
            await late.bridges.get(bridge_id=line._bridge.id)
