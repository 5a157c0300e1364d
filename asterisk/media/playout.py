"""What waits to be played: the audio and the marks that a media leg was given and could not write yet.

Pure: bytes in, bytes out. Every driver keeps one `Backlog`; positions are counted in bytes, so that what was heard is
known exactly and never guessed from the clock.
"""

from __future__ import annotations

from collections import deque

from asterisk.media.leg import BYTES_PER_MS, Format

FRAME_MS = 20

SILENCE: dict[str, bytes] = {"ulaw": b"\xff", "alaw": b"\xd5", "slin": b"\x00", "slin16": b"\x00"}


def frame_bytes(audio_format: Format) -> int:
    """The size of a 20 ms frame, in bytes."""
    return FRAME_MS * BYTES_PER_MS[audio_format]


class Backlog:
    """A stream of audio with marks in it, taken off in whole frames.

    A mark belongs to the place where it was set; set inside a frame, it comes after that frame.
    """

    def __init__(self, audio_format: Format, frame: int) -> None:
        self.frame = frame
        self._silence = SILENCE[audio_format]
        self._audio = bytearray()
        self._taken = 0  # the position in the stream of the first byte of _audio
        self._marks: deque[tuple[int, str]] = deque()  # position, name

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._audio)

    def __bool__(self) -> bool:
        return bool(self._audio or self._marks)

    @property
    def has_frame(self) -> bool:
        """Whether `take` would give something: a whole frame, or a mark with nothing before it."""
        return len(self._audio) >= self.frame or bool(self._marks and self._marks[0][0] <= self._taken)

    def append(self, audio: bytes) -> None:
        """Audio behind what waits already; any length."""
        self._audio += audio

    def mark(self, name: str) -> None:
        """A mark behind the audio that waits."""
        self._marks.append((self._taken + len(self._audio), name))

    def pad(self) -> None:
        """Complete the last frame with silence: nothing follows it."""
        missing = -len(self._audio) % self.frame
        self._audio += self._silence * missing

    def take(self, limit: int) -> list[bytes | str]:
        """At most ``limit`` bytes in whole frames, with the names of the marks that lie in and right behind them."""
        end = self._taken + min(limit, len(self._audio)) // self.frame * self.frame
        taken: list[bytes | str] = []
        while self._marks and self._marks[0][0] <= end:
            position, name = self._marks.popleft()
            self._cut(taken, -(-(position - self._taken) // self.frame) * self.frame)
            taken.append(name)
        self._cut(taken, end - self._taken)
        return taken

    def flush(self) -> int:
        """Forget everything; returns the bytes that were dropped."""
        dropped = len(self._audio)
        self._taken += dropped
        self._audio.clear()
        self._marks.clear()
        return dropped

    def _cut(self, taken: list[bytes | str], size: int) -> None:
        if size > 0:
            taken.append(bytes(self._audio[:size]))
            del self._audio[:size]
            self._taken += size
