"""The exchange on a real Asterisk: drivers, many calls, and what dead engines leave behind."""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from telephony import House, Options, hear, nothing_left, open_house, settings, ulaw_tone

from asterisk import ari, janitor
from asterisk.exchange import Exchange
from asterisk.instance import Instance
from asterisk.line import AsteriskLine
from asterisk.media.choose import Driver

pytestmark = pytest.mark.asterisk

Share = Callable[[Path | bytes, float], float]


def dead_tag() -> str:
    """The tag of an engine of this place whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"hf-{janitor.new_tag().split('-')[1]}-{process.pid}-{secrets.token_hex(3)}"


async def gone(client: ari.Client, *ids: str) -> None:
    """Until none of these channels and bridges exists."""
    async with asyncio.timeout(5):
        while True:
            living = [each.id for each in (*await client.channels.list(), *await client.bridges.list())]
            if not set(ids) & set(living):
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("driver", ["websocket", "audiosocket", "rtp"])
async def test_every_driver_carries_a_call(pbx: Instance, world: Instance, driver: Driver, tone_share: Share) -> None:
    async with open_house(pbx, world, media=driver) as house:
        assert house.exchange.media == driver
        line = await house.call()
        await line.answer()
        media = await line.open_media()
        assert media.format == "ulaw"
        await media.send(ulaw_tone(1000, 800))
        assert tone_share(await hear(media, 700), 440) > 0.9
        leg = await line.dial("tel:+12125550102", Options())
        await leg.answered()
        await line.connect(leg)
        await line.close()
        assert tone_share(await house.heard(), 1000) > 0.8


async def test_the_best_driver_is_found(house: House) -> None:
    assert house.exchange.media == "websocket"
    assert house.exchange.connected.is_set()
    assert house.exchange.failure is None
    line = await house.call()
    await line.open_media()
    assert [name for name in await house.pbx.channels() if name.startswith("WebSocket/")]
    await line.close()


async def test_an_engine_without_a_name_gets_one_of_its_own(pbx: Instance) -> None:
    async with Exchange.open(settings(pbx, app=None)) as one, Exchange.open(settings(pbx, app=None)) as other:
        assert one.app != other.app
        assert one.app.startswith("hookflash-")
        assert one.connected.is_set()
        assert other.connected.is_set()


async def test_many_calls_at_once(house: House) -> None:
    async def serve(number: int, line: AsteriskLine) -> None:
        await line.answer()
        media = await line.open_media()
        await media.send(ulaw_tone(1000, 100))
        assert len(await hear(media, 200)) >= 3200
        leg = await line.dial("tel:+12125550101" if number % 2 else "tel:+12125550103", Options())
        if (await leg.answered()).status == "answered":
            await line.connect(leg)
        await line.close()

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(serve(number, await house.call()))


async def test_the_leftovers_of_a_dead_engine_are_removed(pbx: Instance, world: Instance) -> None:
    tag = dead_tag()
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password, ari.app_name("dead")) as dead:
        bridge = await dead.bridges.create(bridge_id=ari.new_id(tag), type="mixing")
        leg = await dead.channels.create(
            endpoint="PJSIP/+12125550104@carrier", app=dead.app, channel_id=ari.new_id(tag), formats="ulaw"
        )
        alive = await dead.bridges.create(bridge_id=ari.new_id(janitor.new_tag()), type="mixing")
        theirs = await dead.bridges.create(bridge_id="somebody-elses", type="mixing")
        async with Exchange.open(settings(pbx)):
            await gone(dead, bridge.id, leg.id)
            living = {each.id for each in await dead.bridges.list()}
            assert {alive.id, theirs.id} <= living
        await alive.destroy()
        await theirs.destroy()
    await nothing_left(pbx, world)


async def test_a_caller_whom_a_dead_engine_left_alone_goes_to_the_fallback(pbx: Instance, world: Instance) -> None:
    arrived: asyncio.Queue[ari.Channel] = asyncio.Queue()
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password, pbx.application) as dead:
        dead.on_channel_event("StasisStart", lambda channel, _: arrived.put_nowait(channel))
        await world.cli("channel originate PJSIP/+12125550100@pbx extension +12125560440@world")
        caller = await arrived.get()
        await caller.answer()
        bridge = await dead.bridges.create(bridge_id=ari.new_id(dead_tag()), type="mixing")
        await bridge.add_channel(channel=caller.id)
    async with Exchange.open(settings(pbx)) as exchange:
        async with asyncio.timeout(5):
            while "Congestion" not in await pbx.cli("core show channels concise"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert exchange.live == 0
    await world.cli("channel request hangup all")
    await nothing_left(pbx, world)


async def test_two_people_talk_on_after_their_engine_died(pbx: Instance, world: Instance) -> None:
    tag = dead_tag()
    arrived: asyncio.Queue[ari.Channel] = asyncio.Queue()
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password, pbx.application) as dead:
        dead.on_channel_event("StasisStart", lambda channel, _: arrived.put_nowait(channel))
        await world.cli("channel originate PJSIP/+12125550100@pbx extension +12125560440@world")
        caller = await arrived.get()
        await caller.answer()
        leg = await dead.channels.create(
            endpoint="PJSIP/+12125550101@carrier", app=dead.app, channel_id=ari.new_id(tag), originator=caller.id
        )
        await arrived.get()
        await leg.dial(timeout=5)
        bridge = await dead.bridges.create(bridge_id=ari.new_id(tag), type="mixing")
        await bridge.add_channel(channel=[caller.id, leg.id])
    async with (
        Exchange.open(settings(pbx)) as exchange,
        ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as looker,
    ):
        sweeper = janitor.Janitor(exchange._switch)
        await sweeper.sweep()
        assert set((await looker.bridges.get(bridge_id=bridge.id)).channels) == {caller.id, leg.id}
        await looker.channels.hangup(channel_id=leg.id)
        await gone(looker, leg.id)
        await sweeper.sweep()
        await gone(looker, bridge.id)
    await world.cli("channel request hangup all")
    await nothing_left(pbx, world)
