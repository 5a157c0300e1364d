"""What the telephone's 8 kHz lose and gain on the way to a voice of another rate."""

from __future__ import annotations

import math
import random
import struct

import pytest

from providers.resample import Divider, Doubler

AMPLITUDE = 16000


def sine(hz: float, rate: int, seconds: float = 0.25) -> bytes:
    count = round(rate * seconds)
    return struct.pack(f"<{count}h", *(round(AMPLITUDE * math.sin(2 * math.pi * hz * n / rate)) for n in range(count)))


def decibels(pcm: bytes, rate: int, hz: float) -> float:
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)[rate // 40 :]
    angle = 2 * math.pi * hz / rate
    real = sum(sample * math.cos(angle * n) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(angle * n) for n, sample in enumerate(samples))
    return 20 * math.log10(max(1e-6, 2 * math.hypot(real, imaginary) / len(samples) / AMPLITUDE))


@pytest.mark.parametrize("hz", [300, 1000, 2400, 3400])
def test_speech_goes_up_unchanged_and_without_images(hz: int) -> None:
    up = Doubler().feed(sine(hz, 8000))
    assert decibels(up, 16000, hz) == pytest.approx(0, abs=0.2)
    assert decibels(up, 16000, 8000 - hz) < -50


@pytest.mark.parametrize("hz", [300, 1000, 2400, 3400])
def test_speech_comes_down_unchanged(hz: int) -> None:
    assert decibels(Divider().feed(sine(hz, 24000)), 8000, hz) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("hz", [4700, 5600, 7000, 9000, 11500])
def test_what_8_khz_cannot_hold_does_not_come_back_as_something_else(hz: int) -> None:
    alias = min(hz % 8000, 8000 - hz % 8000)
    assert decibels(Divider().feed(sine(hz, 24000)), 8000, alias) < -45


@pytest.mark.parametrize(("make", "rate"), [(Doubler, 8000), (Divider, 24000)])
def test_pieces_make_no_difference(make: type[Doubler] | type[Divider], rate: int) -> None:
    pcm, chance, whole, piecewise = sine(900, rate), random.Random(1), make(), make()
    pieces, start = b"", 0
    while start < len(pcm):
        size = 2 * chance.randint(0, 200)
        pieces += piecewise.feed(pcm[start : start + size])
        start += size
    assert pieces == whole.feed(pcm)


@pytest.mark.parametrize(("make", "rate", "out"), [(Doubler, 8000, 16000), (Divider, 24000, 8000)])
def test_audio_is_held_back_a_millisecond_and_a_half_at_most(
    make: type[Doubler] | type[Divider], rate: int, out: int
) -> None:
    click = bytearray(rate // 5)
    click[rate // 10 : rate // 10 + 2] = struct.pack("<h", 20000)  # at 50 ms
    samples = struct.unpack(f"<{len(found) // 2}h", found) if (found := make().feed(bytes(click))) else ()
    loudest = max(range(len(samples)), key=lambda n: abs(samples[n]))
    produced_by = (loudest + 1) / out  # when that sample can leave, had the audio come sample by sample
    lookahead = make.HALF / rate
    assert produced_by - 0.050 <= 0.0016
    assert lookahead < 0.0015
