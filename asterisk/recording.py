"""Recordings of the sandbox's world: when somebody spoke, when it fell silent, which tone was heard.

Sounds are 8 kHz, 16 bits, mono (what MixMonitor writes); times are seconds from the start of the recording. Pure
Python.
"""

from __future__ import annotations

import array
import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RATE = 8000
FRAME = 0.01  # seconds over which loudness is measured
LOUD = 300.0  # RMS above which a frame holds sound; line noise after µ-law stays below 30


@dataclass(frozen=True, slots=True)
class Track:
    """One direction of a call."""

    samples: array.array[int]

    @classmethod
    def read(cls, path: Path) -> Track:
        """A WAV file. Raises `ValueError` when it is not 8 kHz, 16 bit, mono."""
        with wave.open(str(path)) as sound:
            shape = sound.getframerate(), sound.getsampwidth(), sound.getnchannels()
            if shape != (RATE, 2, 1):
                raise ValueError(f"{path} has {shape[0]} Hz, {shape[1] * 8} bit, {shape[2]} channel(s)")
            return cls(array.array("h", sound.readframes(sound.getnframes())))

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / RATE

    def loudness(self) -> list[float]:
        """RMS of each frame of `FRAME` seconds."""
        size = int(RATE * FRAME)
        return [
            math.sqrt(sum(s * s for s in self.samples[at : at + size]) / size)
            for at in range(0, len(self.samples) - size + 1, size)
        ]

    def bursts(self, gap: float = 0.3) -> list[tuple[float, float]]:
        """When it held sound: (from, to), pauses shorter than ``gap`` not counted."""
        found: list[tuple[float, float]] = []
        for index, loud in enumerate(self.loudness()):
            if loud < LOUD:
                continue
            at = index * FRAME
            if found and at - found[-1][1] <= gap:
                found[-1] = (found[-1][0], at + FRAME)
            else:
                found.append((at, at + FRAME))
        return found

    def part(self, start: float, end: float | None = None) -> Track:
        """A piece of it."""
        return Track(self.samples[int(start * RATE) : None if end is None else int(end * RATE)])

    def tone_share(self, hertz: float) -> float:
        """The share of its energy at one frequency, 0.0 to 1.0 (Goertzel over pieces of 0.1 s; silent pieces do not
        count).
        """
        loud = [piece for piece in self._pieces(800) if sum(s * s for s in piece) / len(piece) > LOUD * LOUD / 10]
        if not loud:
            return 0.0
        return sum(_goertzel(piece, hertz) for piece in loud) / len(loud)

    def _pieces(self, size: int) -> Iterator[array.array[int]]:
        for at in range(0, len(self.samples) - size + 1, size):
            yield self.samples[at : at + size]


def _goertzel(samples: array.array[int], hertz: float) -> float:
    turn = 2 * math.cos(2 * math.pi * hertz / RATE)
    before = now = 0.0
    for sample in samples:
        before, now = now, sample + turn * now - before
    power = now * now + before * before - turn * now * before
    energy = sum(sample * sample for sample in samples)
    return min(1.0, 2 * power / (len(samples) * energy)) if energy else 0.0


def write_stereo(path: Path, left: Track, right: Track) -> None:
    """Both directions in one file, the shorter padded with silence."""
    length = max(len(left.samples), len(right.samples))
    both = array.array("h", bytes(4 * length))
    both[0 : 2 * len(left.samples) : 2] = left.samples
    both[1 : 2 * len(right.samples) : 2] = right.samples
    _write(path, both, 2)


def write(path: Path, track: Track) -> None:
    """One direction as a WAV file."""
    _write(path, track.samples, 1)


def _write(path: Path, samples: array.array[int], channels: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())
