"""The RTP driver: plain UDP between Asterisk and the engine, paced by the engine; the only one that any Asterisk has.

The channel comes from ``POST /channels/externalMedia`` with ``transport=udp encapsulation=rtp format=…
external_host=<our address>``; the answer's UNICASTRTP_LOCAL_ADDRESS and _PORT are where `RtpLeg.connect` sends to.
There is no goodbye in it: a channel that ended is known from ARI, or from the watchdog.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import cast

from asterisk.media.control import MediaError
from asterisk.media.leg import Format
from asterisk.media.paced import PacedLeg
from asterisk.media.pacer import Pacer
from asterisk.media.rtp_packet import PAYLOAD_TYPE, Reorder, RtpPacket, swap_bytes

SAMPLES = 160  # a frame: every format here has 8 kHz
WATCHDOG_S = 60.0  # of no packet at all, before the leg counts as gone


async def open_rtp(
    bind_host: str, *, pacer: Pacer, channel_id: str, format: Format, watchdog: float = WATCHDOG_S
) -> RtpLeg:
    """Bind a free UDP port on ``bind_host``; give `RtpLeg.address` to Asterisk, then `RtpLeg.connect`.

    ``watchdog``: seconds; long enough for a caller whose phone sends nothing while it is quiet. Raises `MediaError`,
    also for ``slin16``, which Asterisk does not take.
    """
    if format not in PAYLOAD_TYPE:
        raise MediaError(f"Asterisk takes no {format} over RTP; use one of {', '.join(PAYLOAD_TYPE)}")
    try:
        _, leg = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: RtpLeg(pacer, channel_id=channel_id, format=format, watchdog=watchdog), local_addr=(bind_host, 0)
        )
    except OSError as error:
        raise MediaError(f"RTP cannot bind a port on {bind_host}: {error}") from error
    return leg


class RtpLeg(PacedLeg, asyncio.DatagramProtocol):
    """A `MediaLeg` on one UDP port. Audio is little-endian here; ``slin`` is big-endian on the wire."""

    def __init__(self, pacer: Pacer, *, channel_id: str, format: Format, watchdog: float) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: tuple[str, int] | None = None
        self._heard_at: float | None = None
        self._heard = False
        self._watchdog = watchdog
        self._order = Reorder()
        self._payload_type = PAYLOAD_TYPE[format]
        self._swapped = format == "slin"
        self._sequence = secrets.randbelow(0x10000)
        self._timestamp = secrets.randbelow(0x1_0000_0000)
        self._ssrc = secrets.randbelow(0x1_0000_0000)
        self._first = True
        super().__init__(pacer, channel_id=channel_id, format=format)

    @property
    def address(self) -> tuple[str, int]:
        """Our host and port, for ``external_host``."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def connect(self, remote_host: str, remote_port: int) -> None:
        """Where Asterisk listens, and sends from: nobody else is heard. Sending starts with the next tick."""
        self._remote = (remote_host, remote_port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is bound."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A datagram: taken when it is RTP of our format and comes from Asterisk."""
        if addr[:2] != self._remote:
            return
        packet = RtpPacket.parse(data)
        if packet is None or packet.payload_type != self._payload_type:
            return
        self._heard = True
        for payload in self._order.push(packet):
            self._emit(swap_bytes(payload) if self._swapped else payload)

    def error_received(self, exc: Exception) -> None:
        """An ICMP refusal: Asterisk's port is closed. The watchdog decides, for it may be passing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The port is gone."""
        self._end(f"the RTP socket failed: {exc}" if exc else "the RTP socket was closed")

    def _tick(self, now: float) -> None:
        if self._remote is None:
            return
        if self._heard or self._heard_at is None:
            self._heard = False
            self._heard_at = now
        elif now - self._heard_at > self._watchdog:
            self._end(f"no RTP packet from Asterisk for {self._watchdog:g} s")
            return
        super()._tick(now)

    def _transmit(self, frame: bytes) -> None:
        assert self._transport is not None
        payload = swap_bytes(frame) if self._swapped else frame
        packet = RtpPacket(self._payload_type, self._sequence, self._timestamp, self._ssrc, payload, self._first)
        self._first = False
        self._sequence = (self._sequence + 1) % 0x10000
        self._timestamp = (self._timestamp + SAMPLES) % 0x1_0000_0000
        self._transport.sendto(packet.build(), self._remote)

    def _disconnect(self) -> None:
        if self._transport is not None:
            self._transport.close()
