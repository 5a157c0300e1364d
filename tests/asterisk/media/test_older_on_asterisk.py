"""AudioSocket and RTP legs on a real Asterisk; a websocket leg in the same bridge is the other party."""

from __future__ import annotations

import asyncio
import math
import struct
import uuid

import pytest

from asterisk.instance import Instance
from asterisk.media.audiosocket import AudioSocketListener
from asterisk.media.leg import Closed, Drained, Format, MarkReached
from asterisk.media.pacer import Pacer
from asterisk.media.rtp import open_rtp

from .studio import Ear, Studio, studio

pytestmark = pytest.mark.asterisk


def tone(hz: int, ms: int) -> bytes:
    """Signed 16-bit little-endian samples at 8 kHz."""
    count = 8 * ms
    return struct.pack(f"<{count}h", *(round(8000 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(count)))


@pytest.fixture
async def pacer():
    clock = Pacer()
    yield clock
    await clock.close()


async def audiosocket(here: Studio, listener: AudioSocketListener, port: int) -> Ear:
    name, channel = str(uuid.uuid4()), str(uuid.uuid4())
    expected = listener.expect(name, channel_id=channel)
    await here.post(
        "channels/externalMedia",
        app=here.app,
        channelId=channel,
        transport="tcp",
        encapsulation="audiosocket",
        external_host=f"127.0.0.1:{port}",
        data=name,
        format="slin",
    )
    return await here.join(await asyncio.wait_for(expected, 5))


async def rtp(here: Studio, pacer: Pacer, format: Format) -> Ear:
    leg = await open_rtp("127.0.0.1", pacer=pacer, channel_id="", format=format)
    host, port = leg.address
    leg.channel_id, variables = await here.external_media(
        transport="udp", encapsulation="rtp", external_host=f"{host}:{port}", format=format
    )
    leg.connect(variables["UNICASTRTP_LOCAL_ADDRESS"], int(variables["UNICASTRTP_LOCAL_PORT"]))
    ear = await here.join(leg)
    here.deaf.append(leg.channel_id)
    return ear


async def check_both_ways(a: Ear, b: Ear, tone_share) -> None:
    """``a`` paces itself, ``b`` is a websocket leg; both in slin."""
    await b.until(lambda: len(b.audio) > 10)  # an idle leg is not silent on the wire
    await a.leg.send(tone(440, 600))
    await a.leg.mark("played")
    await b.leg.send(tone(1000, 600))
    played, drained = await a.event(MarkReached("played")), await a.event(Drained)
    assert drained == pytest.approx(played, abs=0.03)
    await b.event(Drained)
    await b.until(lambda: len(b.heard) >= 30)
    await a.until(lambda: len(a.heard) >= 30)
    assert tone_share(b"".join(frame for _, frame in b.heard), 440) > 0.9
    assert tone_share(b"".join(frame for _, frame in a.heard), 1000) > 0.9


async def check_flush(a: Ear, b: Ear) -> None:
    """Silent soon after, and counted right."""
    before = len(b.heard)
    loop = asyncio.get_running_loop()
    await a.leg.send(tone(440, 5000))
    await b.until(lambda: len(b.heard) >= before + 20)
    asked = loop.time()
    unplayed = await a.leg.flush()
    ticks = len(b.audio)
    await b.until(lambda: len(b.audio) >= ticks + 20)
    assert b.heard[-1][0] - asked <= 0.1
    assert abs((len(b.heard) - before) * 20 + unplayed - 5000) <= 60  # some frames are under way, in sockets


async def test_audiosocket(pbx: Instance, pacer: Pacer, tone_share) -> None:
    listener = AudioSocketListener(pacer)
    port = await listener.start("127.0.0.1")
    async with studio(pbx) as here:
        a, b = await audiosocket(here, listener, port), await here.websocket("slin")
        await check_both_ways(a, b, tone_share)
        await check_flush(a, b)
        async with here.http.delete(f"{here.base}/ari/channels/{a.leg.channel_id}") as answer:
            assert answer.status == 204
        await a.event(Closed)
    await listener.close()


async def test_a_closed_audiosocket_leg_ends_its_channel(pbx: Instance, pacer: Pacer) -> None:
    listener = AudioSocketListener(pacer)
    port = await listener.start("127.0.0.1")
    async with studio(pbx) as here:
        a = await audiosocket(here, listener, port)
        await a.leg.close()
        await here.until(lambda: a.leg.channel_id in here.gone)
    await listener.close()


async def test_rtp(pbx: Instance, pacer: Pacer, tone_share) -> None:
    async with studio(pbx) as here:
        a, b = await rtp(here, pacer, "slin"), await here.websocket("slin")
        await check_both_ways(a, b, tone_share)
        await check_flush(a, b)


async def test_rtp_in_mu_law_passes_through(pbx: Instance, pacer: Pacer) -> None:
    async with studio(pbx) as here:
        a, b = await rtp(here, pacer, "ulaw"), await here.websocket("ulaw")
        await b.until(lambda: len(b.audio) > 5)
        await a.leg.send(bytes(range(100)) * 16)
        await b.leg.send(bytes(range(100)) * 16)
        await b.until(lambda: len(b.heard) == 10)
        await a.until(lambda: len(a.heard) == 10)
        assert b"".join(frame for _, frame in b.heard) == bytes(range(100)) * 16
        assert b"".join(frame for _, frame in a.heard) == bytes(range(100)) * 16
