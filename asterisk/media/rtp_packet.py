"""RTP packets (RFC 3550) as Asterisk's externalMedia exchanges them, and their order. Sans-IO."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

from asterisk.media.leg import Format

# Asterisk's fixed payload types: externalMedia has no SDP. RFC 3551 for 0 and 8; 10 is Asterisk's own use of it: 8 kHz.
# There is no slin16 (118): Asterisk sends it but drops what it receives, as every type above 95 that no SDP told it of
# (measured on 22.10.1; ast_rtp_codecs_get_payload in main/rtp_engine.c).
PAYLOAD_TYPE: dict[Format, int] = {"ulaw": 0, "alaw": 8, "slin": 10}

_HEADER = struct.Struct(">BBHII")
_VERSION = 2


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. ``timestamp`` counts samples; the payload is as on the wire."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def build(self) -> bytes:
        """The packet's bytes."""
        second = self.payload_type | (0x80 if self.marker else 0)
        return _HEADER.pack(_VERSION << 6, second, self.sequence, self.timestamp, self.ssrc) + self.payload

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket | None:
        """The packet in a datagram; None when it is no RTP (section A.1 of the RFC tells how to know)."""
        if len(data) < _HEADER.size or data[0] >> 6 != _VERSION:
            return None
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        start = _HEADER.size + 4 * (first & 0x0F)
        if first & 0x10:  # a header extension: its length in words is in its second half
            if len(data) < start + 4:
                return None
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        end = len(data)
        if first & 0x20:  # padding: the last byte counts it
            end -= data[-1]
        if start > end or (first & 0x20 and data[-1] == 0):
            return None
        return cls(second & 0x7F, sequence, timestamp, ssrc, data[start:end], bool(second & 0x80))


def swap_bytes(samples: bytes) -> bytes:
    """16-bit samples from little-endian to big-endian or back. An odd last byte is dropped."""
    words = array("h", samples[: len(samples) & ~1])
    words.byteswap()
    return words.tobytes()


class Reorder:
    """Puts packets that overtook each other back in order.

    A gap is waited for while at most ``DEPTH`` packets lie behind it; what comes later than that is dropped.
    """

    DEPTH = 3
    RESET = 100  # packets: a jump beyond this is another stream, not loss

    def __init__(self) -> None:
        self._expected: int | None = None
        self._ssrc = 0
        self._waiting: dict[int, bytes] = {}  # by sequence number

    def push(self, packet: RtpPacket) -> list[bytes]:
        """The payloads that may be given out now, in order."""
        if self._expected is None or packet.ssrc != self._ssrc:
            self._restart(packet)
        assert self._expected is not None
        ahead = (packet.sequence - self._expected + 0x8000) % 0x10000 - 0x8000
        if not -self.RESET < ahead < self.RESET:
            self._restart(packet)
        elif ahead < 0:
            return []
        self._waiting[packet.sequence] = packet.payload
        ready = self._release()
        if not ready and len(self._waiting) > self.DEPTH:
            self._expected = min(self._waiting, key=self._distance)
            ready = self._release()
        return ready

    def _release(self) -> list[bytes]:
        assert self._expected is not None
        ready = []
        while (payload := self._waiting.pop(self._expected, None)) is not None:
            ready.append(payload)
            self._expected = (self._expected + 1) % 0x10000
        return ready

    def _restart(self, packet: RtpPacket) -> None:
        self._expected = packet.sequence
        self._ssrc = packet.ssrc
        self._waiting.clear()

    def _distance(self, sequence: int) -> int:
        assert self._expected is not None
        return (sequence - self._expected) % 0x10000
