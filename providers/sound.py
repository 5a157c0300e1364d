"""Samples: G.711 and linear PCM, and bringing a synthesiser's output down to the telephone's 8 kHz.

Everything here runs over whole prompts or single frames with the C loops of `audioop` (`audioop-lts` from Python 3.13
on). Linear samples are little-endian signed 16 bit.
"""

from __future__ import annotations

import array
import audioop
import io
import math
import wave
from functools import lru_cache

from providers.voice import AudioFormat

LINE_RATE = 8000  # Hz
TAPS = 23  # of the low-pass: 1.4 ms at 16 kHz


def decode(audio: bytes, format: AudioFormat) -> bytes:
    """Linear samples of audio in ``format``."""
    if format.encoding == "ulaw":
        return audioop.ulaw2lin(audio, 2)
    if format.encoding == "alaw":
        return audioop.alaw2lin(audio, 2)
    return audio


def encode(pcm: bytes, format: AudioFormat) -> bytes:
    """Linear samples written in ``format`` (their rate is the caller's business)."""
    if format.encoding == "ulaw":
        return audioop.lin2ulaw(pcm, 2)
    if format.encoding == "alaw":
        return audioop.lin2alaw(pcm, 2)
    return pcm


def read_wav(data: bytes) -> tuple[bytes, int]:
    """Linear mono samples and their rate from a RIFF file that a synthesiser wrote.

    Raises:
        ValueError: not a mono 16-bit WAV.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise ValueError(f"expected mono 16 bit, found {file.getnchannels()} x {file.getsampwidth() * 8} bit")
            return file.readframes(file.getnframes()), file.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV file: {error}") from error


@lru_cache(maxsize=8)
def _low_pass(rate: int) -> tuple[float, ...]:
    """A windowed-sinc low-pass at 3.6 kHz; the gain at 0 Hz is 1."""
    middle = TAPS // 2
    cutoff = 3600 / rate
    taps = []
    for index in range(TAPS):
        x = index - middle
        sinc = 2 * cutoff if x == 0 else math.sin(2 * math.pi * cutoff * x) / (math.pi * x)
        taps.append(sinc * (0.54 + 0.46 * math.cos(math.pi * x / (middle + 1))))
    total = sum(taps)
    return tuple(tap / total for tap in taps)


def to_line_rate(pcm: bytes, rate: int) -> bytes:
    """Linear samples at 8 kHz from linear samples at ``rate`` Hz (8000 or more).

    A short symmetric FIR removes what 8 kHz cannot hold, then samples are dropped (16 kHz) or interpolated (22.05
    kHz). The delay of the filter is taken out again, so a prompt keeps its length.
    """
    if rate == LINE_RATE or not pcm:
        return pcm
    wide = audioop.lin2lin(pcm, 2, 4)
    padding = bytes(TAPS // 2 * 4)
    wide = padding + wide + padding
    length = len(pcm) * 2
    filtered = bytes(length)
    for index, tap in enumerate(_low_pass(rate)):
        filtered = audioop.add(filtered, audioop.mul(wide[index * 4 : index * 4 + length], 4, tap), 4)
    narrow = audioop.lin2lin(filtered, 4, 2)
    if rate % LINE_RATE == 0:
        return array.array("h", narrow)[:: rate // LINE_RATE].tobytes()
    return audioop.ratecv(narrow, 2, 1, rate, LINE_RATE, None)[0]
