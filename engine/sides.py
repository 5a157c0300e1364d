"""Both sides of a call as they are heard, in time: for who records it and for who listens.

What the caller says arrives as it is said; what the engine plays is handed over ahead and heard later, or never. Here
both get their places on one clock, counted in samples (8 kHz G.711: a byte each).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from engine.audio import BYTES_PER_MS, RATE, SILENCE


class Track:
    """One side of a recording: pieces of G.711 at their places, counted in samples."""

    def __init__(self, silence: bytes) -> None:
        self.end = 0
        self._silence = silence
        self._pieces: deque[tuple[int, bytes]] = deque()

    def put(self, at: int, audio: bytes) -> None:
        """Audio at a place that is not before the end of what is there."""
        self._pieces.append((at, audio))
        self.end = at + len(audio)

    def cut(self, at: int) -> None:
        """Whatever comes later than this was never heard."""
        while self._pieces and self._pieces[-1][0] + len(self._pieces[-1][1]) > at:
            start, audio = self._pieces.pop()
            if start < at:
                self._pieces.append((start, audio[: at - start]))
        self.end = min(self.end, at)

    def take(self, start: int, end: int) -> bytes:
        """What is between two places, silence in the gaps. Nothing before ``end`` can be asked for again."""
        window = bytearray(self._silence * (end - start))
        while self._pieces and self._pieces[0][0] < end:
            at, audio = self._pieces.popleft()
            if at + len(audio) > end:
                self._pieces.appendleft((end, audio[end - at :]))
                audio = audio[: end - at]
            if at < start:
                at, audio = start, audio[start - at :]
            window[at - start : at - start + len(audio)] = audio
        return bytes(window)


class Sides:
    """The caller on one side, whoever the caller hears on the other. It is a tap of a `engine.playout.Playout`.

    Its clock stands still while it is paused and while it is not attached: neither has a place. ``late_ms``: audio as
    it is said that comes later than this after the last was not late: there was a gap.
    """

    def __init__(self, law: str, clock: Callable[[], float], late_ms: int) -> None:
        self.paused = False
        self._clock = clock
        self._late = late_ms * BYTES_PER_MS
        self.attached = False  # there is audio
        self._since: float | None = None  # when the clock was started; None: it stands still
        self._counted = 0  # samples until then
        self._caller, self._other = Track(SILENCE[law]), Track(SILENCE[law])

    # ── What is heard ─────────────────────────────────────────────────────────────────────────────────────────────────

    def caller(self, audio: bytes) -> None:
        """The caller's audio, as it arrives."""
        self._arrives(self._caller, audio)

    def other(self, audio: bytes) -> None:
        """The other side's audio, as it arrives."""
        self._arrives(self._other, audio)

    def engine(self, audio: bytes) -> None:
        """Audio that was handed to the line; it is heard when everything before it has been."""
        if self._since is not None:
            self._other.put(max(self.now(), self._other.end), audio)

    def hush(self) -> None:
        """What was handed over and not heard by now never will be."""
        self._other.cut(self.now())

    def take(self, start: int, end: int) -> tuple[bytes, bytes]:
        """The caller and the other side between two places, silence in the gaps; never asked for again."""
        return self._caller.take(start, end), self._other.take(start, end)

    def _arrives(self, track: Track, audio: bytes) -> None:
        if self._since is None:
            return
        begins = self.now() - len(audio)
        if begins - track.end > self._late:
            track.put(begins, audio)
        elif track.end - begins < self._late:
            track.put(track.end, audio)

    # ── When ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def attach(self) -> None:
        """There is audio from now on."""
        self.attached = True
        self._turn()

    def gone(self) -> None:
        """There is none any more."""
        self.attached = False
        self._turn()

    def pause(self) -> None:
        """Nothing is kept from now on."""
        self.paused = True
        self._turn()

    def resume(self) -> None:
        """Everything is kept again; what was handed to the line meanwhile is not."""
        self.paused = False
        self._turn()

    def _turn(self) -> None:
        """Start or stop the clock."""
        runs = self.attached and not self.paused
        if runs and self._since is None:
            self._since = self._clock()
        elif not runs and self._since is not None:
            self._counted, self._since = self.now(), None
            self.hush()

    def now(self) -> int:
        """Where its clock stands, in samples."""
        return self._counted if self._since is None else self._counted + round((self._clock() - self._since) * RATE)
