"""The AudioSocket driver: Asterisk connects to the engine over TCP, and the engine paces the audio.

The channel comes from ``POST /channels/externalMedia`` with ``transport=tcp encapsulation=audiosocket format=slin
external_host=<host>:<port> data=<uuid>``. Asterisk connects while it handles that request, so `expect` the uuid first.
Wire: type (1 byte), length (2, big-endian), payload; signed 16-bit little-endian samples at 8 kHz. Source:
res_audiosocket.c of Asterisk 22.10.1.

A leg speaks first: Asterisk may wait for the peer's audio before it sends any (issue 2089 of Asterisk), so silence goes
out as soon as the connection stands.
"""

from __future__ import annotations

import asyncio
import struct
import uuid as uuids
from enum import IntEnum
from typing import cast

from asterisk.media.control import MediaError
from asterisk.media.leg import Dtmf
from asterisk.media.paced import PacedLeg
from asterisk.media.pacer import Pacer

IDENTIFY_TIMEOUT = 5.0  # seconds from the connection to its uuid
WRITE_LIMIT = 32_000  # bytes (2 s of audio) that may wait in our socket before Asterisk counts as stuck

_HEADER = struct.Struct(">BH")


class Kind(IntEnum):
    """The packet types that Asterisk and we exchange."""

    HANGUP = 0x00
    UUID = 0x01
    DTMF = 0x03
    SLIN = 0x10
    ERROR = 0xFF


def packet(kind: Kind, payload: bytes = b"") -> bytes:
    """One packet as it goes over the wire."""
    return _HEADER.pack(kind, len(payload)) + payload


class PacketReader:
    """Bytes in, whole packets out; unknown types are given as they are."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that ``data`` completes, as (type, payload)."""
        buffer = self._buffer
        buffer += data
        packets = []
        while len(buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(buffer)
            end = _HEADER.size + length
            if len(buffer) < end:
                break
            packets.append((kind, bytes(buffer[_HEADER.size : end])))
            del buffer[:end]
        return packets


class AudioSocketLeg(PacedLeg):
    """A `MediaLeg` in format ``slin`` on one connection."""

    def __init__(self, pacer: Pacer, transport: asyncio.Transport) -> None:
        self._transport = transport
        super().__init__(pacer, channel_id="", format="slin")
        self._transmit(self._silence)

    def received(self, kind: int, payload: bytes) -> None:
        """A packet from Asterisk."""
        if kind == Kind.SLIN:
            self._emit(payload)
        elif kind == Kind.DTMF:
            self._emit(Dtmf(payload.decode("ascii", "replace")))
        elif kind == Kind.HANGUP:
            self._end("Asterisk hung up")
        elif kind == Kind.ERROR:
            self._end(f"Asterisk reported an AudioSocket error ({payload.hex() or 'no code'})")

    def lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._end(f"the AudioSocket connection broke: {error}" if error else "Asterisk closed the connection")

    def _transmit(self, frame: bytes) -> None:
        if self._transport.get_write_buffer_size() > WRITE_LIMIT:
            self._end("Asterisk stopped reading the AudioSocket connection")
        elif not self._transport.is_closing():
            self._transport.write(packet(Kind.SLIN, frame))

    def _disconnect(self) -> None:
        if self._transport.get_write_buffer_size() > WRITE_LIMIT:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(packet(Kind.HANGUP))
            self._transport.close()


class AudioSocketListener:
    """The one port of an engine that Asterisk connects to; connections are told apart by their uuid."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._server: asyncio.Server | None = None
        self._expected: dict[str, tuple[str, asyncio.Future[AudioSocketLeg]]] = {}
        self._connections: set[_Connection] = set()

    async def start(self, host: str, port: int = 0) -> int:
        """Listen; returns the port. Raises `MediaError` when the address cannot be had."""
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port)
        except OSError as error:
            raise MediaError(f"AudioSocket cannot listen on {host}:{port}: {error}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def expect(self, uuid: str, *, channel_id: str) -> asyncio.Future[AudioSocketLeg]:
        """The leg of the connection that will name this uuid. Cancel the future when it will not come."""
        key = str(uuids.UUID(uuid))
        future: asyncio.Future[AudioSocketLeg] = asyncio.get_running_loop().create_future()
        self._expected[key] = (channel_id, future)
        future.add_done_callback(lambda _: self._expected.pop(key, None))
        return future

    async def close(self) -> None:
        """Stop listening and close all connections. Idempotent."""
        if self._server is not None:
            self._server.close()
        for _, future in list(self._expected.values()):
            future.cancel()
        for connection in list(self._connections):
            await connection.leg.close()

    def claim(self, uuid: str, leg: AudioSocketLeg) -> bool:
        """Give an identified leg to whoever expects it."""
        channel_id, future = self._expected.get(uuid, ("", None))
        if future is None or future.done():
            return False
        leg.channel_id = channel_id
        future.set_result(leg)
        return True

    @property
    def pacer(self) -> Pacer:
        """The clock of its legs."""
        return self._pacer

    def opened(self, connection: _Connection) -> None:
        """A connection came."""
        self._connections.add(connection)

    def gone(self, connection: _Connection) -> None:
        """A connection went."""
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    leg: AudioSocketLeg

    def __init__(self, listener: AudioSocketListener) -> None:
        self._listener = listener
        self._packets = PacketReader()
        self._identified = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.leg = AudioSocketLeg(self._listener.pacer, cast(asyncio.Transport, transport))
        self._listener.opened(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(IDENTIFY_TIMEOUT, self.leg.lost, TimeoutError("it named no uuid"))

    def data_received(self, data: bytes) -> None:
        for kind, payload in self._packets.feed(data):
            if self._identified:
                self.leg.received(kind, payload)
            elif kind == Kind.UUID and len(payload) == 16:
                self._deadline.cancel()
                self._identified = self._listener.claim(str(uuids.UUID(bytes=payload)), self.leg)
                if not self._identified:
                    self.leg.lost(ConnectionRefusedError("nobody expects its uuid"))
                    return

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._listener.gone(self)
        self.leg.lost(exc)
