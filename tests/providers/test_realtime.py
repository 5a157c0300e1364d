"""The dialect alone: frames in, events and frames out, no socket."""

from typing import Any

import pytest

from providers.voice import (
    Audio,
    Failed,
    Interrupted,
    SpeechStarted,
    ToolCall,
    TurnDone,
    Turns,
    Usage,
    UserText,
    VoiceEvent,
    VoiceText,
    Warned,
)
from tests.providers.dialect import Provider, call


@pytest.fixture
def provider() -> Provider:
    return Provider()


# ── one owner of response.create ──────────────────────────────────────────────────────────────────────────────────────


def test_never_asks_while_a_response_is_active(provider: Provider) -> None:
    provider.realtime.say("One.")
    provider.realtime.say("Two.")
    assert [frame["response"]["instructions"].endswith("One.") for frame in provider.sent()] == [True]
    provider.created()
    provider.realtime.say("Three.")
    assert provider.sent() == []
    provider.done()
    assert [frame["response"]["instructions"].endswith("Two.") for frame in provider.sent()] == [True]
    provider.created("resp_2")
    provider.done("resp_2")
    assert [frame["response"]["instructions"].endswith("Three.") for frame in provider.sent()] == [True]


def test_a_request_that_came_too_late_is_made_again_after_the_other_response(provider: Provider) -> None:
    provider.realtime.say("One.")
    [request] = provider.sent()
    provider.created("resp_by_turn_detection")
    assert provider.error("conversation_already_has_active_response", event_id=request["event_id"]) == []
    assert provider.sent() == []
    provider.done("resp_by_turn_detection")
    [again] = provider.sent()
    assert again["response"] == request["response"]
    assert again["event_id"] != request["event_id"]


def test_a_request_refused_after_the_other_response_has_ended_is_made_again_at_once(provider: Provider) -> None:
    provider.realtime.say("One.")
    [request] = provider.sent()
    provider.created("resp_other")
    provider.done("resp_other")
    provider.error("conversation_already_has_active_response", event_id=request["event_id"])
    assert [frame["response"] for frame in provider.sent()] == [request["response"]]


def test_a_busy_provider_that_shows_no_response_is_not_pestered(provider: Provider) -> None:
    provider.realtime.say("One.")
    [request] = provider.sent()
    provider.error("conversation_already_has_active_response", event_id=request["event_id"])
    assert provider.sent() == []
    provider.done("resp_unseen")
    assert len(provider.sent()) == 1


def test_a_refused_request_is_a_failed_turn_and_the_next_one_is_made(provider: Provider) -> None:
    provider.realtime.say("One.")
    provider.realtime.say("Two.")
    [request] = provider.sent()
    assert provider.error("invalid_value", "too long", request["event_id"]) == [TurnDone("failed", detail="too long")]
    assert len(provider.sent()) == 1


def test_giving_up_waiting_frees_the_queue(provider: Provider) -> None:
    provider.realtime.say("One.")
    provider.realtime.say("Two.")
    provider.sent()
    assert provider.realtime.expecting
    provider.realtime.give_up_waiting()
    assert [frame["response"]["instructions"].endswith("Two.") for frame in provider.sent()] == [True]


# ── interruption ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_caller_interrupts_and_late_audio_is_dropped(provider: Provider) -> None:
    provider.created()
    assert provider.audio(b"\x01" * 160) == [Audio(b"\x01" * 160, "item_1")]
    assert provider.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u") == [SpeechStarted()]
    assert provider.audio(b"\x02" * 160) == []
    assert provider.done(status="cancelled", type="cancelled", reason="turn_detected") == [
        Interrupted(),
        TurnDone("interrupted", item="item_1"),
    ]
    assert provider.audio(b"\x03" * 160) == []
    assert provider.sent() == []
    provider.created("resp_2")
    assert provider.audio(b"\x04" * 160, "resp_2", "item_2") == [Audio(b"\x04" * 160, "item_2")]


def test_a_response_that_goes_on_after_a_phantom_counts_as_interrupted(provider: Provider) -> None:
    provider.created()
    provider.audio(b"\x01" * 160)
    provider.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
    assert provider.audio(b"\x02" * 160) == []
    assert provider.done() == [TurnDone("interrupted", item="item_1")]


def test_without_interruption_speech_cuts_nothing() -> None:
    provider = Provider(turns=Turns(interruptible=False))
    provider.created()
    provider.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
    assert provider.audio(b"\x01" * 160) == [Audio(b"\x01" * 160, "item_1")]
    assert provider.done() == [TurnDone("completed", item="item_1")]


def test_the_owner_interrupts(provider: Provider) -> None:
    provider.realtime.interrupt()
    assert provider.sent() == []
    provider.created()
    provider.audio(b"\x01" * 160)
    provider.realtime.say("Later.")
    provider.realtime.interrupt()
    assert [frame["type"] for frame in provider.sent()] == ["response.cancel"]
    assert provider.audio(b"\x02" * 160) == []
    assert provider.done(status="cancelled", type="cancelled", reason="client_cancelled") == [
        TurnDone("interrupted", item="item_1")
    ]
    assert provider.sent() == []


def test_what_was_asked_for_and_interrupted_before_it_began_is_not_heard(provider: Provider) -> None:
    provider.realtime.say("One.")
    provider.realtime.interrupt()
    assert [frame["type"] for frame in provider.sent()] == ["response.create", "response.cancel"]
    provider.created()
    assert provider.audio(b"\x01" * 160) == []
    provider.done(status="cancelled", type="cancelled", reason="client_cancelled")
    provider.realtime.say("Two.")
    provider.created("resp_2")
    assert provider.audio(b"\x01" * 160, "resp_2") != []


def test_cancelling_nothing_is_no_news(provider: Provider) -> None:
    assert provider.error("response_cancel_not_active") == []
    assert provider.error("input_audio_buffer_commit_empty") == []


@pytest.mark.parametrize(("played", "told"), [(50, 50), (100, 100), (5000, 100), (0, None), (-20, None)])
def test_truncates_to_what_was_heard_and_received(provider: Provider, played: int, told: int | None) -> None:
    provider.created()
    provider.audio(b"\x01" * 480)
    provider.audio(b"\x01" * 320)
    provider.realtime.truncate("item_1", played)
    frames = provider.sent()
    assert [frame["audio_end_ms"] for frame in frames] == ([] if told is None else [told])
    provider.realtime.truncate("item_unknown", 100)
    assert provider.sent() == []


def test_an_item_is_truncated_once(provider: Provider) -> None:
    provider.created()
    provider.audio(b"\x01" * 800)
    provider.realtime.truncate("item_1", 50)
    provider.realtime.truncate("item_1", 20)
    assert len(provider.sent()) == 1
    assert provider.audio(b"\x01" * 160) == [Audio(b"\x01" * 160, "item_1")]


# ── tools ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_results_are_gathered_and_answered_once(provider: Provider) -> None:
    provider.created()
    assert provider.done(output=[call("call_1", arguments='{"a": 1}'), call("call_2", "ping")]) == [
        ToolCall("call_1", "lookup", {"a": 1}),
        ToolCall("call_2", "ping", {}),
        TurnDone("completed"),
    ]
    provider.realtime.tool_result("call_2", '"two"', respond=True)
    [second] = provider.sent()
    assert second["item"] == {"type": "function_call_output", "call_id": "call_2", "output": '"two"'}
    provider.realtime.tool_result("call_1", '"one"', respond=True)
    assert [frame["type"] for frame in provider.sent()] == ["conversation.item.create", "response.create"]
    provider.realtime.tool_result("call_1", '"again"', respond=True)
    provider.realtime.tool_result("call_9", '"unknown"', respond=True)
    assert provider.sent() == []


def test_no_answer_is_asked_for_when_one_result_wants_none(provider: Provider) -> None:
    provider.created()
    provider.done(output=[call("call_1"), call("call_2")])
    provider.realtime.tool_result("call_1", "1", respond=False)
    provider.realtime.tool_result("call_2", "2", respond=True)
    assert [frame["type"] for frame in provider.sent()] == ["conversation.item.create"] * 2


def test_a_slow_tool_may_answer_after_another_turn(provider: Provider) -> None:
    provider.created()
    provider.done(output=[call("call_1")])
    provider.created("resp_2")
    provider.audio(b"\x01" * 160, "resp_2")
    provider.realtime.tool_result("call_1", "1", respond=True)
    assert [frame["type"] for frame in provider.sent()] == ["conversation.item.create"]
    provider.done("resp_2")
    assert [frame["type"] for frame in provider.sent()] == ["response.create"]


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_calls_of_a_response_that_did_not_complete_are_not_made(provider: Provider, status: str) -> None:
    provider.created()
    assert not [event for event in provider.done(status=status, output=[call()]) if isinstance(event, ToolCall)]


@pytest.mark.parametrize("arguments", ["{not json", "[1, 2]", '"text"', "null"])
def test_arguments_that_are_no_object_are_refused_and_the_model_told(provider: Provider, arguments: str) -> None:
    provider.created()
    events = provider.done(output=[call(arguments=arguments), call("call_2")])
    assert [type(event) for event in events] == [Warned, ToolCall, TurnDone]
    assert [frame["type"] for frame in provider.sent()] == ["conversation.item.create"]
    provider.realtime.tool_result("call_2", "2", respond=True)
    assert [frame["type"] for frame in provider.sent()] == ["conversation.item.create", "response.create"]


# ── the end of a turn, text, errors ───────────────────────────────────────────────────────────────────────────────────


def test_usage(provider: Provider) -> None:
    usage = {
        "input_token_details": {"text_tokens": 50, "audio_tokens": 10, "cached_tokens": 20},
        "output_token_details": {"text_tokens": 7, "audio_tokens": 30},
    }
    provider.created()
    [done] = provider.send("response.done", response={"id": "resp_1", "status": "completed", "usage": usage})
    assert done == TurnDone("completed", Usage(50, 10, 20, 7, 30))


def test_a_failed_turn_says_why_and_only_a_fatal_reason_ends_the_session(provider: Provider) -> None:
    provider.created()
    error: dict[str, Any] = {
        "type": "failed",
        "error": {"code": "rate_limit_exceeded", "message": "slow down sk-secret"},
    }
    assert provider.done(status="failed", **error) == [TurnDone("failed", detail="slow down …")]
    assert not provider.realtime.over
    provider.created("resp_2")
    error = {"type": "failed", "error": {"code": "insufficient_quota", "message": "pay"}}
    assert provider.done("resp_2", "failed", **error) == [
        TurnDone("failed", detail="pay"),
        Failed("pay", "insufficient_quota"),
    ]
    assert provider.realtime.over


@pytest.mark.parametrize(("spoke", "status"), [(True, "completed"), (False, "failed")])
def test_a_turn_cut_short(provider: Provider, spoke: bool, status: str) -> None:
    provider.created()
    if spoke:
        provider.audio(b"\x01" * 160)
    [done] = provider.done(status="incomplete", type="incomplete", reason="max_output_tokens")
    assert isinstance(done, TurnDone)
    assert (done.status, done.detail) == (status, "cut short: max_output_tokens")


def test_what_the_caller_said(provider: Provider) -> None:
    prefix = "conversation.item.input_audio_transcription"
    assert provider.send(f"{prefix}.delta", item_id="u", content_index=0, delta="one ") == [
        UserText("one ", final=False, item="u")
    ]
    assert provider.send(f"{prefix}.delta", item_id="u", content_index=0, delta="pizza") == [
        UserText("one pizza", final=False, item="u")
    ]
    assert provider.send(f"{prefix}.completed", item_id="u", content_index=0, transcript="One pizza.") == [
        UserText("One pizza.", item="u")
    ]
    [warning] = provider.send(f"{prefix}.failed", item_id="u", content_index=0, error={"message": "noise"})
    assert isinstance(warning, Warned)


def test_what_the_voice_says(provider: Provider) -> None:
    provider.created()
    fields = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    assert provider.send("response.output_audio_transcript.delta", **fields, delta="Good ") == [
        VoiceText("Good ", "item_1")
    ]
    assert provider.send("response.output_audio_transcript.done", **fields, transcript="Good day.") == [
        VoiceText("Good day.", "item_1", final=True)
    ]
    assert provider.send("response.output_text.done", **fields, text="Good day.") == [], "the same words twice"
    assert provider.send("response.output_text.done", **{**fields, "item_id": "item_2"}, text="And a text.") == [
        VoiceText("And a text.", "item_2", final=True)
    ]


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("insufficient_quota", "x", Failed("no", "insufficient_quota")),
        ("invalid_api_key", "x", Failed("no", "invalid_api_key")),
        ("session_expired", "x", Failed("no", "session_expired", recoverable=True)),
        ("", "server_error", Failed("no", "server_error", recoverable=True)),
        ("rate_limit_exceeded", "x", Failed("no", "rate_limit_exceeded", recoverable=True)),
        ("invalid_value", "invalid_request_error", Warned("no", "invalid_value")),
    ],
)
def test_errors(provider: Provider, code: str, kind: str, expected: VoiceEvent) -> None:
    assert provider.error(code, kind=kind) == [expected]
    assert provider.realtime.over == (code in ("insufficient_quota", "invalid_api_key", "session_expired"))


def test_a_limit_that_is_used_up(provider: Provider) -> None:
    def limits(remaining: int) -> list[VoiceEvent]:
        return provider.send(
            "rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 9, "remaining": remaining}]
        )

    assert limits(3) == []
    assert [type(event) for event in limits(0)] == [Warned]
