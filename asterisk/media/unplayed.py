"""What a media leg was given and has not played: what must be said again when the leg is lost.

Sans-IO. Marks that come back say for sure what was played; between them audio plays at its own speed from the moment
at which it was handed over. Times are seconds of any steady clock.
"""

from __future__ import annotations

import math
from collections import deque

from asterisk.media.leg import BYTES_PER_MS, Format
from asterisk.media.playout import frame_bytes

KEPT_S = 3.0  # audio that was played is kept so long: that its leg was silent is noticed 2 s later
_NOTHING = 1e-3  # ms, by which sums of seconds err
FORGOTTEN_S = 1.0  # what is older is forgotten in pieces, for it costs the moving of the rest


class Unplayed:
    """The account of one call's audio over all its legs, one after the other."""

    def __init__(self, audio_format: Format) -> None:
        self.owes_drained = False
        """Audio was handed over, and nobody was told yet that it was played to its end."""
        self._per_ms = BYTES_PER_MS[audio_format]
        self._rate = self._per_ms * 1000  # bytes per second
        self._frame = frame_bytes(audio_format)
        self._kept = bytearray()  # a copy: pieces that live on would have each new one take new memory
        self._first = 0  # the position at which it begins
        self._step = int(FORGOTTEN_S * self._rate)
        self._most = self._most_at_first = int(KEPT_S * self._rate) + self._step  # bytes
        self._marks: deque[tuple[int, str]] = deque()  # the position before which they stand
        self._written = 0
        self._surely = 0  # this much was played, whatever the time
        self._ends = 0.0  # when all of it will have been

    def audio(self, audio: bytes, now: float) -> None:
        """Audio was handed over."""
        if now > self._ends:
            self._surely, self._ends = self._written, now
        self._written += len(audio)
        self._ends += len(audio) / self._rate
        self._kept += audio
        self.owes_drained = True
        if len(self._kept) > self._most:
            self._forget(self.played(now - KEPT_S))

    def mark(self, name: str) -> None:
        """A mark was set behind everything handed over."""
        self._marks.append((self._written, name))

    def reached(self, name: str, now: float) -> None:
        """A mark came back: everything before it was played."""
        if not any(mark == name for _, mark in self._marks):
            return
        while True:
            position, mark = self._marks.popleft()
            if mark == name:
                self._surely = position
                self._ends = now + (self._written - position) / self._rate
                return

    def drained(self) -> None:
        """Everything was played, and whoever asked was told."""
        self.owes_drained = False

    def played(self, at: float) -> int:
        """Bytes that had been played at a time, by this account."""
        left = math.ceil((self._ends - at) * 1000 - _NOTHING) * self._per_ms
        return max(self._surely, self._written - max(0, left))

    def flush(self, now: float) -> int:
        """All of it was taken back; returns how many milliseconds had not been played."""
        rest = self._written - self.played(now)
        self._marks.clear()
        self._kept.clear()
        self._most = self._most_at_first
        self._first = self._surely = self._written
        self._ends = now
        self.owes_drained = False
        return rest // self._per_ms

    def again(self, lost_at: float, now: float) -> list[bytes | str]:
        """What to give to the next leg, in order: what was not played when this one was lost, and marks that wait."""
        played = self.played(lost_at)
        if played < self._written:
            played -= played % self._frame
        rest: list[bytes | str] = []
        at = max(played, self._first)
        for position, name in self._marks:
            if position > at:
                rest.append(self._between(at, position))
                at = position
            rest.append(name)
        if self._written > at:
            rest.append(self._between(at, self._written))
        self._surely, self._ends = played, now + (self._written - played) / self._rate
        return rest

    def _between(self, begin: int, end: int) -> bytes:
        return bytes(self._kept[begin - self._first : end - self._first])

    def _forget(self, played: int) -> None:
        gone = max(0, min(played - self._first, len(self._kept)))
        del self._kept[:gone]
        self._first += gone
        self._most = len(self._kept) + self._step
