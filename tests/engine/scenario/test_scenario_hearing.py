"""What is measured on the recordings of a test by audio: sound that never came, silence, and voices that talk on."""

from __future__ import annotations

import array
import math

import pytest

from asterisk.recording import RATE, Track
from engine.scenario.hearing import Said, measure

WORDS = Said("Good evening.", 1.0, 3.0, loud=1.6)


def track(seconds: float, *sounds: tuple[float, float]) -> Track:
    """A recording with a tone from and to these seconds."""

    def sample(number: int) -> int:
        sounds_now = any(begins <= number / RATE < ends for begins, ends in sounds)
        return round(8000 * math.sin(2 * math.pi * 440 * number / RATE)) if sounds_now else 0

    return Track(array.array("h", map(sample, range(int(seconds * RATE)))))


def test_words_that_were_played_are_heard() -> None:
    found = measure(track(5), track(5, (1.05, 2.7)), [WORDS], [], [])
    assert found.said == 1
    assert found.mute == ()


@pytest.mark.parametrize("sounds", [(), ((1.05, 1.9),), ((4.0, 5.0),)])
def test_words_that_did_not_arrive_or_half_of_them_are_missed(sounds: tuple[tuple[float, float], ...]) -> None:
    found = measure(track(5), track(5, *sounds), [WORDS], [], [])
    assert [mute.said for mute in found.mute] == [WORDS]
    assert found.mute[0].sound == pytest.approx(1.6)


def test_a_voice_without_a_sound_is_mute_though_all_it_sent_arrived() -> None:
    found = measure(track(5), track(5), [Said("Good evening.", 1.0, 3.0, loud=0.0)], [], [])
    assert found.mute[0].sound == pytest.approx(0.2)


def test_what_was_cut_off_at_once_is_not_measured() -> None:
    assert measure(track(5), track(5), [Said("Good", 1.0, 1.4, loud=0.3)], [], []).mute == ()


def test_the_longest_silence_that_is_owed() -> None:
    found = measure(track(20), track(20, (1.0, 2.0), (9.0, 10.0)), [], [(2.0, 4.0), (10.0, 20.0)], [])
    assert found.silence == pytest.approx((4.0, 9.0))


def test_who_speaks_does_not_wait() -> None:
    found = measure(track(12, (3.0, 6.0)), track(12, (0.0, 2.0), (9.0, 12.0)), [], [], [])
    assert found.silence == pytest.approx((6.0, 9.0)), "the answer came three seconds after the caller's last word"


def test_without_any_sound_all_of_it_is_silence() -> None:
    assert measure(track(3), track(3), [], [], []).longest_silence == pytest.approx(3.0)


def test_how_long_a_voice_talks_on_over_the_caller() -> None:
    found = measure(track(10, (4.1, 6.0)), track(10, (2.0, 4.7), (7.0, 9.0)), [], [], [4.0])
    assert found.overlap == pytest.approx((4.1, 4.7))


def test_what_is_said_after_the_voice_was_silenced_is_another_sound() -> None:
    said, heard = track(10, (4.1, 6.0)), track(10, (2.0, 4.7), (4.8, 6.5))
    assert measure(said, heard, [], [], [4.0], [2.0, 4.8]).overlap == pytest.approx((4.1, 4.8))
    assert measure(said, heard, [], [], [4.0], [2.0]).overlap == pytest.approx((4.1, 6.5)), "nothing silenced it"
    assert measure(said, heard, [], [], [4.0], [2.0, 6.3]).overlap == pytest.approx((4.1, 6.3)), "it was, but too late"


def test_who_speaks_into_silence_is_not_talked_over() -> None:
    assert measure(track(10, (4.1, 6.0)), track(10, (7.0, 9.0)), [], [], [4.0]).longest_overlap == 0
    assert measure(track(10), track(10), [], [], []).overlap is None
