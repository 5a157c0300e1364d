"""Playout: the engine's ear and mouth on one media leg.

One task (`run`) reads the leg for as long as it lives: caller audio goes to whoever listens, marks and the ledger keep
track of what was heard. Everybody who plays something hands it over here under an item's name.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from asterisk.media.leg import Closed, Drained, Dtmf, MarkReached
from engine.audio import BYTES_PER_MS, RATE, SILENCE, Heard, Ledger
from engine.line import Media

if TYPE_CHECKING:
    from engine.sides import Sides

FED_EVERY = 0.2  # seconds between two looks at the caller's audio
FORGOTTEN = 8_000  # bytes; audio that was heard is forgotten in pieces, for it costs the moving of the rest
LOST_AFTER = 1.0  # seconds; audio that ends with the call ends a moment before the call's end is told

Listener = Callable[[bytes], Awaitable[None]]
_Waiting = dict[str, tuple[str, asyncio.Future[bool]]]  # mark -> item, who waits for its end


class Playout:
    """Audio to and from the caller. Make it, start `run` in a task group, then use the rest."""

    def __init__(self, media: Media) -> None:
        self.media = media
        self._listener: Listener | None = None
        self._reader: asyncio.Task[None] | None = None
        self._abandoned = False  # the listener that is running is no longer wanted
        self.heard = 0  # pieces of caller audio so far
        self.latest = b""  # the last of them
        self.listening = False  # inside the listener: true for long means that it does not take the audio any more
        self.on_drained: Callable[[], None] | None = None  # nothing is left to play
        self.on_failed: Callable[[Exception], None] | None = None  # the listener raised this, and listens no more
        self.taps: tuple[Sides, ...] = ()  # who keeps what is said and heard
        self.closed = asyncio.Event()
        self._ledger = Ledger()
        self._clock = asyncio.get_running_loop().time
        self._said = bytearray()  # the end of it is what was handed over and is not heard yet
        self._said_ends = 0.0  # when it will have been heard
        self._waiting: _Waiting = {}
        self._marks = itertools.count(1)
        self._names = itertools.count(1)

    @property
    def law(self) -> str:
        """The line's G.711 law."""
        return self.media.format

    @property
    def listener(self) -> Listener | None:
        """Who is given the caller's audio. Setting another, or None, abandons one that does not come to an end."""
        return self._listener

    @listener.setter
    def listener(self, listener: Listener | None) -> None:
        self._listener = listener
        if self.listening and not self._abandoned and self._reader not in (None, asyncio.current_task()):
            assert self._reader is not None
            self._abandoned = self._reader.cancel()

    async def run(self) -> None:
        """Read the leg until it closes. A mistake in the leg or in who listens closes it, and is raised."""
        self._reader = asyncio.current_task()
        try:
            await self._read()
        except Exception:
            self._over()
            await self.media.close()
            raise
        finally:
            self._over()

    async def _read(self) -> None:
        async for event in self.media.events():
            if type(event) is bytes:
                self.heard += 1
                self.latest = event
                for tap in self.taps:
                    tap.caller(event)
                if self._listener is not None:
                    await self._give(self._listener, event)
            elif type(event) is MarkReached:
                self._reached(event.name)
            elif type(event) is Drained:
                if self.on_drained is not None:
                    self.on_drained()
            elif type(event) is Closed:
                break
            elif type(event) is Dtmf:
                pass  # the line itself reports the caller's digits; counting both would double them

    def _over(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            for tap in self.taps:
                tap.gone()
            _settle(self._waiting, None)

    async def _give(self, listener: Listener, audio: bytes) -> None:
        self.listening = True
        try:
            await listener(audio)
        except asyncio.CancelledError:
            if not self._abandoned or self._reader is None or self._reader.uncancel() > 0:
                raise
        except Exception as error:
            if self.on_failed is None:
                raise
            self._listener = None
            self.on_failed(error)
        finally:
            self.listening = self._abandoned = False

    async def keep_fed(self, give: Callable[[bytes], Awaitable[object]], deaf_after: float) -> None:
        """Keep in time who counts time by the caller's audio; returns when the listener took none for so long.

        A telephone may send nothing while its user is silent (mute, hold, comfort noise); a provider would then wait
        for ever for the end of a sentence, so it is given silence.
        """
        silence = SILENCE[self.law] * int(FED_EVERY * 1000 * BYTES_PER_MS)
        heard, stuck = self.heard, 0.0
        while stuck < deaf_after:
            await asyncio.sleep(FED_EVERY)
            if self.listening:
                stuck += FED_EVERY
                continue
            stuck = 0.0
            if heard == self.heard:
                await give(silence)
            heard = self.heard

    @property
    def is_playing(self) -> bool:
        """Whether something is left to be heard of what was handed over."""
        return self._clock() < self._said_ends

    async def lost(self) -> None:
        """Until the audio is gone although the call is not: its end would be known by then, and cancels this."""
        await self.closed.wait()
        await asyncio.sleep(LOST_AFTER)

    def name(self, kind: str) -> str:
        """A fresh item name."""
        return f"{kind}{next(self._names)}"

    async def send(self, item: str, audio: bytes) -> None:
        """Play ``audio`` as part of ``item`` after what was handed over before.

        The hot path: one count, one copy for whoever comes in the middle of it, one write. A copy, so that the pieces
        themselves do not live on, and the next ones need no new memory.
        """
        self._ledger.hand_over(item, len(audio))
        now = self._clock()
        if self._said_ends <= now:
            self._said.clear()
            self._said_ends = now
        elif (heard := len(self._said) - round((self._said_ends - now) * RATE)) > FORGOTTEN:
            del self._said[:heard]
        self._said += audio
        self._said_ends += len(audio) / RATE
        for tap in self.taps:
            tap.engine(audio)
        await self.media.send(audio)

    def tapped(self, tap: Sides) -> None:
        """One more who keeps what is said and heard: from now on, and what was handed over and is not heard yet."""
        self.taps = (*self.taps, tap)
        tap.attach()
        now = self._clock()
        if (left := round((self._said_ends - now) * RATE)) > 0:
            tap.engine(bytes(self._said[-left:]))

    async def finish(self, item: str) -> asyncio.Future[bool]:
        """No more audio of ``item``. The future says True when it was played to its end, False when it was cut off."""
        mark = f"m{next(self._marks)}"
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.closed.is_set():
            future.set_result(False)
            return future
        self._waiting[mark] = (item, future)
        await self.media.mark(mark)
        return future

    async def play(self, audio: bytes, kind: str = "p") -> bool:
        """Play a whole sound and wait for its end; True when it was heard to the end. Cancelling takes it back."""
        item = self.name(kind)
        try:
            await self.send(item, audio)
            return await (await self.finish(item))
        except asyncio.CancelledError:
            if not self.closed.is_set():
                await self.flush()
            raise

    async def flush(self) -> list[Heard]:
        """Silence the line at once; what was cut off, oldest first. What is sent while it runs is not part of it."""
        ledger, self._ledger = self._ledger, Ledger()
        waiting, self._waiting = self._waiting, {}
        cut: list[Heard] | None = None
        self._said.clear()
        self._said_ends = 0.0
        for tap in self.taps:
            tap.hush()
        try:
            cut = ledger.take_back(await self.media.flush())
            self._ledger.goes_on(ledger)
        finally:
            gone = None if cut is None else {heard.item for heard in cut}
            _settle(waiting, gone)
        return cut

    def _reached(self, mark: str) -> None:
        item, future = self._waiting.pop(mark, ("", None))
        if future is not None:
            self._ledger.played_out(item)
            if not future.done():
                future.set_result(True)


def _settle(waiting: _Waiting, cut: set[str] | None) -> None:
    """Nothing more is played of what was waited for: True for what had been heard, None cuts everything."""
    for item, future in waiting.values():
        if not future.done():
            future.set_result(cut is not None and item not in cut)
    waiting.clear()
