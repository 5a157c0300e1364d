from __future__ import annotations

import io
import math
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.audio import AudioError, Heard, Ledger, decode, encode, from_wav, load, ringback, silence, tone


def wav(rate: int = 8000, width: int = 2, channels: int = 1, frames: bytes = b"\x00\x10" * 80) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setframerate(rate)
        sound.setsampwidth(width)
        sound.setnchannels(channels)
        sound.writeframes(frames)
    return data.getvalue()


def power(audio: bytes, law: str, frequency: float) -> float:
    """The share of a frequency (Goertzel), relative to a full-scale sine."""
    samples = [value / 32768 for (value,) in struct.iter_unpack("<h", decode(audio, law))]
    step = 2 * math.pi * frequency / 8000
    real = sum(value * math.cos(step * n) for n, value in enumerate(samples))
    imaginary = sum(value * math.sin(step * n) for n, value in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / len(samples)


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_g711_there_and_back(law: str) -> None:
    pcm = struct.pack("<7h", -32000, -5000, -10, 0, 10, 5000, 32000)
    back = struct.unpack("<7h", decode(encode(pcm, law), law))
    for sent, heard in zip(struct.unpack("<7h", pcm), back, strict=True):
        assert abs(sent - heard) <= max(16, abs(sent) * 0.04)


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_silence_is_silent(law: str) -> None:
    assert len(silence(20, law)) == 160
    assert max(abs(value) for (value,) in struct.iter_unpack("<h", decode(silence(20, law), law))) <= 8


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_ringback_is_two_tones_for_two_seconds_and_four_of_silence(law: str) -> None:
    audio = ringback(law)
    assert len(audio) == 6000 * 8
    assert power(audio[: 2000 * 8], law, 440) == pytest.approx(0.1, abs=0.01)
    assert power(audio[: 2000 * 8], law, 480) == pytest.approx(0.1, abs=0.01)
    assert power(audio[: 2000 * 8], law, 700) < 0.01
    assert audio[2000 * 8 :] == silence(4000, law)


def test_a_tone_has_its_frequency_and_level() -> None:
    assert power(tone((1000.0,), 100, "ulaw", 0.5), "ulaw", 1000) == pytest.approx(0.5, abs=0.01)


def test_a_wav_file_becomes_the_lines_own_law(tmp_path: Path) -> None:
    file = tmp_path / "hello.wav"
    file.write_bytes(wav())
    assert load(file, "ulaw") == encode(b"\x00\x10" * 80, "ulaw")
    assert load(file, "alaw") == encode(b"\x00\x10" * 80, "alaw")


def test_raw_g711_passes_or_changes_its_law(tmp_path: Path) -> None:
    file = tmp_path / "hello.ulaw"
    file.write_bytes(b"\x00\x80\xff")
    assert load(file, "ulaw") == b"\x00\x80\xff"
    assert load(file, "alaw") == encode(decode(b"\x00\x80\xff", "ulaw"), "alaw")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wav(rate=44100), r"44100 Hz.*sox"),
        (wav(channels=2), r"2 channel.*sox"),
        (wav(width=1, frames=b"\x80" * 80), r"8 bit.*sox"),
        (b"ID3 something else", r"not a WAV file.*sox"),
        (b"", r"not a WAV file"),
    ],
)
def test_a_sound_that_cannot_be_used_says_how_to_convert_it(data: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        from_wav(data, "ulaw", "hello.wav")


def test_a_sound_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: No such file"):
        load(tmp_path / "gone.wav", "ulaw")


# ── The ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_flush_cuts_from_the_end() -> None:
    ledger = Ledger()
    for item, ms in (("a", 100), ("b", 200), ("b", 100), ("c", 50)):
        ledger.hand_over(item, ms * 8)
    assert ledger.take_back(150) == [Heard("b", 200, 300), Heard("c", 0, 50)]
    assert ledger.take_back(150) == []


def test_what_was_played_out_cannot_be_taken_back() -> None:
    ledger = Ledger()
    ledger.hand_over("a", 800)
    ledger.hand_over("b", 800)
    ledger.played_out("a")
    assert ledger.take_back(150) == [Heard("b", 0, 100)]


def test_the_end_of_an_item_is_the_end_of_all_before_it() -> None:
    ledger = Ledger()
    for item in "abc":
        ledger.hand_over(item, 800)
    ledger.played_out("b")
    ledger.played_out("a")  # long gone
    assert ledger.take_back(1000) == [Heard("c", 0, 100)]


def test_nothing_thrown_away_nothing_cut() -> None:
    ledger = Ledger()
    ledger.hand_over("a", 800)
    assert ledger.take_back(0) == []


def test_an_item_that_went_on_after_it_was_played_counts_what_is_outstanding() -> None:
    ledger = Ledger()
    ledger.hand_over("a", 800)
    ledger.played_out("a")
    ledger.hand_over("a", 1600)
    assert ledger.take_back(50) == [Heard("a", 150, 200)]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 4000)), max_size=12), st.integers(0, 3000))
def test_played_and_discarded_are_what_was_handed_over(handed: list[tuple[str, int]], discarded_ms: int) -> None:
    ledger = Ledger()
    for item, size in handed:
        ledger.hand_over(item, size)
    total = sum(size for _, size in handed)
    cut = ledger.take_back(discarded_ms)
    gone = sum(heard.total_ms - heard.played_ms for heard in cut)
    assert gone <= discarded_ms + len(cut)
    if discarded_ms * 8 <= total:
        assert gone >= discarded_ms - len(cut)  # each entry is rounded to whole milliseconds
    for heard in cut:
        assert 0 <= heard.played_ms <= heard.total_ms
        assert heard.total_ms * 8 <= sum(size for item, size in handed if item == heard.item)
