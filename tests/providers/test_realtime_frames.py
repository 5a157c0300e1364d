"""Frames that make no sense, and audio that is cut out of a frame without the parser."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.oddities import MAX_WARNINGS
from providers.realtime import Realtime
from providers.voice import (
    Audio,
    Warned,
)
from tests.providers.dialect import Provider


@pytest.fixture
def provider() -> Provider:
    return Provider()


# ── frames that make no sense ─────────────────────────────────────────────────────────────────────────────────────────

FIELDS = [
    "response", "id", "status", "status_details", "reason", "error", "code", "message", "output", "type", "call_id",
    "name", "arguments", "usage", "input_token_details", "audio_tokens", "item_id", "response_id", "delta",
    "transcript", "session", "expires_at", "rate_limits", "remaining", "event_id",
]  # fmt: skip
NONSENSE = [
    "", "nonsense", "[]", "null", "7", "{}", '{"type": 5}', '{"type": ["a"]}', '{"type": "response.done"}',
    '{"type": "response.done", "response": {"id": "r"}}', '{"type": "response.created", "response": null}',
    '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "%%%"}',
    '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": 5}',
    '{"type": "response.done", "response": {"id": "r", "status": "completed", "output": 5}}',
    '{"type": "response.done", "response": {"id": "r", "status": "completed", "output": [{"type": "function_call"}]}}',
    '{"type": "error", "error": "bad"}', '{"type": "rate_limits.updated", "rate_limits": [5]}',
    '{"type": "session.created"}', "[" * 100000,
]  # fmt: skip


@pytest.mark.parametrize("frame", NONSENSE, ids=lambda frame: str(frame)[:40])
def test_nonsense_is_warned_about(provider: Provider, frame: str) -> None:
    events = provider.raw(frame)
    assert [type(event) for event in events] in ([Warned], [])
    provider.created("resp_9")
    assert provider.audio(b"\x01" * 160, "resp_9") != []


WORDS = st.sampled_from(["resp_1", "item_1", "AAAA", "completed"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)


FRAMES = st.tuples(st.sampled_from(sorted(Realtime._handlers)), st.dictionaries(st.sampled_from(FIELDS), VALUES))


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, max_size=8))
def test_no_frame_whatever_raises_or_makes_events_of_wrong_types(frames: list[tuple[str, dict[str, Any]]]) -> None:
    provider = Provider()
    provider.realtime.say("Hello.")
    for kind, fields in frames:
        for event in provider.raw(json.dumps({**fields, "type": kind})):
            for field in ("text", "item", "id", "name", "message", "code", "detail"):
                assert isinstance(getattr(event, field, ""), str | None), event
    for frame in provider.realtime.out:
        frame.encode()


def test_nonsense_does_not_fill_the_trace(provider: Provider) -> None:
    assert sum(len(provider.raw(f"nonsense {number}")) for number in range(100)) == MAX_WARNINGS


def test_unknown_events_are_the_future(provider: Provider) -> None:
    assert provider.send("response.hologram.delta", delta="…") == []


def test_the_same_frame_twice_is_one_event(provider: Provider) -> None:
    provider.created()
    frame = json.dumps({
        "type": "response.output_audio.delta", "event_id": "e", "response_id": "resp_1", "item_id": "item_1",
        "delta": b64encode(b"\x01" * 160).decode(),
    })  # fmt: skip
    assert len(provider.raw(frame)) == 1
    assert provider.raw(frame) == []


# ── audio without the parser ──────────────────────────────────────────────────────────────────────────────────────────


def test_audio_that_goes_on_is_the_same_with_and_without_the_parser(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [bytes([number]) * (160 + number) for number in range(50)]
    provider.created()
    first = provider.audio(chunks[0])
    frames = [
        json.dumps(
            {
                "type": "response.output_audio.delta", "event_id": f"e{100 + number}", "response_id": "resp_1",
                "item_id": "item_1", "output_index": 0, "content_index": 0, "delta": b64encode(chunk).decode(),
            },
            separators=(",", ":"),
        )
        for number, chunk in enumerate(chunks[1:])
    ]  # fmt: skip
    with monkeypatch.context() as without_parser:
        without_parser.setattr("providers.realtime.json.loads", None)
        rest = [event for frame in frames for event in provider.raw(frame)]
    assert [*first, *rest] == [Audio(chunk, "item_1") for chunk in chunks]
    provider.realtime.truncate("item_1", 10**6)
    assert provider.sent()[0]["audio_end_ms"] == sum(map(len, chunks)) // 8


@pytest.mark.parametrize(
    "change",
    [
        {"item_id": "item_2"},
        {"response_id": "resp_2"},
        {"type": "response.output_audio.done"},
        {"delta": 'AAAA","delta":"BBBB'},
        {"delta": "%%%%"},
        {"extra": "field"},
        {"content_index": 1},
    ],
    ids=str,
)
def test_any_difference_goes_to_the_parser(change: dict[str, Any]) -> None:
    """A dialect that has just cut audio and one that has not must see the same in a frame that looks alike."""
    frame = {
        "type": "response.output_audio.delta", "event_id": "e50", "response_id": "resp_1", "item_id": "item_1",
        "output_index": 0, "content_index": 0, "delta": "AAAA", **change,
    }  # fmt: skip
    text = json.dumps(frame, separators=(",", ":"))
    warm, cold = Provider(), Provider()
    for provider in (warm, cold):
        provider.created()
        provider.audio(b"\x01" * 160)
    cold.send("rate_limits.updated", rate_limits=[])
    assert warm.realtime._frames._shape is not None
    assert cold.realtime._frames._shape is None
    assert warm.raw(text) == cold.raw(text)
