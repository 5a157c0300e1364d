"""AudioSocket: its wire format, and the listener against a peer on a socket that behaves as Asterisk does."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk.media.audiosocket import AudioSocketListener, Kind, PacketReader, packet
from asterisk.media.control import MediaError
from asterisk.media.leg import Closed, Dtmf
from asterisk.media.pacer import Pacer

SILENCE = packet(Kind.SLIN, b"\0" * 320)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=400)), max_size=8), st.integers(1, 50))
def test_packets_survive_any_fragmentation(packets: list[tuple[int, bytes]], size: int) -> None:
    stream = b"".join(bytes([kind]) + len(payload).to_bytes(2, "big") + payload for kind, payload in packets)
    reader = PacketReader()
    got = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
    assert got == packets


def test_a_packet_as_in_the_source_of_asterisk() -> None:
    assert packet(Kind.SLIN, b"\x34\x12") == b"\x10\x00\x02\x34\x12"
    assert packet(Kind.HANGUP) == b"\x00\x00\x00"


@pytest.fixture
async def listening():
    pacer = Pacer()
    listener = AudioSocketListener(pacer)
    port = await listener.start("127.0.0.1")
    async with asyncio.timeout(10):
        yield listener, port
    await listener.close()
    await pacer.close()


async def test_the_leg_speaks_first_and_is_known_by_its_uuid(listening) -> None:
    listener, port = listening
    name = str(uuid.uuid4())
    expected = listener.expect(name, channel_id="channel-1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readexactly(323) == SILENCE
    writer.write(packet(Kind.UUID, uuid.UUID(name).bytes) + packet(Kind.SLIN, b"\1\2" * 160) + packet(Kind.DTMF, b"5"))
    leg = await expected
    assert leg.channel_id == "channel-1"
    assert leg.format == "slin"
    events = leg.events()
    assert await anext(events) == b"\1\2" * 160
    assert await anext(events) == Dtmf("5")
    await leg.send(b"\7\0" * 160)
    while await reader.readexactly(323) == SILENCE:
        pass
    writer.write(packet(Kind.HANGUP))
    assert await anext(events) == Closed("Asterisk hung up")
    writer.close()


async def test_a_stranger_is_sent_away(listening) -> None:
    _, port = listening
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(packet(Kind.UUID, uuid.uuid4().bytes))
    assert (await reader.read()).endswith(packet(Kind.HANGUP))
    writer.close()


async def test_a_uuid_serves_once(listening) -> None:
    listener, port = listening
    name = uuid.uuid4()
    expected = listener.expect(str(name), channel_id="c")
    first_reader, first = await asyncio.open_connection("127.0.0.1", port)
    first.write(packet(Kind.UUID, name.bytes))
    await expected
    second_reader, second = await asyncio.open_connection("127.0.0.1", port)
    second.write(packet(Kind.UUID, name.bytes))
    assert (await second_reader.read()).endswith(packet(Kind.HANGUP))
    assert not first_reader.at_eof()
    first.close()
    second.close()


async def test_a_lost_connection_ends_the_leg(listening) -> None:
    listener, port = listening
    name = uuid.uuid4()
    expected = listener.expect(str(name), channel_id="c")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(packet(Kind.UUID, name.bytes))
    leg = await expected
    writer.close()
    assert [event async for event in leg.events()] == [Closed("Asterisk closed the connection")]


async def test_whoever_names_no_uuid_is_dropped(listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asterisk.media.audiosocket.IDENTIFY_TIMEOUT", 0.05)
    _, port = listening
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert (await reader.read()).endswith(packet(Kind.HANGUP))
    writer.close()


async def test_a_cancelled_expectation_is_forgotten(listening) -> None:
    listener, _ = listening
    listener.expect(str(uuid.uuid4()), channel_id="c").cancel()
    await asyncio.sleep(0)
    assert not listener._expected


async def test_a_port_that_cannot_be_had_says_so(listening) -> None:
    _, port = listening
    with pytest.raises(MediaError, match=f"127.0.0.1:{port}"):
        await AudioSocketListener(Pacer()).start("127.0.0.1", port)
