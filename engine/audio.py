"""Telephone audio: G.711, tones, prompts from files, and the playout ledger.

Everything that is played is 8 kHz G.711 in the line's own law; one byte is one sample and 8 bytes are one millisecond.
"""

from __future__ import annotations

import audioop
import io
import math
import struct
import wave
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Law = Literal["ulaw", "alaw"]

RATE = 8000
BYTES_PER_MS = 8
SILENCE: dict[str, bytes] = {"ulaw": b"\xff", "alaw": b"\xd5"}


class AudioError(ValueError):
    """A sound cannot be used; the text says which and how to convert it."""


def encode(pcm: bytes, law: str) -> bytes:
    """Linear 16-bit little-endian samples to G.711."""
    return audioop.lin2ulaw(pcm, 2) if law == "ulaw" else audioop.lin2alaw(pcm, 2)


def decode(audio: bytes, law: str) -> bytes:
    """G.711 to linear 16-bit little-endian samples."""
    return audioop.ulaw2lin(audio, 2) if law == "ulaw" else audioop.alaw2lin(audio, 2)


def silence(ms: int, law: str) -> bytes:
    """So many milliseconds of nothing."""
    return SILENCE[law] * (ms * BYTES_PER_MS)


def tone(frequencies: tuple[float, ...], ms: int, law: str, level: float = 0.1) -> bytes:
    """A tone of one or more frequencies (Hz); ``level`` is each one's amplitude, 1.0 being full scale."""
    count = RATE * ms // 1000
    steps = [2 * math.pi * f / RATE for f in frequencies]
    peak = level * 32767
    samples = [int(peak * sum(math.sin(step * n) for step in steps)) for n in range(count)]
    return encode(struct.pack(f"<{count}h", *samples), law)


def ringback(law: str) -> bytes:
    """One cycle of the North American ringback tone: 440 + 480 Hz, 2 s on, 4 s off (ITU-T E.180 supplement 2)."""
    return tone((440.0, 480.0), 2000, law) + silence(4000, law)


def reorder(law: str) -> bytes:
    """One cycle of the North American reorder tone ("it cannot be done now"): 480 + 620 Hz, 0.25 s on, 0.25 s off."""
    return tone((480.0, 620.0), 250, law) + silence(250, law)


def to_wav(audio: bytes, law: str) -> bytes:
    """G.711 as the content of a WAV file (8 kHz, mono, 16-bit linear)."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(decode(audio, law))
    return file.getvalue()


def from_wav(data: bytes, law: str, name: str = "sound") -> bytes:
    """A WAV file's content (8 kHz, mono, 16-bit linear) as G.711. Raises `AudioError`."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            rate, width, channels = sound.getframerate(), sound.getsampwidth(), sound.getnchannels()
            pcm = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise AudioError(f"{name} is not a WAV file with linear samples ({error}); convert it: "
                         f"sox in.wav -r 8000 -c 1 -b 16 out.wav") from error  # fmt: skip
    if (rate, width, channels) != (RATE, 2, 1):
        raise AudioError(
            f"{name} has {rate} Hz, {width * 8} bit, {channels} channel(s); the telephone takes 8000 Hz, 16 bit, mono: "
            f"sox in.wav -r 8000 -c 1 -b 16 out.wav"
        )
    return encode(pcm, law)


def load(path: Path, law: str) -> bytes:
    """A sound file as `from_file` reads it. Raises `AudioError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from error
    return from_file(path, data, law)


def from_file(path: Path, data: bytes, law: str) -> bytes:
    """What a sound file holds: ``.wav`` (see `from_wav`), or raw G.711 named ``.ulaw`` or ``.alaw``. (`AudioError`)"""
    if path.suffix in (".ulaw", ".alaw"):
        own = path.suffix[1:]
        return data if own == law else encode(decode(data, own), law)
    return from_wav(data, law, str(path))


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of one item reached the caller before it was cut off."""

    item: str
    played_ms: int
    total_ms: int  # what had been handed over


class Ledger:
    """What was handed over to the line, item by item, and what of it was really heard.

    It counts bytes that were handed over and bytes that a flush took back, never the wall clock; so it cannot claim
    more than was received, and truncation, hang-up after the last word and hand-off after the announcement all agree.
    """

    def __init__(self, bytes_per_ms: int = BYTES_PER_MS) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._items: deque[list[str | int]] = deque()  # [item, bytes], oldest first
        self._last: list[str | int] = ["", 0]
        self._heard: dict[str, int] = {}  # bytes of an item that were heard before a flush; it may go on after it

    def goes_on(self, before: Ledger) -> None:
        """This ledger follows that one, which a flush has ended."""
        self._heard = {**before._heard, **self._heard}

    def hand_over(self, item: str, size: int) -> None:
        """So many bytes of ``item`` were handed to the line."""
        last = self._last
        if last[0] == item:
            last[1] += size  # type: ignore[operator]
        else:
            self._last = [item, size]
            self._items.append(self._last)

    def played_out(self, item: str) -> None:
        """Everything up to the end of ``item`` was played."""
        self._heard.pop(item, None)
        while any(entry[0] == item for entry in self._items):
            if self._items.popleft()[0] == item:
                break
        if not self._items:
            self._last = ["", 0]

    def take_back(self, discarded_ms: int) -> list[Heard]:
        """A flush threw so many milliseconds away: which items it cut, oldest first. The ledger is empty afterwards."""
        left = discarded_ms * self._bytes_per_ms
        entries: list[tuple[str, int, int]] = []
        for name, size in reversed(self._items):
            assert isinstance(size, int)
            gone = min(left, size)
            left -= gone
            entries.append((str(name), size, gone))
        cut: list[Heard] = []
        for item, size, gone in reversed(entries):
            total = self._heard.get(item, 0) + size
            self._heard[item] = total - gone
            if gone:
                cut.append(Heard(item, (total - gone) // self._bytes_per_ms, total // self._bytes_per_ms))
        self._items.clear()
        self._last = ["", 0]
        return cut
