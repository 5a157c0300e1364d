"""A media leg that outlives its connection: when that breaks off or falls silent, another takes its place.

Whoever speaks and listens on it knows nothing of the change but a short gap: the format stays, audio that was not
played is handed over again, and marks come back once, when what was before them was heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import AsyncGeneratorType
from typing import cast

from asterisk.facts import LineError
from asterisk.media.leg import Closed, Drained, MarkReached, MediaEvent, MediaLeg
from asterisk.media.unplayed import Unplayed

logger = logging.getLogger(__name__)

CHANGES = 3  # within CHANGES_S; a leg that is lost once more is given up
CHANGES_S = 15.0

Replace = Callable[[Closed], Awaitable[MediaLeg]]


class SteadyLeg:
    """A `MediaLeg` on one leg after another. `replace` opens the next one; `LineError` from it ends this one."""

    def __init__(self, leg: MediaLeg, replace: Replace) -> None:
        self.channel_id = leg.channel_id  # of the channel that carries the audio now
        self.format = leg.format
        self._leg = leg
        self._replace = replace
        self._now = asyncio.get_running_loop().time
        self._unplayed = Unplayed(leg.format)
        self._waiting: deque[bytes | str] | None = None  # for the next leg, while there is none
        self._changing: asyncio.Task[MediaLeg] | None = None
        self._changes: deque[float] = deque(maxlen=CHANGES)
        self._closed = False
        self._reader = cast(AsyncGeneratorType[MediaEvent, None], self._read())

    @property
    def is_attended(self) -> bool:
        """Whether a lost connection is noticed: somebody awaits `events`, or the next leg is being opened."""
        return self._reader.ag_running or self._waiting is not None

    @property
    def is_closed(self) -> bool:
        """Whether it is gone for good."""
        return self._closed or (self._leg.is_closed and not self.is_attended)

    async def send(self, audio: bytes) -> None:
        """Hand over audio of any length to play after what was handed over before. After close does nothing."""
        if self._closed or not audio:
            return
        self._unplayed.audio(audio, self._now())
        if self._waiting is None:
            await self._leg.send(audio)
        else:
            self._waiting.append(audio)

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` when everything handed over so far was played. After close does nothing."""
        if self._closed:
            return
        self._unplayed.mark(name)
        if self._waiting is None:
            await self._leg.mark(name)
        else:
            self._waiting.append(name)

    async def flush(self) -> int:
        """Throw away what was not played yet; returns how many milliseconds that were."""
        estimated = self._unplayed.flush(self._now())
        if self._waiting is not None:
            self._waiting.clear()
            await self._leg.flush()
        elif not self._leg.is_closed:
            return await self._leg.flush()
        return estimated

    def events(self) -> AsyncGenerator[MediaEvent, None]:
        """Caller audio and events, in order; `Closed` is the last. Always the same iterator."""
        return self._reader

    async def close(self) -> None:
        """Close the connection, and open no other. Idempotent."""
        self._closed = True
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.wait([self._changing])
        await self._leg.close()

    async def _read(self) -> AsyncGenerator[MediaEvent, None]:
        closed = Closed("")
        while True:
            async for event in self._leg.events():
                if type(event) is bytes:
                    yield event
                    continue
                if type(event) is Closed:
                    closed = event
                    break
                if type(event) is MarkReached:
                    self._unplayed.reached(event.name, self._now())
                elif type(event) is Drained:
                    self._unplayed.drained()
                yield event
            if self._closed:
                break
            try:
                for told in await self._change(closed):
                    yield told
            except LineError as error:
                closed = Closed(f"{closed.reason}; {error}", closed.silent)
                break
        self._closed = True
        yield closed

    async def _change(self, closed: Closed) -> list[MediaEvent]:
        """Go on with another leg; gives what was played by the old one, which could not say so. Raises `LineError`."""
        lost_at = self._now() - closed.silent
        if len(self._changes) == CHANGES and lost_at - self._changes[0] < CHANGES_S:
            raise LineError(f"it was lost {CHANGES + 1} times within {CHANGES_S:g} s")
        self._changes.append(lost_at)
        self._waiting = deque()
        leg = await self._next(closed)
        now = self._now()
        waiting = self._waiting = deque(self._unplayed.again(lost_at, now))
        told: list[MediaEvent] = []
        while waiting and isinstance(name := waiting[0], str):
            waiting.popleft()
            self._unplayed.reached(name, now)
            told.append(MarkReached(name))
        if not waiting and self._unplayed.owes_drained:
            self._unplayed.drained()
            told.append(Drained())
        self._leg, self.channel_id = leg, leg.channel_id
        while waiting:  # what is handed over meanwhile comes in behind
            item = waiting.popleft()
            await (leg.mark(item) if isinstance(item, str) else leg.send(item))
        self._waiting = None
        logger.info("audio goes on by channel %s", leg.channel_id)
        return told

    async def _next(self, closed: Closed) -> MediaLeg:
        """The next leg. `close` may give it up, and so may whoever iterates."""
        self._changing = asyncio.ensure_future(self._replace(closed))
        try:
            await asyncio.wait([self._changing])
        except asyncio.CancelledError:
            self._closed = True
            self._changing.cancel()
            raise
        if self._closed:
            raise LineError("closed by the engine")
        return self._changing.result()
