"""Stamped frames: 20 ms of µ-law that say who made them, when, and as the how-manyeth.

Nothing on the way transcodes, so the bytes that go in come out, and any process of the machine can tell from one frame
how long it was under way and whether one is missing before it.
"""

from __future__ import annotations

import array
import time
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from bench.figures import spread

FRAME_MS = 20
FRAME_BYTES = 160
LATE_NS = 80_000_000
MAGIC = b"hkflsh"  # six bytes: eight characters of base64
MAGIC_BASE64 = b2a_base64(MAGIC, newline=False)
_LAYOUT = Struct(">6sQIIxx")  # magic, ns of the monotonic clock, who, number
STAMP_BYTES = _LAYOUT.size  # 24
STAMP_BASE64 = STAMP_BYTES // 3 * 4
_REST = b"\xff" * (FRAME_BYTES - STAMP_BYTES)
_QUIET = Struct(">4sQII")  # 160 bits, one for each sample of a frame
_ZEROES = bytes.maketrans(b"01", b"\xff\x7f")  # µ-law has two of them
_DIGITS = bytes.maketrans(b"\xff\x7f", b"01")
now_ns = time.monotonic_ns


def stamp(who: int, number: int) -> bytes:
    """A frame made now."""
    return _LAYOUT.pack(MAGIC, now_ns(), who, number) + _REST


def read(frame: bytes) -> tuple[int, int, int] | None:
    """(ns when it was made, who made it, its number), None for any other audio."""
    if frame[:6] != MAGIC or len(frame) < STAMP_BYTES:
        return None
    _, made, who, number = _LAYOUT.unpack_from(frame)
    return made, who, number


def quiet(who: int, number: int) -> bytes:
    """A frame made now that is silence to whoever listens: its samples are the two zeroes of µ-law."""
    bits = int.from_bytes(_QUIET.pack(MAGIC[:4], now_ns(), who, number))
    return format(bits, "0160b").encode().translate(_ZEROES)


def read_quiet(frame: bytes) -> tuple[int, int, int] | None:
    """As `read`, of a frame that `quiet` made."""
    digits = frame.translate(_DIGITS)
    if len(digits) != FRAME_BYTES or digits.strip(b"01"):
        return None
    magic, made, who, number = _QUIET.unpack(int(digits, 2).to_bytes(_QUIET.size))
    return (made, who, number) if magic == MAGIC[:4] else None


@dataclass(slots=True)
class Tally:
    """What arrived from one sender since the last `reset`: frames, those that are missing, and how old they were."""

    frames: int = 0
    lost: int = 0  # sent and never arrived
    filler: int = 0  # silence that arrived where a frame was due
    late: int = 0  # arrived so long after the one before that a jitter buffer of 60 ms had run dry
    last: int = -1  # number; -1 before the first
    last_ns: int = 0  # when anything arrived
    ages: array.array[int] = field(default_factory=lambda: array.array("I"))  # µs

    def note(self, made: int, number: int, now: int) -> None:
        """One stamped frame."""
        self.frames += 1
        if self.last >= 0:
            self.lost += max(0, number - self.last - 1)
            self.late += now - self.last_ns > LATE_NS
        self.last, self.last_ns = number, now
        self.ages.append(max(0, now - made) // 1000)

    def fill(self, now: int) -> None:
        """One frame that is not stamped."""
        self.filler += 1
        self.last_ns = now

    def reset(self) -> None:
        """Count anew, without forgetting what came last."""
        self.frames = self.lost = self.filler = self.late = 0
        self.ages = array.array("I")


def total(tallies: Sequence[Tally]) -> dict[str, Any]:
    """All of them together, as JSON takes it; ages in ms."""
    counted = {name: sum(getattr(tally, name) for tally in tallies) for name in ("frames", "lost", "filler", "late")}
    return counted | {"age_ms": spread([age / 1000 for tally in tallies for age in tally.ages])}
