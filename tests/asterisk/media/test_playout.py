"""The backlog against its definition: a list of bytes with marks between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk.media.playout import SILENCE, Backlog, frame_bytes

FRAME = 8

pieces = st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 99).map(lambda n: f"m{n}")), max_size=20)
limits = st.lists(st.integers(0, 50), max_size=20)


def fill(backlog: Backlog, items: list[bytes | str]) -> None:
    for item in items:
        if isinstance(item, str):
            backlog.mark(item)
        else:
            backlog.append(item)


@given(pieces, limits)
def test_what_is_taken_is_what_was_handed_over(items: list[bytes | str], sizes: list[int]) -> None:
    backlog = Backlog("ulaw", FRAME)
    fill(backlog, items)
    backlog.pad()
    taken: list[bytes | str] = []
    for limit in sizes:
        got = backlog.take(limit)
        assert sum(len(piece) for piece in got if isinstance(piece, bytes)) <= limit
        taken += got
    taken += backlog.take(10_000)
    audio = b"".join(item for item in items if isinstance(item, bytes))
    assert b"".join(item for item in taken if isinstance(item, bytes)) == audio + b"\xff" * (-len(audio) % FRAME)
    assert [item for item in taken if isinstance(item, str)] == [item for item in items if isinstance(item, str)]
    assert all(len(item) % FRAME == 0 for item in taken if isinstance(item, bytes))
    assert not backlog


@given(pieces)
def test_a_mark_comes_right_after_the_frame_that_it_was_set_in(items: list[bytes | str]) -> None:
    backlog = Backlog("ulaw", FRAME)
    expected, position = [], 0
    for item in items:
        if isinstance(item, str):
            expected.append((item, -(-position // FRAME) * FRAME))
        else:
            position += len(item)
    fill(backlog, items)
    backlog.pad()
    seen, position = [], 0
    for item in backlog.take(10_000):
        if isinstance(item, str):
            seen.append((item, position))
        else:
            position += len(item)
    assert seen == expected


@given(pieces, st.integers(0, 60))
def test_flush_drops_exactly_the_rest_and_its_marks(items: list[bytes | str], limit: int) -> None:
    backlog = Backlog("slin", FRAME)
    fill(backlog, items)
    taken = sum(len(piece) for piece in backlog.take(limit) if isinstance(piece, bytes))
    assert backlog.flush() == sum(len(item) for item in items if isinstance(item, bytes)) - taken
    assert not backlog
    backlog.append(b"a" * FRAME)
    assert backlog.take(FRAME) == [b"a" * FRAME]


def test_half_a_frame_waits_for_its_other_half() -> None:
    backlog = Backlog("ulaw", FRAME)
    backlog.append(b"abcd")
    backlog.mark("m")
    assert not backlog.has_frame
    assert backlog.take(100) == []
    backlog.append(b"efghij")
    assert backlog.take(100) == [b"abcdefgh", "m"]
    assert len(backlog) == 2


def test_a_mark_with_nothing_before_it_is_taken_at_once() -> None:
    backlog = Backlog("ulaw", FRAME)
    backlog.mark("now")
    assert backlog.has_frame
    assert backlog.take(0) == ["now"]


@pytest.mark.parametrize(
    ("audio_format", "frame", "silence"),
    [("ulaw", 160, b"\xff"), ("alaw", 160, b"\xd5"), ("slin", 320, b"\0"), ("slin16", 640, b"\0")],
)
def test_frames_and_silence_of_each_format(audio_format, frame: int, silence: bytes) -> None:
    assert frame_bytes(audio_format) == frame
    assert SILENCE[audio_format] == silence
