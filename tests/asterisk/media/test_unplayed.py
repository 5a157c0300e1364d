"""What is said again when a leg is lost. Times in s, audio µ-law: 8,000 bytes a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk.media.unplayed import KEPT_S, Unplayed

SECOND = 8000


def test_what_was_not_played_comes_again_in_whole_frames() -> None:
    account = Unplayed("ulaw")
    account.audio(b"a" * SECOND, 10.0)
    account.audio(b"b" * SECOND, 10.0)
    assert account.again(10.51, 12.0) == [b"a" * (SECOND // 2) + b"b" * SECOND]
    assert account.played(12.0) == SECOND // 2  # it begins there now
    assert account.played(12.5) == SECOND


def test_audio_after_a_pause_begins_when_it_was_handed_over() -> None:
    account = Unplayed("ulaw")
    account.audio(b"a" * SECOND, 10.0)
    account.audio(b"b" * SECOND, 20.0)
    assert account.again(20.21, 21.0) == [b"b" * 6400]


def test_a_mark_that_came_back_is_surer_than_the_clock() -> None:
    account = Unplayed("ulaw")
    account.audio(b"a" * SECOND, 10.0)
    account.mark("m1")
    account.audio(b"b" * SECOND, 10.0)
    account.reached("m1", 11.5)  # half a second late
    account.reached("never set", 11.5)
    assert account.again(11.5, 11.5) == [b"b" * SECOND]


def test_marks_that_did_not_come_back_are_set_again() -> None:
    account = Unplayed("ulaw")
    account.audio(b"a" * 800, 10.0)
    account.mark("m1")
    assert account.owes_drained
    assert account.again(13.0, 13.5) == ["m1"]
    account.reached("m1", 13.5)
    assert account.again(14.0, 14.0) == []


def test_a_flush_takes_everything_back() -> None:
    account = Unplayed("ulaw")
    account.audio(b"a" * SECOND, 10.0)
    account.mark("m1")
    assert account.flush(10.25) == 750
    assert not account.owes_drained
    assert account.again(10.3, 10.3) == []
    assert account.flush(10.4) == 0


def test_what_was_played_long_ago_is_forgotten() -> None:
    account = Unplayed("ulaw")
    for second in range(1000):
        account.audio(b"a" * SECOND, float(second))
        assert len(account._kept) <= (2 * KEPT_S + 2) * SECOND
    assert account.again(999.5, 1000.0) == [b"a" * (SECOND // 2)]


@given(st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 3)), min_size=1, max_size=20), st.floats(0, 2))
def test_nothing_is_lost_and_nothing_that_was_played_before_comes_again(
    pieces: list[tuple[int, float]], silent: float
) -> None:
    account, now, total = Unplayed("ulaw"), 100.0, 0
    for ms, pause in pieces:
        now += pause
        account.audio(b"x" * ms * 8, now)
        total += ms * 8
    now += 1.0
    played = account.played(now - silent)
    again = sum(len(item) for item in account.again(now - silent, now) if isinstance(item, bytes))
    assert total - played <= again < total - played + 160
