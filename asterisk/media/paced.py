"""What AudioSocket and RTP have in common: a leg that sends one frame each 20 ms by our own clock.

A frame counts as played when the tick after it comes. So marks and what a flush threw away are exact here.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator

from asterisk.media.leg import BYTES_PER_MS, Closed, Drained, Format, MarkReached, MediaEvent
from asterisk.media.pacer import Pacer
from asterisk.media.playout import SILENCE, Backlog, frame_bytes

PATIENCE_TICKS = 3  # how long half a frame waits for its other half
UNREAD_LIMIT = 500  # frames of caller audio that wait for whoever iterates; newer ones are dropped


class PacedLeg(ABC):
    """The `MediaLeg` methods for a driver that paces itself; the driver transmits frames and reports what comes."""

    def __init__(self, pacer: Pacer, *, channel_id: str, format: Format) -> None:
        self.channel_id = channel_id
        self.format = format
        self.dropped = 0  # frames of caller audio that nobody took in time
        self._frame = frame_bytes(format)
        self._silence = SILENCE[format] * self._frame
        self._backlog = Backlog(format, self._frame)
        self._played: list[str] = []  # marks right behind the frame that is being played
        self._playing = False
        self._starved = 0  # ticks that half a frame has waited
        self._unread: deque[MediaEvent] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._closed = False
        self._pacer = pacer
        pacer.join(self._tick)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone, whoever closed it."""
        return self._closed

    async def send(self, audio: bytes) -> None:
        """Hand over audio of any length to play after what was handed over before. After close does nothing."""
        if not self._closed:
            self._backlog.append(audio)

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` when everything handed over so far was played. After close does nothing."""
        if not self._closed:
            self._backlog.mark(name)

    async def flush(self) -> int:
        """Throw away what was not played yet; returns how many milliseconds that were. Exact."""
        self._played.clear()
        self._playing = False
        return self._backlog.flush() // BYTES_PER_MS[self.format]

    async def events(self) -> AsyncGenerator[MediaEvent, None]:
        """Caller audio (bytes, usually 20 ms) and events, in order; `Closed` is the last. Iterate once."""
        loop = asyncio.get_running_loop()
        while True:
            while self._unread:
                event = self._unread.popleft()
                yield event
                if isinstance(event, Closed):
                    return
            self._reader = loop.create_future()
            await self._reader

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        self._end("closed by the engine")

    @abstractmethod
    def _transmit(self, frame: bytes) -> None:
        """Write one frame now; never blocks."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Release the socket."""

    def _tick(self, now: float) -> None:
        try:
            self._beat()
        except Exception as error:
            self._end(f"its clock failed: {type(error).__name__}: {error}")
            raise

    def _beat(self) -> None:
        for name in self._played:
            self._emit(MarkReached(name))
        self._played.clear()
        frame = self._next_frame()
        if frame is None and self._playing and not self._backlog:
            self._playing = False
            self._emit(Drained())
        self._transmit(frame or self._silence)

    def _next_frame(self) -> bytes | None:
        backlog = self._backlog
        if 0 < len(backlog) < self._frame:
            self._starved += 1
            if self._starved >= PATIENCE_TICKS:
                backlog.pad()
        frame = None
        for item in backlog.take(self._frame):
            if isinstance(item, bytes):
                frame = item
                self._playing = True
                self._starved = 0
            elif frame is None:
                self._emit(MarkReached(item))
            else:
                self._played.append(item)
        return frame

    def _emit(self, event: MediaEvent) -> None:
        if isinstance(event, bytes) and len(self._unread) >= UNREAD_LIMIT:
            self.dropped += 1
            return
        self._unread.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _end(self, why: str) -> None:
        if not self._closed:
            self._closed = True
            self._pacer.leave(self._tick)
            self._backlog.flush()
            try:
                self._disconnect()
            finally:
                self._emit(Closed(why))
