"""Callers whom a dead engine left, on a real Asterisk: who wants them gets them as lines."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from telephony import House, carrier, nothing_left, open_house, settings, ulaw_tone
from test_exchange import dead_tag, gone

from asterisk import ari
from asterisk.ari.resources import Bridges
from asterisk.exchange import Exchange
from asterisk.instance import Instance
from asterisk.janitor import LeftOver
from asterisk.line import AsteriskLine

pytestmark = pytest.mark.asterisk

Share = Callable[[Path | bytes, float], float]
NUMBER = "+12125550100"


@asynccontextmanager
async def dead_engine(pbx: Instance) -> AsyncIterator[tuple[ari.Client, "asyncio.Queue[ari.Channel]"]]:
    """What an engine did before it died, which is when the block ends."""
    arrived: asyncio.Queue[ari.Channel] = asyncio.Queue()
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password, pbx.application) as dead:
        dead.on_channel_event("StasisStart", lambda channel, _: arrived.put_nowait(channel))
        yield dead, arrived


async def called(world: Instance, arrived: "asyncio.Queue[ari.Channel]") -> ari.Channel:
    """Somebody calls, and is answered."""
    await world.cli(f"channel originate PJSIP/{NUMBER}@pbx extension +12125560440@world")
    caller = await arrived.get()
    await caller.answer()
    return caller


async def connected(
    dead: ari.Client, caller: ari.Channel, arrived: "asyncio.Queue[ari.Channel]"
) -> tuple[ari.Channel, ari.Bridge]:
    """The caller is handed to a person."""
    tag = dead_tag()
    leg = await dead.channels.create(
        endpoint="PJSIP/+12125550101@carrier", app=dead.app, channel_id=ari.new_id(tag), originator=caller.id
    )
    await arrived.get()
    await leg.dial(timeout=5)
    bridge = await dead.bridges.create(bridge_id=ari.new_id(tag), type="mixing", name=dead.app)
    await bridge.add_channel(channel=[caller.id, leg.id])
    return leg, bridge


async def offered(house: House) -> AsteriskLine:
    async with asyncio.timeout(5):
        return await anext(house.lines)


@asynccontextmanager
async def next_engine(pbx: Instance, world: Instance) -> AsyncIterator[House]:
    async with open_house(pbx, world, takes_left_over=True) as house:
        yield house


async def test_a_caller_alone_comes_as_a_line(pbx: Instance, world: Instance, tone_share: Share) -> None:
    older = set(world.monitor.glob("*-heard.wav"))
    async with dead_engine(pbx) as (dead, arrived):
        caller = await called(world, arrived)
        bridge = await dead.bridges.create(bridge_id=ari.new_id(dead_tag()), type="mixing", name=dead.app)
        await bridge.add_channel(channel=caller.id)
    async with next_engine(pbx, world) as house:
        line = await offered(house)
        facts = line.facts
        assert (facts.did, facts.channel, facts.left_over) == (NUMBER, caller.id, True)
        assert (caller.caller.number, facts.caller) == ("anonymous", "")
        assert facts.trunk
        assert line.is_answered
        assert line.peer is None
        media = await line.open_media()
        await media.send(ulaw_tone(1000, 800))
        await asyncio.sleep(1)  # the time that the tone takes
        await line.close()
        house._old = older  # what the caller hears is recorded since before there was this engine
        assert tone_share(await house.heard(), 1000) > 0.5


async def test_a_caller_who_was_not_answered_comes_too(pbx: Instance, world: Instance) -> None:
    async with AsyncExitStack() as outside:
        async with dead_engine(pbx) as (_, arrived):
            ended = await outside.enter_async_context(carrier(world, {"PJSIP_HEADER(add,X-Plan)": "gold"}))
            async with asyncio.timeout(5):
                caller = await arrived.get()
            await caller.ring()
        async with next_engine(pbx, world) as house:
            line = await offered(house)
            assert line.facts.channel == caller.id
            assert line.facts.headers["X-Plan"] == "gold"
            assert not line.is_answered
            await line.hangup(17)
            await line.close()
            async with asyncio.timeout(5):
                await ended


async def test_a_caller_who_is_given_back_goes_to_the_fallback(pbx: Instance, world: Instance) -> None:
    async with dead_engine(pbx) as (_, arrived):
        await called(world, arrived)
    async with next_engine(pbx, world) as house:
        line = await offered(house)
        assert await line.give_back()
        await line.close()
        assert "Congestion" in await pbx.cli("core show channels concise")


async def test_who_has_left_meanwhile_is_not_offered(pbx: Instance, world: Instance) -> None:
    """As a caller whose line was given back in the moment in which the janitor looked."""
    async with dead_engine(pbx) as (_, arrived):
        caller = await called(world, arrived)
    async with (
        ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as looker,
        Exchange.open(settings(pbx, takes_left_over=True)) as exchange,
    ):
        await looker.channels.continue_in_dialplan(channel_id=caller.id)
        await exchange._janitor.sweep()  # behind the one that is under way
        assert exchange.live == 0
        assert (await looker.channels.get(channel_id=caller.id)).dialplan.app_name == "Congestion"
    await world.cli("channel request hangup all")
    await nothing_left(pbx, world)


async def test_whom_nobody_took_goes_to_the_fallback_at_the_end(pbx: Instance, world: Instance) -> None:
    async with dead_engine(pbx) as (_, arrived):
        await called(world, arrived)
    async with Exchange.open(settings(pbx, takes_left_over=True)) as exchange:
        async with asyncio.timeout(5):
            while not exchange.live:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert "Congestion" in await pbx.cli("core show channels concise")
    await world.cli("channel request hangup all")
    await nothing_left(pbx, world)


async def test_an_engine_that_lost_its_application_keeps_its_calls_until_it_is_dead(
    pbx: Instance, world: Instance
) -> None:
    """Nothing of it is ended or offered while it lives: neither a caller alone nor two who talk, nor what it made."""
    lives, asked = True, asyncio.Event()

    async def others() -> bool:
        asked.set()
        return lives

    async with dead_engine(pbx) as (dead, arrived):
        alone = await called(world, arrived)
        caller = await called(world, arrived)
        leg, bridge = await connected(dead, caller, arrived)
        elsewhere = "hf-00000000-1-abcdef"
        media = await dead.bridges.create(bridge_id=ari.new_id(elsewhere), type="mixing", name=dead.app)
        await media.add_channel(channel=alone.id)
        async with open_house(pbx, world, takes_left_over=True, others=others) as house:
            await asked.wait()
            await house.exchange._janitor.sweep()  # behind the one that is under way
            assert house.exchange.live == 0
            assert set((await dead.bridges.get(bridge_id=bridge.id)).channels) == {caller.id, leg.id}
            assert (await dead.bridges.get(bridge_id=media.id)).channels == [alone.id]
            lives = False
            lines = [await offered(house), await offered(house)]
            assert {line.facts.channel: line.peer is not None for line in lines} == {alone.id: False, caller.id: True}
            await gone(dead, media.id)
            for line in lines:
                await line.close()


async def test_an_engine_that_lost_its_application_leaves_its_heir_alone(pbx: Instance, world: Instance) -> None:
    async with open_house(pbx, world) as house:
        arrived: asyncio.Queue[ari.Channel] = asyncio.Queue()
        async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password, pbx.application) as heir:
            heir.on_channel_event("StasisStart", lambda channel, _: arrived.put_nowait(channel))
            async with asyncio.timeout(5):
                assert [line async for line in house.lines] == []
            caller = await called(world, arrived)
            bridge = await heir.bridges.create(
                bridge_id=ari.new_id("hf-00000000-1-abcdef"), type="mixing", name=heir.app
            )
            await bridge.add_channel(channel=caller.id)
            await house.exchange._janitor.sweep()
            assert list((await heir.bridges.get(bridge_id=bridge.id)).channels) == [caller.id]
            await heir.bridges.destroy(bridge_id=bridge.id)


@pytest.mark.parametrize("who", ["person", "caller"])
async def test_two_who_talk_come_as_one_line_and_end_together(pbx: Instance, world: Instance, who: str) -> None:
    async with dead_engine(pbx) as (dead, arrived):
        caller = await called(world, arrived)
        leg, bridge = await connected(dead, caller, arrived)
    async with next_engine(pbx, world) as house:
        line = await offered(house)
        assert line.peer is not None
        assert line.peer.channel == leg.id
        assert (await line.peer.answered()).status == "answered"
        async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as looker:
            assert set((await looker.bridges.get(bridge_id=bridge.id)).channels) == {caller.id, leg.id}
            await looker.channels.hangup(channel_id=leg.id if who == "person" else caller.id)
        async with asyncio.timeout(5):
            await (line.peer.ended if who == "person" else line.ended)
        await line.close()


@pytest.mark.parametrize("bridge_is", ["gone", "there"])
async def test_a_bridge_that_could_not_be_looked_up_has_the_caller_in_it(
    pbx: Instance, world: Instance, monkeypatch: pytest.MonkeyPatch, bridge_is: str
) -> None:
    """Two talked in it, and one hung up. It is made anew under its id, or is there after all."""
    answer = Bridges.get
    lost: list[str] = []

    async def loses_one(self: Bridges, *, bridge_id: str) -> ari.Bridge:
        if not lost:
            lost.append(bridge_id)
            if bridge_is == "gone":
                await self.destroy(bridge_id=bridge_id)
            raise ari.Timeout(0, "no answer", "GET", f"/bridges/{bridge_id}")
        return await answer(self, bridge_id=bridge_id)

    async with dead_engine(pbx) as (dead, arrived):
        caller = await called(world, arrived)
        leg, bridge = await connected(dead, caller, arrived)
    monkeypatch.setattr(Bridges, "get", loses_one)
    async with (
        next_engine(pbx, world) as house,
        ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as looker,
    ):
        line = await offered(house)
        await looker.channels.hangup(channel_id=leg.id)
        assert line.peer is not None
        async with asyncio.timeout(5):
            await line.peer.ended
        await line.open_media()
        assert lost == [bridge.id]
        members = (await looker.bridges.get(bridge_id=bridge.id)).channels
        assert caller.id in members
        assert len(members) == 2, "the caller, and the engine's audio"
        await line.close()


async def test_two_who_are_let_be_talk_on_and_who_is_left_comes_at_once(pbx: Instance, world: Instance) -> None:
    async with dead_engine(pbx) as (dead, arrived):
        caller = await called(world, arrived)
        leg, bridge = await connected(dead, caller, arrived)
    async with (
        next_engine(pbx, world) as house,
        ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as looker,
    ):
        line = await offered(house)
        line.let_be()
        await line.close()
        assert house.exchange.leftovers() == []
        assert set((await looker.bridges.get(bridge_id=bridge.id)).channels) == {caller.id, leg.id}
        await looker.channels.hangup(channel_id=leg.id)
        alone = await offered(house)
        assert (alone.facts.channel, alone.peer) == (caller.id, None)
        await gone(looker, bridge.id)
        await alone.close()


async def test_two_who_talk_outlive_an_engine_that_takes_no_line(pbx: Instance, world: Instance) -> None:
    async with dead_engine(pbx) as (dead, arrived):
        caller = await called(world, arrived)
        leg, bridge = await connected(dead, caller, arrived)
    async with Exchange.open(settings(pbx, takes_left_over=True)) as exchange:
        async with asyncio.timeout(5):
            while not exchange.live:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as looker:
        assert set((await looker.bridges.get(bridge_id=bridge.id)).channels) == {caller.id, leg.id}
        await looker.channels.hangup(channel_id=leg.id)
        await looker.channels.hangup(channel_id=caller.id)
        await looker.bridges.destroy(bridge_id=bridge.id)
    await nothing_left(pbx, world)


async def test_who_hung_up_before_they_were_followed_is_gone(
    pbx: Instance, world: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dead_engine(pbx) as (_, arrived):
        caller = await called(world, arrived)
    offers = Exchange._on_left_over
    late: list[object] = []

    def after_the_hangup(self: Exchange, left: LeftOver) -> None:
        async def hang_up() -> None:
            await pbx.cli(f"channel request hangup {caller.name}")
            await pbx.idle()
            offers(self, left)

        late.append(asyncio.create_task(hang_up()))

    monkeypatch.setattr(Exchange, "_on_left_over", after_the_hangup)
    async with next_engine(pbx, world) as house:
        line = await offered(house)
        assert line.ended.done()
        await line.close()
