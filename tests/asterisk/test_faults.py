"""What breaks: callers who hang up anywhere, work that is cancelled anywhere, an Asterisk that dies or is not there."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from telephony import House, Options, carrier, hear, nothing_left, open_house, settings

from asterisk import ari
from asterisk import exchange as exchanges
from asterisk.exchange import Exchange, ExchangeError
from asterisk.facts import LineError, LineGone
from asterisk.instance import Instance
from asterisk.line import AsteriskLine

OVER_WITHIN = 3.0  # seconds
WITHOUT_MEDIA = 10.0  # where Asterisk has stopped serving media sockets, which have to be given up first

pytestmark = pytest.mark.asterisk


def within(house: House) -> float:
    """Seconds for a call to be over on both sides."""
    return WITHOUT_MEDIA if house.exchange.drivers.failures.total() else OVER_WITHIN


Work = Callable[[AsteriskLine], Awaitable[object]]


async def ring_a_target(line: AsteriskLine) -> None:
    leg = await line.dial("tel:+12125550104", Options())
    await leg.answered()


async def talk(line: AsteriskLine) -> None:
    leg = await line.dial("tel:+12125550110", Options())
    await leg.answered()
    await line.connect(leg)
    await asyncio.shield(leg.ended)


async def listen(line: AsteriskLine) -> None:
    await hear(await line.open_media(), 60_000)


async def whisper(line: AsteriskLine) -> None:
    leg = await line.dial("tel:+12125550110", Options())
    await leg.answered()
    await hear(await leg.open_media(), 60_000)


async def wait_for_a_key(line: AsteriskLine) -> None:
    with pytest.raises(LineGone):
        await line.digit()


STAGES: dict[str, Work] = {
    "before the answer": AsteriskLine.ring,
    "while keys are awaited": wait_for_a_key,
    "while the engine speaks": listen,
    "while a target rings": ring_a_target,
    "while talking to a target": talk,
    "while a target is asked": whisper,
}


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("stage", STAGES)
async def test_the_caller_hangs_up(house: House, stage: str, answered: bool) -> None:
    line = await house.call()
    if answered:
        await line.answer()
    doing = asyncio.ensure_future(STAGES[stage](line))
    await asyncio.sleep(0.3)  # well into the stage
    await house.caller_hangs_up()
    async with asyncio.timeout(within(house)):
        ending = await asyncio.shield(line.ended)
    assert (ending.cause, ending.sip_code) == (16, None) if answered else (127, 487)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    async with asyncio.timeout(within(house)):
        await line.close()


@pytest.mark.parametrize("after_ms", [0, 1, 2, 3, 4, 6, 8])
async def test_the_caller_hangs_up_while_audio_is_connected(house: House, after_ms: int) -> None:
    line = await house.call()
    await line.answer()
    hanging_up = asyncio.create_task(house.caller_hangs_up())
    await asyncio.sleep(after_ms / 1000)
    with contextlib.suppress(LineGone):
        await line.open_media()
    await hanging_up
    async with asyncio.timeout(within(house)):
        await asyncio.shield(line.ended)
        await line.close()


@pytest.mark.parametrize("after_ms", [0, 1, 2, 3, 4, 6, 8])
async def test_the_caller_hangs_up_while_a_target_is_dialled_and_connected(house: House, after_ms: int) -> None:
    line = await house.call()
    await line.answer()
    await line.open_media()
    leg = await line.dial("tel:+12125550110", Options())
    hanging_up = asyncio.create_task(house.caller_hangs_up())
    await asyncio.sleep(after_ms / 1000)
    with contextlib.suppress(LineError):
        other = await line.dial("teams:+12125550104", Options())
        await leg.answered()
        await line.connect(leg)
        await other.hangup()
    await hanging_up
    async with asyncio.timeout(within(house)):
        await asyncio.shield(line.ended)
        await line.close()


@pytest.mark.parametrize("work", ["open_media", "dial", "connect"])
async def test_work_is_cancelled_at_any_moment(house: House, work: str) -> None:
    line = await house.call()
    await line.answer()
    for half_ms in range(20):
        if work == "connect":
            leg = await line.dial("tel:+12125550110", Options())
            await leg.answered()
            doing: asyncio.Task[object] = asyncio.create_task(line.connect(leg))
        elif work == "dial":
            doing = asyncio.create_task(line.dial("tel:+12125550104", Options()))
        else:
            doing = asyncio.create_task(line.open_media())
        await asyncio.sleep(half_ms / 2000)
        doing.cancel()
        done = (await asyncio.gather(doing, return_exceptions=True))[0]
        if work == "open_media" and not isinstance(done, BaseException):
            await done.close()  # type: ignore[attr-defined]
        elif work == "dial" and not isinstance(done, BaseException):
            await done.hangup()  # type: ignore[attr-defined]
        elif work == "connect":
            await leg.hangup()
    media = await line.open_media()  # the line is as good as before
    assert len(await hear(media, 100)) >= 1600
    assert house.pbx.running
    await line.close()


async def test_a_line_is_closed_while_audio_is_connected(house: House) -> None:
    for ms in range(8):
        line = await house.call()
        opening = asyncio.create_task(line.open_media())
        await asyncio.sleep(ms / 1000)
        await line.close()
        await asyncio.gather(opening, return_exceptions=True)
        assert line.ended.done()


async def test_a_call_that_nobody_takes_goes_to_the_fallback(pbx: Instance, world: Instance) -> None:
    async with Exchange.open(settings(pbx)) as exchange, AsyncExitStack() as stack:
        over = await stack.enter_async_context(carrier(world))
        async with asyncio.timeout(OVER_WITHIN):
            while not exchange.live:  # noqa: ASYNC110 - nobody is told of a line that waits
                await asyncio.sleep(0.01)
        callers = stack.pop_all()
    async with callers, asyncio.timeout(OVER_WITHIN):
        ended = await over
    assert exchange.live == 0
    assert ended.tech_cause == 503  # type: ignore[attr-defined]  # the fallback's congestion
    await nothing_left(pbx, world)


@pytest.mark.parametrize("again", [True, False])
async def test_asterisk_dies_in_mid_call(
    own_pair: tuple[Instance, Instance], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pbx, world = own_pair
    monkeypatch.setattr(exchanges, "HOPELESS_AFTER", 20 if again else 1)
    async with Exchange.open(settings(pbx)) as exchange:
        house = House(pbx, world, exchange)
        line = await house.call()
        await line.answer()
        talking = asyncio.create_task(talk(line))
        listening = await house.call()
        await listening.answer()
        hearing = asyncio.create_task(listen(listening))
        ringing = await listening.dial("tel:+12125550104", Options(timeout=30))
        await asyncio.sleep(0.3)
        await pbx.kill()
        if again:
            await pbx.start()
        async with asyncio.timeout(15):
            for each in (line, listening):
                assert (await asyncio.shield(each.ended)).cause == 38
            assert (await ringing.answered()).status == "unavailable"
            await talking
            await asyncio.gather(hearing, return_exceptions=True)
            await asyncio.gather(line.close(), listening.close())
        await house.caller_hangs_up()
        assert exchange.leftovers() == []
        if again:
            async with asyncio.timeout(15):
                await exchange.connected.wait()
            new = await house.call()
            await new.answer()
            assert len(await hear(await new.open_media(), 100)) >= 1600
            await new.close()
        else:
            assert not exchange.connected.is_set()


async def test_a_wrong_password_is_said_at_once(pbx: Instance) -> None:
    wrong = exchanges.ExchangeSettings(pbx.ari_url, pbx.ari_user, "wrong")
    with pytest.raises(ExchangeError, match=r"refuses the ARI user 'hookflash' or its password"):
        async with Exchange.open(wrong):
            pass


async def test_an_asterisk_that_is_not_there(unused_tcp_port: int) -> None:
    nobody = exchanges.ExchangeSettings(f"http://127.0.0.1:{unused_tcp_port}", "hookflash", "x", start_timeout=2)
    with pytest.raises(ExchangeError, match=r"does not answer: .* does it run"):
        async with Exchange.open(nobody):
            pass


async def test_a_server_that_is_no_asterisk(unused_tcp_port: int) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    try:
        other = exchanges.ExchangeSettings(f"http://127.0.0.1:{unused_tcp_port}", "hookflash", "x", start_timeout=2)
        with pytest.raises(ExchangeError, match="is this Asterisk"):
            async with Exchange.open(other):
                pass
    finally:
        await runner.cleanup()


async def test_another_client_takes_the_application(
    pbx: Instance, world: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "WATCH_EVERY", 0.1)
    async with open_house(pbx, world) as house:
        line = await house.call()
        await line.answer()
        media = await line.open_media()
        async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password, house.exchange.app):
            async with asyncio.timeout(OVER_WITHIN):
                assert [each async for each in house.lines] == []
            assert not house.exchange.connected.is_set()
            assert "took the application name" in str(house.exchange.failure)
            assert len(await hear(media, 100)) >= 1600  # the call goes on
            await house.caller_hangs_up()
            async with asyncio.timeout(OVER_WITHIN):
                await asyncio.shield(line.ended)
            await line.close()


async def test_a_dead_call_makes_no_line(house: House) -> None:
    # What `_.` in a dialplan does: the hung-up channel runs extension h, and that enters the application.
    steps = ("h,1,Stasis(hookflash,h)", "h,2,Set(GLOBAL(TRAPPED)=yes)", "dead,1,Hangup()")
    for step in steps:
        await house.pbx.cli(f"dialplan add extension {step} into trap")
    try:
        await house.pbx.cli("channel originate Local/dead@trap/n application Wait 1")
        async with asyncio.timeout(5):
            while "TRAPPED=yes" not in await house.pbx.cli("dialplan show globals"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        line = await house.call()  # nothing came before this one
        assert line.facts.did == "+12125550100"
        await line.close()
        assert house.exchange.live == 0
    finally:
        for extension in ("h@trap", "dead@trap"):
            await house.pbx.cli(f"dialplan remove extension {extension}")
