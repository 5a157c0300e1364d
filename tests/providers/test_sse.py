"""Server-sent events, in whatever pieces the network gives them."""

import random

import pytest

from providers.sse import MAX_EVENT, SseError, SseReader

STREAM = (
    ": hello\n\n"
    "data: one\n\n"
    "event: message\r\nid: 7\r\ndata: zwei ü\r\ndata:  with a space\r\n\r\n"
    "data\n\n"
    "retry: 5\n\n"
    "data:three\r\r"
    "data: [DONE]\n\n"
).encode()
EVENTS = ["one", "zwei ü\n with a space", "", "three", "[DONE]"]


def test_a_whole_stream() -> None:
    assert SseReader().feed(STREAM) == EVENTS


def test_byte_by_byte() -> None:
    reader = SseReader()
    assert [event for at in range(len(STREAM)) for event in reader.feed(STREAM[at : at + 1])] == EVENTS


def test_line_ends_of_all_kinds_in_pieces_of_their_own() -> None:
    reader = SseReader()
    pieces = (b"data: a\r", b"\n", b"\n", b"", b"data: b\r", b"", b"\n", b"\r", b"data: c\n", b"\r")
    assert [event for piece in pieces for event in reader.feed(piece)] == ["a", "b", "c"]


def test_any_pieces() -> None:
    chance = random.Random(7)
    for _ in range(300):
        cuts = sorted(chance.sample(range(len(STREAM)), 5))
        reader, found = SseReader(), []
        for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
            found += reader.feed(STREAM[start:end])
        assert found == EVENTS


def test_an_event_without_its_end_is_none() -> None:
    assert SseReader().feed(b"data: one\n") == []


def test_what_is_longer_than_any_answer() -> None:
    reader = SseReader()
    part = b"data: " + b"x" * (MAX_EVENT // 3) + b"\n"
    assert [reader.feed(part), reader.feed(part)] == [[], []]
    with pytest.raises(SseError, match="longer than 1024 kB"):
        reader.feed(part + part)
    with pytest.raises(SseError, match="longer"):
        SseReader().feed(b"x" * (MAX_EVENT + 1))


def test_what_is_no_text() -> None:
    with pytest.raises(SseError, match="not UTF-8"):
        SseReader().feed(b"data: \xff\xfe\n\n")
