"""A media leg: the audio between Asterisk and the engine for one channel, behind one small protocol.

The leg hides who owns the 20 ms clock: Asterisk (websocket) or the driver itself (audiosocket, rtp). The owner hands
over audio as it comes, faster than real time if it likes; the leg keeps what cannot be written yet, and says what was
played. When nothing is left to play the leg plays silence by itself: the caller's RTP never stops.
Audio is raw bytes in the leg's format (µ-law: 8 bytes a millisecond).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

Format = Literal["ulaw", "alaw", "slin", "slin16"]

BYTES_PER_MS: dict[str, int] = {"ulaw": 8, "alaw": 8, "slin": 16, "slin16": 32}


@dataclass(frozen=True, slots=True)
class MarkReached:
    """Everything sent before ``mark(name)`` was played. A flush cancels the marks behind it: they never come."""

    name: str


@dataclass(frozen=True, slots=True)
class Drained:
    """Everything handed over was played (not said after a flush: what `flush` returns is drained already)."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A digit seen on the media connection itself (ARI reports the caller's digits; do not count both)."""

    digit: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone; the last event. ``reason`` is for the trace; Asterisk was heard ``silent`` s ago."""

    reason: str
    silent: float = 0.0


MediaEvent = bytes | MarkReached | Drained | Dtmf | Closed  # bytes: audio from the caller, usually 20 ms


class MediaLeg(Protocol):
    """Audio to and from one channel."""

    channel_id: str
    format: Format

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone, whoever closed it."""

    async def send(self, audio: bytes) -> None:
        """Hand over audio, of any length, to play after what came before. Does not wait; after close does nothing."""

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` when everything handed over so far was played. Names are short (16 characters)."""

    async def flush(self) -> int:
        """Throw away what was not played yet, wherever it is; returns how many milliseconds that were."""

    def events(self) -> AsyncIterator[MediaEvent]:
        """Caller audio and events, in order, until `Closed`. Iterate once; whoever iterates drives the leg."""

    async def close(self) -> None:
        """Close the connection. Idempotent."""
