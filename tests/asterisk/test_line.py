"""A line on a real Asterisk: audio, keys, hand-off. The caller and the targets are a second Asterisk, over SIP."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from telephony import House, Options, carrier, hear, ulaw_tone

from asterisk import ari
from asterisk.facts import LineError, LineGone
from asterisk.instance import Instance
from asterisk.recording import Track
from asterisk.world import World

pytestmark = pytest.mark.asterisk

Share = Callable[[Path | bytes, float], float]


async def test_caller_and_engine_hear_each_other(house: House, tone_share: Share) -> None:
    line = await house.call()
    assert not line.is_answered
    await line.answer()
    await line.answer()
    assert line.is_answered
    media = await line.open_media()
    assert await line.open_media() is media
    await media.send(ulaw_tone(1000, 800))
    assert tone_share(await hear(media, 700), 440) > 0.9
    await line.close()
    assert line.ended.result().cause == 16
    assert tone_share(await house.heard(), 1000) > 0.9


async def test_facts_come_from_the_invite(house: House, world: Instance) -> None:
    headers = {"X-Case": '4711, "x;y"', "Diversion": "<sip:+12125550177@carrier>", "Subject": "not wanted"}
    variables = {f"PJSIP_HEADER(add,{name})": value for name, value in headers.items()}
    caller_id = {"CONNECTEDLINE(num)": "+12125550199", "CONNECTEDLINE(name)": "Ann Lee"}
    async with carrier(world, {**variables, **caller_id}):
        line = await anext(house.lines)
    facts = line.facts
    assert (facts.did, facts.caller, facts.caller_name) == ("+12125550100", "+12125550199", "Ann Lee")
    assert (facts.trunk, facts.direction) == ("carrier", "inbound")
    assert facts.headers == {
        "X-Case": '4711, "x;y"',
        "Diversion": "<sip:+12125550177@carrier>",
        "P-Asserted-Identity": '"Ann Lee" <sip:+12125550199@127.0.0.1>',
    }
    await line.close()


async def test_a_withheld_number_is_empty(house: House) -> None:
    line = await house.call()
    assert (line.facts.caller, line.facts.caller_name) == ("", "")
    await line.close()


async def test_keys_wait_in_order_and_can_be_forgotten(house: House, outside: World) -> None:
    caller = await outside.call("+12125550100")
    line = await anext(house.lines)
    await line.answer()
    await caller.answered()
    await line.open_media()
    await caller.presses("12*#")
    assert await line.peek_digit() == (0, "1")
    assert await line.peek_digit(2) == (2, "*")
    assert [await line.digit() for _ in range(4)] == ["1", "2", "*", "#"]
    await caller.presses("9")
    assert await line.peek_digit(2) == (4, "9")
    await line.digit()
    await caller.presses("34")
    assert await line.digit() == "3"
    await asyncio.sleep(0.4)  # the time that the next key takes to be pressed
    line.drop_digits()
    await caller.presses("5")
    assert await line.digit() == "5"
    await line.close()
    with pytest.raises(LineGone):
        await line.digit()


async def test_keys_are_sent_to_the_caller(house: House, outside: World, world: Instance) -> None:
    caller = await outside.call("+12125550100")
    line = await anext(house.lines)
    await line.answer()
    await caller.answered()
    await line.send_digits("1d#")
    assert [await caller.hears_key() for _ in range(3)] == ["1", "D", "#"]
    with pytest.raises(LineError, match="cannot be sent"):
        await line.send_digits("1,2")
    await line.close()


async def test_a_call_is_refused_with_a_cause(house: House, world: Instance) -> None:
    async with carrier(world) as over:
        line = await anext(house.lines)
        await line.ring()
        await line.hangup(17)
        async with asyncio.timeout(3):
            ended = await over
    assert (ended.cause, ended.tech_cause) == (17, 486)  # type: ignore[attr-defined]
    assert line.ended.result().cause == 17
    await line.hangup()
    await line.close()


@pytest.mark.parametrize("answered", [False, True])
async def test_a_call_given_back_goes_on_in_the_dialplan(house: House, answered: bool) -> None:
    line = await house.call()
    if answered:
        await line.answer()
        await line.open_media()
    assert await line.give_back()
    await line.hangup()
    if answered:
        assert "Congestion" in await house.pbx.cli("core show channels concise")
    await line.close()
    await house.caller_hangs_up()
    assert await line.give_back()  # it was


async def test_a_call_that_ended_cannot_be_given_back(house: House) -> None:
    line = await house.call()
    await line.hangup()
    assert not await line.give_back()
    with pytest.raises(LineGone):
        await line.answer()
    with pytest.raises(LineGone):
        await line.open_media()
    with pytest.raises(LineGone):
        await line.dial("tel:+12125550101", Options())
    await line.close()


OUTCOMES = [
    ("tel:+12125550103", "busy", 486, 17),
    ("pjsip:+12125550105@carrier", "declined", 603, 21),
    ("tel:+12125550106", "unavailable", 480, 19),
    ("tel:+12125550107", "unavailable", 503, 34),
    ("tel:+1 212 555-0108", "unavailable", 404, 1),
    ("tel:+12125550111", "failed", 403, 21),
    ("tel:+12125550104", "no_answer", None, None),
    ("tel:+12125550112", "no_answer", None, None),
]


@pytest.mark.parametrize(("target", "status", "sip_code", "q850"), OUTCOMES)
async def test_a_target_that_is_not_reached_says_why(
    house: House, target: str, status: str, sip_code: int | None, q850: int | None
) -> None:
    line = await house.call()
    await line.answer()
    leg = await line.dial(target, Options(timeout=0.6))
    result = await leg.answered()
    assert (result.status, result.sip_code, result.q850) == (status, sip_code, q850)
    if status == "no_answer":
        assert 600 <= result.ring_ms < 900
    else:
        assert result.ring_ms < 500
    assert await leg.answered() == result
    await leg.hangup()
    assert leg.ended.done()
    assert not line.ended.done()
    await line.close()


async def test_a_trunk_that_does_not_answer_is_unavailable(house: House) -> None:
    line = await house.call()
    # Nobody listens there. Asterisk says so at once, or tries until the time is over: that depends on its TLS sockets.
    leg = await line.dial("teams:alice@127.0.0.2:9", Options(timeout=1))
    result = await leg.answered()
    assert result.status == "unavailable"
    assert result.ring_ms < 1200
    await line.close()


async def test_a_silent_network_is_unavailable(house: House) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        line = await house.call()
        leg = await line.dial(f"teams:alice@127.0.0.1:{silent.getsockname()[1]}", Options(timeout=0.5))
        result = await leg.answered()
        assert (result.status, result.sip_code) == ("unavailable", None)
        assert 500 <= result.ring_ms < 800
        await line.close()


async def test_an_endpoint_that_does_not_exist_is_a_clear_error(house: House) -> None:
    line = await house.call()
    with pytest.raises(LineError, match="pjsip:nobody could not be dialled"):
        await line.dial("pjsip:nobody", Options())
    with pytest.raises(LineError, match=r"no E\.164 number"):
        await line.dial("tel:911&PJSIP/x", Options())
    await line.close()


@pytest.mark.parametrize("target", ["tel:+12125561000", "teams:+12125561000"])
async def test_caller_and_target_hear_each_other(house: House, tone_share: Share, target: str) -> None:
    line = await house.call()
    await line.answer()
    media = await line.open_media()
    await media.send(ulaw_tone(700, 5000))
    await hear(media, 200)
    leg = await line.dial(target, Options())
    result = await leg.answered()
    assert (result.status, result.sip_code) == ("answered", 200)
    await line.connect(leg)
    assert media.is_closed
    await asyncio.sleep(1)  # of conversation
    await leg.hangup()
    assert not line.ended.done()
    again = await line.open_media()
    assert again is not media
    assert tone_share(await hear(again, 300), 440) > 0.9
    await line.close()
    assert Track.read(await house.heard("12125561000")).tone_share(440) > 0.9
    heard = Track.read(await house.heard())
    assert heard.tone_share(1000) > 0.5
    assert 0.1 < heard.tone_share(700) < 0.4  # until the target answered
    assert len(heard.bursts(0.05)) == 1, "there was a pause between the engine and the target"


async def test_the_target_is_heard_before_it_is_connected(house: House, tone_share: Share) -> None:
    line = await house.call()
    await line.answer()
    await line.open_media()
    leg = await line.dial("tel:+12125561000", Options())
    assert (await leg.answered()).status == "answered"
    whisper = await leg.open_media()
    assert await leg.open_media() is whisper
    await whisper.send(ulaw_tone(700, 400))
    assert tone_share(await hear(whisper, 500), 1000) > 0.9
    await line.connect(leg)
    assert whisper.is_closed
    with pytest.raises(LineError, match="connected to the caller"):
        await leg.open_media()
    await asyncio.sleep(0.5)  # of conversation
    await line.close()
    heard = Track.read(await house.heard("12125561000"))
    assert heard.tone_share(700) > 0.2
    assert heard.tone_share(440) > 0.2


async def test_the_first_of_several_targets_wins(house: House) -> None:
    line = await house.call()
    await line.answer()
    never = await line.dial("tel:+12125550104", Options())
    soon = await line.dial("tel:+12125570110", Options())
    waiting = asyncio.create_task(never.answered())
    assert (await soon.answered()).status == "answered"
    await never.hangup()
    assert (await waiting).status == "cancelled"
    assert never.ended.done()
    await line.connect(soon)
    await line.close()
    assert soon.ended.done()
    for ask in (soon.digit, soon.open_media):  # a leg that is gone is no caller who is gone
        with pytest.raises(LineError, match="not on the line") as refused:
            await ask()
        assert not isinstance(refused.value, LineGone)


async def test_cancelling_the_wait_stops_the_ringing(house: House) -> None:
    line = await house.call()
    leg = await line.dial("tel:+12125550104", Options())
    waiting = asyncio.create_task(leg.answered())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(3):
        await asyncio.shield(leg.ended)
    assert (await leg.answered()).status == "cancelled"
    await line.close()


async def test_the_target_hangs_up_first(house: House) -> None:
    line = await house.call()
    await line.answer()
    leg = await line.dial("tel:+12125550109", Options())
    await leg.answered()
    await line.connect(leg)
    async with asyncio.timeout(5):
        ending = await asyncio.shield(leg.ended)
    assert ending.cause == 16
    with pytest.raises(LineError, match="hung up"):
        await line.connect(leg)
    assert not line.ended.done()
    await line.close()


async def test_the_target_sees_headers_and_caller_id(house: House, world: Instance) -> None:
    arrived: asyncio.Queue[ari.Channel] = asyncio.Queue()
    async with ari.Client(world.ari_url, world.ari_user, world.ari_password, "world") as person:
        person.on_channel_event("StasisStart", lambda channel, _: arrived.put_nowait(channel))
        line = await house.call()

        async def ring(options: Options) -> ari.Channel:
            leg = await line.dial("tel:+12125590001", options)
            async with asyncio.timeout(3):
                channel = await arrived.get()
            variable = await person.channels.get_channel_var(
                channel_id=channel.id, variable="PJSIP_HEADER(read,X-Summary)"
            )
            assert variable.value == 'two; lines, "quoted"'
            await leg.hangup()
            return channel

        headers = {"X-Summary": 'two; lines, "quoted"'}
        own = await ring(Options(headers=headers))
        assert own.caller.number == "anonymous"  # as the caller's
        set_by_us = await ring(Options(headers=headers, caller_id="+12125550188", caller_name="Ms. Lee"))
        assert (set_by_us.caller.number, set_by_us.caller.name) == ("+12125550188", "Ms. Lee")
        with pytest.raises(LineError, match="line break"):
            await line.dial("tel:+12125590001", Options(headers={"X-A": "1\r\nX-B: 2"}))
        await line.close()


async def test_closing_twice_at_once_is_fine(house: House) -> None:
    line = await house.call()
    await line.answer()
    await line.open_media()
    await asyncio.gather(line.close(), line.close())
    await line.close()
