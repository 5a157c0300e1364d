import array
import audioop
import math

import pytest

from providers.sound import decode, encode, read_wav, to_line_rate
from providers.voice import ALAW, ULAW


def sine(hz: float, rate: int, ms: int = 500) -> bytes:
    samples = (int(10000 * math.sin(2 * math.pi * hz * n / rate)) for n in range(rate * ms // 1000))
    return array.array("h", samples).tobytes()


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_a_tone_of_the_telephone_band_keeps_its_length_and_level(rate: int) -> None:
    out = to_line_rate(sine(1000, rate), rate)
    assert len(out) // 2 == pytest.approx(4000, abs=2)
    assert audioop.rms(out, 2) == pytest.approx(7071, rel=0.05)


@pytest.mark.parametrize("rate", [16000, 22050])
def test_what_8_khz_cannot_hold_is_removed_instead_of_folded(rate: int) -> None:
    assert audioop.rms(to_line_rate(sine(5500, rate), rate), 2) < 7071 * 0.06


@pytest.mark.parametrize("format", [ULAW, ALAW])
def test_g711_there_and_back(format: object) -> None:
    pcm = sine(440, 8000)
    assert audioop.rms(audioop.add(decode(encode(pcm, format), format), audioop.mul(pcm, 2, -1), 2), 2) < 250  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"RIFF", b"not a wav at all, but long enough to be read as one" * 2])
def test_what_is_no_wav_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        read_wav(data)
