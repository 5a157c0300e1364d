"""A virtual media leg: audio that plays in virtual time, counted in samples."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from asterisk.media.leg import Closed, Drained, MarkReached, MediaEvent
from engine.audio import BYTES_PER_MS, RATE
from engine.virtual.log import Log
from engine.virtual.words import Listening, Words

_HALF_A_SAMPLE: Final = 0.5 / RATE


@dataclass(slots=True, eq=False)
class _Sound:
    """An utterance, or another sound, that is playing or will be."""

    words: Words | None
    size: int = 0  # bytes handed over
    complete: bool = False

    @property
    def text(self) -> str:
        return self.words.text if self.words is not None else ""


class VirtualMedia:
    """Satisfies `engine.line.Media`. What ``who`` hears of it is written into the log, in words where it is speech.

    Nothing runs per frame: one timer waits for the next thing that somebody asked to know.
    """

    def __init__(self, who: str, log: Log, format: Literal["ulaw", "alaw"] = "ulaw", latency: float = 0.0) -> None:
        self.who = who
        self.format: Literal["ulaw", "alaw", "slin", "slin16"] = format
        self.closed = False
        self._log = log
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._listening = Listening()
        self._sounds: deque[_Sound] = deque()  # not yet written into the log
        self._points: deque[tuple[float, str | _Sound]] = deque()  # when a mark or the end of a sound is reached
        self._dry_at = 0.0  # when everything handed over is played
        self._playing = False
        self._timer: asyncio.TimerHandle | None = None
        self._events: asyncio.Queue[MediaEvent] = asyncio.Queue()

    async def send(self, audio: bytes) -> None:
        """Play after what was handed over before. Does nothing once the leg is closed."""
        if self.closed or not audio:
            return
        begins = max(self._loop.time(), self._dry_at)
        self._dry_at = begins + len(audio) / RATE
        self._playing = True
        played = 0
        for piece in self._listening.feed(audio):
            sound = self._sounds[-1] if self._sounds else None
            if sound is None or sound.complete or sound.words is not piece.words:
                if sound is not None and sound.words is None:
                    self._ends(sound, begins + played / RATE)
                sound = _Sound(piece.words)
                self._sounds.append(sound)
            sound.size += piece.size
            played += piece.size
            if piece.last:
                self._ends(sound, begins + played / RATE)
        self._arm()

    async def mark(self, name: str) -> None:
        """An event when everything handed over so far was played."""
        if not self.closed:
            self._points.append((max(self._loop.time(), self._dry_at), name))
            self._arm()

    async def flush(self) -> int:
        """Throw away what was not played; returns whole milliseconds, rounded up: what is left was surely heard."""
        self._advance()
        left = max(0, round((self._dry_at - self._loop.time()) * RATE))
        self._silence(left)
        await asyncio.sleep(self._latency)
        return -(-left // BYTES_PER_MS)

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Caller audio, marks reached, drained, closed."""
        while True:
            event = await self._events.get()
            yield event
            if type(event) is Closed:
                return

    async def close(self) -> None:
        """Close; idempotent."""
        self.end("closed by the engine")

    @property
    def is_playing(self) -> bool:
        """Whether something is heard now."""
        return self._playing

    # ── For the virtual line ──────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, audio: bytes) -> None:
        """Audio from the other side."""
        if not self.closed:
            self._events.put_nowait(audio)

    def end(self, reason: str) -> None:
        """The connection is gone: what was not played never will be."""
        if self.closed:
            return
        self._advance()
        self._silence(max(0, round((self._dry_at - self._loop.time()) * RATE)))
        self.closed = True
        self._events.put_nowait(Closed(reason))

    # ── Playing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ends(self, sound: _Sound, at: float) -> None:
        sound.complete = True
        self._points.append((at, sound))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._points or self._playing:
            self._timer = self._loop.call_at(self._points[0][0] if self._points else self._dry_at, self._advance)

    def _advance(self) -> None:
        """Report everything that was reached by now, in order."""
        now = self._loop.time() + _HALF_A_SAMPLE
        while self._points and self._points[0][0] <= now:
            _, reached = self._points.popleft()
            if isinstance(reached, _Sound):
                self._sounds.remove(reached)
                self._heard(reached, 0)
            else:
                self._events.put_nowait(MarkReached(reached))
        if self._playing and self._dry_at <= now:
            self._playing = False
            if (
                self._sounds and self._sounds[-1].words is None
            ):  # a sound ends with silence, an utterance with its last word
                self._heard(self._sounds.pop(), 0)
            self._events.put_nowait(Drained())
        self._arm()

    def _silence(self, left: int) -> None:
        """Nothing more is heard of what was handed over; ``left`` bytes of it are thrown away."""
        gone: list[tuple[_Sound, int]] = []
        for sound in reversed(self._sounds):
            cut = min(left, sound.size)
            left -= cut
            gone.append((sound, cut))
        for sound, cut in reversed(gone):
            self._heard(sound, cut)
        self._sounds.clear()
        self._points.clear()
        self._listening = Listening()
        self._dry_at = self._loop.time()
        self._playing = False
        self._arm()

    def _heard(self, sound: _Sound, cut: int) -> None:
        whole = cut == 0 and (sound.complete or sound.words is None)
        self._log.add(self.who, "heard" if whole else "cut", sound.text, (sound.size - cut) // BYTES_PER_MS)
