"""When a caller's turn begins and ends."""

import pytest

from providers.hearing import FINAL_WITHIN, NOISE_AFTER, WORDS_WITHIN, Hearing, Sign, TurnOver
from providers.voice import SpeechStarted, SpeechStopped, UserText

STARTED, STOPPED = SpeechStarted(), SpeechStopped()


def partial(text: str, item: str = "a") -> UserText:
    return UserText(text, final=False, item=item)


def final(text: str, item: str = "a") -> UserText:
    return UserText(text, item=item)


def test_a_turn_ends_when_the_caller_is_quiet_and_all_is_written() -> None:
    hearing = Hearing()
    assert hearing.loudness(True, 1.0) == [STARTED]
    assert hearing.recognised(SpeechStarted(), 1.2) == []
    assert hearing.recognised(partial("good"), 1.4) == [partial("good")]
    assert hearing.deadline() is None
    assert hearing.loudness(False, 2.0) == [STOPPED]
    assert hearing.recognised(final("Good day."), 2.1) == [final("Good day."), TurnOver("Good day.")]
    assert not hearing.in_turn
    assert hearing.deadline() is None


def test_what_was_written_before_a_pause_waits_for_the_rest() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    assert hearing.recognised(final("I would like", "a"), 2.0) == [final("I would like", "a")]
    hearing.recognised(partial("a pizza", "b"), 2.4)
    hearing.loudness(False, 3.0)
    assert hearing.recognised(final("a pizza", "b"), 3.1)[-1] == TurnOver("I would like a pizza")


def test_who_goes_on_after_a_pause_starts_again_in_the_same_turn() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    hearing.recognised(partial("I would like"), 1.5)
    assert hearing.loudness(False, 2.0) == [STOPPED]
    assert hearing.recognised(partial("I would like a"), 2.1) == [partial("I would like a")], "late, no new sound"
    assert hearing.loudness(True, 2.5) == [STARTED]
    hearing.recognised(final("I would like a pizza"), 3.0)
    assert hearing.loudness(False, 3.5) == [STOPPED, TurnOver("I would like a pizza")]


def test_nobody_waits_longer_when_told_to_hurry() -> None:
    hearing = Hearing()
    assert hearing.hurry(0.5) == []
    hearing.loudness(True, 1.0)
    hearing.recognised(partial("hello"), 1.5)
    assert hearing.hurry(1.6) == [], "who speaks may go on"
    hearing.loudness(False, 2.0)
    assert hearing.hurry(2.1) == [UserText("hello", item="a"), TurnOver("hello")]


def test_a_final_text_that_does_not_come_is_not_waited_for_and_comes_too_late() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    hearing.recognised(partial("hello"), 1.5)
    hearing.loudness(False, 2.0)
    assert hearing.deadline() == 2.0 + FINAL_WITHIN
    assert hearing.tick(1.9 + FINAL_WITHIN) == []
    assert hearing.tick(3.0) == [UserText("hello", item="a"), TurnOver("hello")]
    assert hearing.recognised(final("Hello."), 3.5) == []


def test_what_is_said_after_a_text_was_taken_that_was_not_final_is_another_turn() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    hearing.recognised(partial("good day"), 1.5)
    hearing.loudness(False, 2.0)
    assert hearing.tick(3.0)[-1] == TurnOver("good day")
    assert hearing.recognised(partial("Good day"), 3.1) == [], "late"
    assert hearing.loudness(True, 4.0) == [STARTED]
    assert hearing.recognised(partial("Good day a pizza"), 4.5) == [partial("a pizza", "a.2")]
    hearing.loudness(False, 5.0)
    assert hearing.tick(6.0)[-1] == TurnOver("a pizza")
    signs = hearing.recognised(final("Good day, a pizza, please."), 6.5)
    assert signs == [STARTED, final("please.", "a.4"), STOPPED, TurnOver("please.")]
    assert hearing.recognised(final("Good day, a pizza, please."), 6.6) == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_text_that_comes_twice_counts_once(times: int) -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    for _ in range(times):
        hearing.recognised(final("Hello."), 2.0)
    assert hearing.loudness(False, 3.0) == [STOPPED, TurnOver("Hello.")]
    assert hearing.recognised(final("Hello."), 3.1) == []


def test_sound_without_words_is_noise() -> None:
    hearing = Hearing()
    assert hearing.loudness(True, 1.0) == [STARTED]
    hearing.loudness(False, 1.7)
    assert hearing.tick(1.7 + WORDS_WITHIN) == [TurnOver("")]


def test_words_that_come_after_it_was_taken_for_noise_are_a_turn() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    hearing.loudness(False, 1.7)
    hearing.tick(5.0)
    assert hearing.recognised(final("Hello."), 6.0) == [STARTED, final("Hello."), STOPPED, TurnOver("Hello.")]


def test_a_caller_who_is_too_quiet_for_the_energy_is_heard_by_words() -> None:
    hearing = Hearing()
    assert hearing.recognised(partial("hel"), 1.0) == [STARTED, partial("hel")]
    assert hearing.recognised(final("hello"), 2.0) == [final("hello"), STOPPED, TurnOver("hello")]


def test_noise_that_goes_on_does_not_hold_what_was_said() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    hearing.recognised(final("Hello."), 2.0)
    assert hearing.deadline() == 2.0 + NOISE_AFTER
    assert hearing.tick(3.5) == [STOPPED, TurnOver("Hello.")]
    assert hearing.loudness(False, 4.0) == [], "the end of the noise is no turn"
    assert hearing.recognised(final("And", "b"), 5.0)[0] == STARTED


def test_an_empty_text_is_no_text() -> None:
    hearing = Hearing()
    assert hearing.recognised(final("  "), 1.0) == []
    hearing.loudness(True, 1.0)
    hearing.recognised(partial("uh"), 1.2)
    hearing.recognised(final(""), 1.5)
    assert hearing.loudness(False, 2.0) == [STOPPED]
    assert hearing.tick(2.0 + WORDS_WITHIN) == [TurnOver("")]


def test_texts_without_a_name_follow_each_other() -> None:
    hearing = Hearing()
    hearing.loudness(True, 1.0)
    hearing.recognised(final("one", ""), 1.5)
    hearing.recognised(final("two", ""), 1.8)
    assert hearing.loudness(False, 2.0) == [STOPPED, TurnOver("one two")]


def test_the_recognisers_own_beginning_and_end_without_words_time_out() -> None:
    hearing = Hearing()
    assert hearing.recognised(SpeechStarted(), 1.0) == [STARTED]
    hearing.recognised(SpeechStopped(), 2.0)
    signs: list[Sign] = hearing.tick(2.0 + WORDS_WITHIN)
    assert signs == [TurnOver("")]


def test_a_long_sound_of_which_the_recogniser_tells_nothing_was_ignored() -> None:
    hearing = Hearing()
    for start, length, ignored in ((1.0, 2.0, True), (10.0, 1.0, False), (20.0, 2.0, True)):
        hearing.loudness(True, start)
        hearing.loudness(False, start + length)
        assert hearing.tick(start + 6) == [TurnOver("", ignored)]
    hearing.loudness(True, 30.0)
    hearing.recognised(SpeechStarted(), 30.5)
    hearing.loudness(False, 33.0)
    assert hearing.tick(36.0) == [TurnOver("")], "it does hear; it takes this for no words"
