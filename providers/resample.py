"""Streaming between the telephone's 8 kHz and the rates of voices that know no G.711.

Symmetric low-passes (Kaiser window), polyphase, so that nothing is computed that is thrown away. The C loops of
`audioop` run over whole frames; a frame of 20 ms costs tens of microseconds. Delay: half a filter, 1.4 ms at most.
A streaming resampler of high quality such as soxr holds audio back 120 to 160 ms (measured), which a caller hears.
"""

from __future__ import annotations

import array
import audioop
import math
import sys

EDGE = 3500.0  # Hz: what a telephone carries
STOP = 4500.0  # Hz: from here on a tone would come back below EDGE as an alias
BETA = 5.0  # Kaiser: about 55 dB
_SWAP = sys.byteorder == "big"


def low_pass(rate: int, half: int) -> list[float]:
    """The right half of a symmetric low-pass between EDGE and STOP at ``rate`` Hz, from its middle on."""
    cutoff = (EDGE + STOP) / 2 / rate

    def tap(x: int) -> float:
        sinc = 2 * cutoff if x == 0 else math.sin(2 * math.pi * cutoff * x) / (math.pi * x)
        return sinc * _bessel(BETA * math.sqrt(1 - (x / (half + 1)) ** 2)) / _bessel(BETA)

    taps = [tap(x) for x in range(half + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    return [each / total for each in taps]


def _bessel(x: float) -> float:
    """The modified Bessel function I0."""
    term = total = 1.0
    for k in range(1, 30):
        term *= (x / 2 / k) ** 2
        total += term
    return total


class Doubler:
    """8 kHz to 16 kHz linear samples. Between two samples stands what the low-pass makes of the eleven on each side."""

    HALF = 11  # samples at 8 kHz on each side: 1.4 ms of delay

    def __init__(self) -> None:
        self._past = bytes(2 * self.HALF * 4)
        taps = low_pass(16000, 2 * self.HALF - 1)
        self._taps = [2 * taps[x] for x in range(1, 2 * self.HALF, 2)]
        # the middle phase of a half-band filter is the sample itself

    def feed(self, pcm: bytes) -> bytes:
        """Linear samples (little-endian, 16 bit) of any length; twice as many come back."""
        if not pcm:
            return b""
        wide = self._past + audioop.lin2lin(pcm, 2, 4)
        self._past = wide[-2 * self.HALF * 4 :]
        length = len(pcm) * 2
        between = bytes(length)
        for k, tap in enumerate(self._taps):
            left, right = (self.HALF - 1 - k) * 4, (self.HALF + k) * 4
            both = audioop.add(
                audioop.mul(wide[left : left + length], 4, 0.5), audioop.mul(wide[right : right + length], 4, 0.5), 4
            )
            between = audioop.add(between, audioop.mul(both, 4, 2 * tap), 4)
        start = (self.HALF - 1) * 4
        out = array.array("h", bytes(len(pcm) * 2))
        out[0::2] = array.array("h", audioop.lin2lin(wide[start : start + length], 4, 2))
        out[1::2] = array.array("h", audioop.lin2lin(between, 4, 2))
        return out.tobytes()


class Divider:
    """24 kHz to 8 kHz linear samples: low-pass, then every third."""

    HALF = 32  # samples at 24 kHz on each side: 1.3 ms of delay

    def __init__(self) -> None:
        self._taps = low_pass(24000, self.HALF)
        self._past = bytes(2 * self.HALF * 2)

    def feed(self, pcm: bytes) -> bytes:
        """Linear samples of any length; a third comes back, what does not fit waits for the next."""
        data = self._past + pcm
        count = (len(data) // 2 - 2 * self.HALF) // 3
        if count <= 0:
            self._past = data
            return b""
        self._past = data[count * 6 :]
        samples = array.array("h", data[: (2 * self.HALF + 3 * count) * 2])
        phases = [audioop.lin2lin(samples[phase::3].tobytes(), 2, 4) for phase in range(3)]

        def at(offset: int) -> bytes:
            start = offset // 3 * 4
            return phases[offset % 3][start : start + count * 4]

        out = audioop.mul(at(self.HALF), 4, self._taps[0])
        for x in range(1, self.HALF + 1):
            both = audioop.add(audioop.mul(at(self.HALF - x), 4, 0.5), audioop.mul(at(self.HALF + x), 4, 0.5), 4)
            out = audioop.add(out, audioop.mul(both, 4, 2 * self._taps[x]), 4)
        return audioop.lin2lin(out, 4, 2)
