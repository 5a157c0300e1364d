"""Audio for tests without a synthesiser: µ-law tones and silence at 8 kHz."""

from __future__ import annotations

import array
import audioop
import math
from functools import lru_cache

RATE = 8000


@lru_cache(maxsize=64)
def tone(ms: int, hz: float = 440.0, amplitude: int = 8000) -> bytes:
    """A µ-law tone of so many milliseconds."""
    samples = array.array(
        "h", (int(amplitude * math.sin(2 * math.pi * hz * n / RATE)) for n in range(ms * RATE // 1000))
    )
    return audioop.lin2ulaw(samples.tobytes(), 2)


def silence(ms: int) -> bytes:
    """µ-law silence."""
    return b"\xff" * (ms * RATE // 1000)


async def tone_voice(text: str) -> bytes:
    """What the model says when no synthesiser is given: 60 ms of tone for each character."""
    return tone(max(200, 60 * len(text)))


def from_ulaw(audio: bytes, format: str, rate: int = 24000) -> bytes:
    """µ-law at 8 kHz written in a format of the dialect; ``rate`` is that of linear samples."""
    if format == "audio/pcmu":
        return audio
    linear = audioop.ulaw2lin(audio, 2)
    if format == "audio/pcma":
        return audioop.lin2alaw(linear, 2)
    return audioop.ratecv(linear, 2, 1, RATE, rate, None)[0]
