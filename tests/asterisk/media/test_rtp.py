"""RTP: packets, their order, and the leg on loopback sockets."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk.media.control import MediaError
from asterisk.media.leg import Closed
from asterisk.media.pacer import Pacer
from asterisk.media.rtp import open_rtp
from asterisk.media.rtp_packet import Reorder, RtpPacket, swap_bytes

packets = st.builds(
    RtpPacket,
    st.integers(0, 127),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=200),
    st.booleans(),
)


@given(packets)
def test_what_is_built_is_parsed(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.build()) == packet


@given(st.binary(max_size=60))
def test_no_datagram_breaks_the_parser(data: bytes) -> None:
    packet = RtpPacket.parse(data)
    assert packet is None or len(packet.payload) <= len(data) - 12


def test_a_packet_by_the_letter_of_the_rfc() -> None:
    plain = bytes.fromhex("80 80 0001 00000002 00000003") + b"audio"
    assert RtpPacket.parse(plain) == RtpPacket(0, 1, 2, 3, b"audio", True)
    everything = bytes.fromhex("b1 08 0001 00000002 00000003 cccccccc beef0001 eeeeeeee") + b"audio" + b"\0\0\3"
    assert RtpPacket.parse(everything) == RtpPacket(8, 1, 2, 3, b"audio")
    assert RtpPacket.parse(b"\x40" + plain[1:]) is None
    assert RtpPacket.parse(bytes.fromhex("a0 00 0001 00000002 00000003 ff")) is None


def test_samples_are_big_endian_on_the_wire() -> None:
    assert swap_bytes(b"\x34\x12\xcd\xab") == b"\x12\x34\xab\xcd"


def payloads(order: Reorder, numbers: list[int], ssrc: int = 1) -> list[int]:
    out: list[bytes] = []
    for number in numbers:
        out += order.push(RtpPacket(0, number % 0x10000, 0, ssrc, number.to_bytes(4, "big")))
    return [int.from_bytes(payload, "big") for payload in out]


def test_overtaking_is_undone_loss_is_passed_over_and_lateness_dropped() -> None:
    assert payloads(Reorder(), [1, 2, 4, 3, 5]) == [1, 2, 3, 4, 5]
    assert payloads(Reorder(), [1, 2, 4, 5, 6, 7, 8]) == [1, 2, 4, 5, 6, 7, 8]
    assert payloads(Reorder(), [1, 2, 4, 5, 6, 7, 3, 8]) == [1, 2, 4, 5, 6, 7, 8]
    assert payloads(Reorder(), [1, 1, 2, 2]) == [1, 2]
    assert payloads(Reorder(), [0xFFFE, 0x10000, 0xFFFF, 0x10001]) == [0xFFFE, 0xFFFF, 0x10000, 0x10001]


def test_a_new_stream_starts_afresh() -> None:
    order = Reorder()
    assert payloads(order, [1, 2, 3]) == [1, 2, 3]
    assert payloads(order, [30_000, 30_001]) == [30_000, 30_001]
    assert payloads(order, [5, 6], ssrc=2) == [5, 6]


@given(st.integers(0, 0xFFFF), st.permutations(range(4)), st.integers(1, 20))
def test_any_order_within_the_depth_is_undone(start: int, shuffled: list[int], blocks: int) -> None:
    numbers = [start] + [start + 1 + 4 * block + place for block in range(blocks) for place in shuffled]
    assert payloads(Reorder(), numbers) == sorted(numbers)


class Peer(asyncio.DatagramProtocol):
    """The other end."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[RtpPacket, tuple[str, int]]] = asyncio.Queue()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr) -> None:
        packet = RtpPacket.parse(data)
        assert packet
        self.got.put_nowait((packet, addr))

    def send(self, to: tuple[str, int], sequence: int, payload: bytes, payload_type: int = 0) -> None:
        self.transport.sendto(RtpPacket(payload_type, sequence, 0, 9, payload).build(), to)


@pytest.fixture
async def peers():
    loop = asyncio.get_running_loop()
    made = [await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0)) for _ in range(2)]
    async with asyncio.timeout(10):
        yield [peer for _, peer in made]
    for transport, _ in made:
        transport.close()


async def test_silence_and_speech_from_one_socket_with_a_steady_count(peers) -> None:
    pacer = Pacer()
    leg = await open_rtp("127.0.0.1", pacer=pacer, channel_id="c", format="slin")
    leg.connect("127.0.0.1", peers[0].port)
    await leg.send(b"\x34\x12" * 160)
    got = [await peers[0].got.get() for _ in range(5)]
    assert {address for _, address in got} == {leg.address}
    first = got[0][0]
    assert first.marker
    assert first.payload == b"\x12\x34" * 160
    for number, (packet, _) in enumerate(got):
        assert packet.payload_type == 10
        assert packet.sequence == (first.sequence + number) % 0x10000
        assert packet.timestamp == (first.timestamp + 160 * number) % 0x1_0000_0000
        assert packet.ssrc == first.ssrc
        assert packet.marker == (number == 0)
    assert got[1][0].payload == b"\0" * 320
    await leg.close()
    await pacer.close()


async def test_only_asterisks_own_port_is_heard(peers) -> None:
    asterisk, stranger = peers
    pacer = Pacer()
    leg = await open_rtp("127.0.0.1", pacer=pacer, channel_id="c", format="ulaw")
    stranger.send(leg.address, 1, b"too early")
    leg.connect("127.0.0.1", asterisk.port)
    await asterisk.got.get()
    asterisk.send(leg.address, 1, b"one")
    events = leg.events()
    assert await anext(events) == b"one"
    stranger.send(leg.address, 2, b"intruder")
    asterisk.send(leg.address, 2, b"of another format", payload_type=101)
    asterisk.transport.sendto(b"garbage", leg.address)
    asterisk.send(leg.address, 2, b"two")
    assert await anext(events) == b"two"
    await leg.close()
    assert await anext(events) == Closed("closed by the engine")
    await pacer.close()


async def test_the_watchdog_ends_a_leg_that_hears_nothing(peers) -> None:
    pacer = Pacer()
    leg = await open_rtp("127.0.0.1", pacer=pacer, channel_id="c", format="ulaw", watchdog=0.1)
    leg.connect("127.0.0.1", peers[0].port)
    assert [event async for event in leg.events()] == [Closed("no RTP packet from Asterisk for 0.1 s")]
    await pacer.close()


async def test_an_address_that_is_not_ours_says_so() -> None:
    with pytest.raises(MediaError, match=r"192\.0\.2\.1"):
        await open_rtp("192.0.2.1", pacer=Pacer(), channel_id="c", format="ulaw")


async def test_a_format_that_asterisk_does_not_take_is_refused() -> None:
    with pytest.raises(MediaError, match="slin16"):
        await open_rtp("127.0.0.1", pacer=Pacer(), channel_id="c", format="slin16")
