"""Listening to a live call: one tee for all who listen, stereo, in real time, a quarter of a second behind.

While the engine talks to the caller the tee is a tap of the playout; when the caller talks to a person, whose audio
does not pass the engine, it overhears the line. Whoever does not keep up loses frames and is told; the call never
waits.
"""

from __future__ import annotations

import asyncio
import audioop
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import structlog

from engine.audio import BYTES_PER_MS, RATE, decode, encode
from engine.beside import beside
from engine.line import LineError, LineGone, Media
from engine.sides import Sides

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

FRAME_MS: Final = 20
FRAME: Final = FRAME_MS * BYTES_PER_MS  # samples
BEHIND: Final = 250 * BYTES_PER_MS  # samples: what comes late within this finds its place
LATE_MS: Final = 180
QUEUE: Final = 50  # frames that wait for one listener: a second
OVERHEAR_AGAIN: Final = 2.0  # seconds after the line could not be overheard

Source = Literal["engine", "bridge", "none"]


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the sound comes from now."""

    source: Source


@dataclass(frozen=True, slots=True)
class Muted:
    """A sensitive step begins, or has ended."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """So many frames were left out, because they were not taken in time."""

    frames: int


@dataclass(frozen=True, slots=True)
class Over:
    """There is nothing more to hear."""

    reason: str


Heard = bytes | Moved | Muted | Lost | Over  # bytes: 20 ms of stereo, s16le, the caller left


@dataclass(eq=False, slots=True)
class Listener:
    """One who listens. Iterate `heard` until it ends."""

    _waiting: deque[Heard] = field(default_factory=deque)
    _frames: int = 0
    _lost: int = 0
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, heard: Heard) -> None:
        """Never waits: a frame for which there is no room is lost."""
        if type(heard) is bytes:
            if self._frames == QUEUE:
                self._lost += 1
                return
            self._frames += 1
            if self._lost:
                self._waiting.append(Lost(self._lost))
                self._lost = 0
        self._waiting.append(heard)
        self._woken.set()

    async def heard(self) -> AsyncIterator[Heard]:
        """Everything in order; `Over` is the last."""
        while True:
            while self._waiting:
                one = self._waiting.popleft()
                if type(one) is bytes:
                    self._frames -= 1
                yield one
                if type(one) is Over:
                    return
            self._woken.clear()
            await self._woken.wait()


class Tee:
    """The sound of one call, for its listeners. `run` it while there are any."""

    def __init__(self, call: Call) -> None:
        self.rate = RATE
        self.listeners: set[Listener] = set()
        self.failed = False  # it ended although the call goes on
        self._call = call
        self._clock = asyncio.get_running_loop().time
        self._law = call.law
        self._sides = Sides(self._law, self._clock, LATE_MS)
        self._source: Source = "none"
        self._muted = False
        self._taken = 0  # samples
        self._overhears = False  # a talk with a person

    def join(self, listener: Listener) -> None:
        """One more, who is told how it stands."""
        listener.give(Moved(self._source))
        if self._muted:
            listener.give(Muted(True))
        self.listeners.add(listener)

    async def run(self) -> None:
        """Until the call is over. Cancelled when the last listener has gone; leaves nothing at the line."""
        call = self._call
        call.tap(self._sides)
        reason = "the call is over"
        try:
            async with beside(self._pump(), self._overhear_people()):
                await asyncio.shield(call.line.ended)
        except LineGone:
            pass
        except Exception as error:
            reason, self.failed = "the sound failed", True
            log.exception("a call cannot be heard any more", call_id=call.record.id, error=str(error))
        finally:
            call.untap(self._sides)
            self._tell(Over(reason))

    def _tell(self, heard: Heard) -> None:
        for listener in self.listeners:
            listener.give(heard)

    # ── Frames ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _pump(self) -> None:
        """Hand out what has its place by now."""
        due = self._clock()
        while True:
            self._notice()
            until = self._sides.now() - BEHIND
            while self._taken + FRAME <= until:
                self._tell(self._frame())
            due = max(due + FRAME_MS / 1000, self._clock() - 0.2)
            await asyncio.sleep(due - self._clock())

    def _frame(self) -> bytes:
        start, self._taken = self._taken, self._taken + FRAME
        caller, other = (decode(side, self._law) for side in self._sides.take(start, self._taken))
        return audioop.add(audioop.tostereo(caller, 2, 1, 0), audioop.tostereo(other, 2, 0, 1), 2)

    def _notice(self) -> None:
        """Tell where the sound comes from, and that it is kept back."""
        source: Source = "bridge" if self._overhears else "engine" if self._sides.attached else "none"
        if source != self._source:
            self._source = source
            self._tell(Moved(source))
        if self._sides.paused != self._muted:
            self._muted = self._sides.paused
            self._tell(Muted(self._muted))

    # ── After the hand-off ────────────────────────────────────────────────────────────────────────────────────────────

    async def _overhear_people(self) -> None:
        while True:
            if self._call.with_person and not self._call.line.ended.done():
                await self._overhear()
            await asyncio.sleep(FRAME_MS / 1000)

    async def _overhear(self) -> None:
        """The caller and a person, until they are not connected any more."""
        call = self._call
        try:
            async with call.line.overhear() as (caller, other):
                self._sides.attach()
                self._overhears = True
                try:
                    reading = (self._read(caller, self._sides.caller), self._read(other, self._sides.other))
                    async with beside(*reading):
                        while call.with_person:  # noqa: ASYNC110 - there is no event for it, and nothing else to do
                            await asyncio.sleep(FRAME_MS / 1000)
                finally:
                    self._overhears = False
                    if not call.has_audio:  # the flow may go on, and speak already
                        self._sides.gone()
        except LineGone:
            raise
        except LineError as error:
            log.warning("a call with a person cannot be overheard", call_id=call.record.id, error=str(error))
            await asyncio.sleep(OVERHEAR_AGAIN)

    async def _read(self, media: Media, hear: Callable[[bytes], None]) -> None:
        """One side of the line, until it is closed. (Then the other side still can be heard.)"""
        async for event in media.events():
            if type(event) is bytes:
                hear(event if media.format == self._law else encode(decode(event, media.format), self._law))
