"""The objects inside the vendor's events, as its API reference shows them."""

from __future__ import annotations

from typing import Any

TURN_FIELDS = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")


def session(model: str, expires_at: float) -> dict[str, Any]:
    """A session before the first session.update: 24 kHz PCM both ways, no transcription, turns by energy."""
    turns = {
        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
        "idle_timeout_ms": None, "create_response": True, "interrupt_response": True,
    }  # fmt: skip
    pcm = {"type": "audio/pcm", "rate": 24000}
    hearing = {"format": pcm, "transcription": None, "noise_reduction": None, "turn_detection": turns}
    return {
        "type": "realtime", "object": "realtime.session", "id": "sess_1", "model": model, "expires_at": int(expires_at),
        "output_modalities": ["audio"], "instructions": "", "tools": [], "tool_choice": "auto",
        "max_output_tokens": "inf", "truncation": "auto", "tracing": None, "prompt": None, "include": None,
        "audio": {"input": hearing, "output": {"format": pcm, "voice": "marin", "speed": 1.0}},
    }  # fmt: skip


def transcription_session(expires_at: float) -> dict[str, Any]:
    """A session that only listens, before the first session.update."""
    full = session("", expires_at)
    turns = {name: full["audio"]["input"]["turn_detection"][name] for name in TURN_FIELDS}
    return {
        "type": "transcription", "object": "realtime.transcription_session", "id": "sess_1",
        "expires_at": int(expires_at), "include": None,
        "audio": {"input": {**full["audio"]["input"], "turn_detection": turns}},
    }  # fmt: skip


def merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    """What session.update does: only what is named changes; a format is replaced whole."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict) and name != "format":
            merge(target[name], value)
        else:
            target[name] = value


def user_audio(item: str) -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": None}]
    return {"id": item, "type": "message", "status": "completed", "role": "user", "content": content}


def assistant(item: str, status: str, transcript: str | None) -> dict[str, Any]:
    content = [] if transcript is None else [{"type": "output_audio", "transcript": transcript}]
    return {"id": item, "type": "message", "status": status, "role": "assistant", "content": content}


def function_call(item: str, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    return {
        "id": item, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments,
    }  # fmt: skip


def usage(audio_in: int, audio_out: int) -> dict[str, Any]:
    """Tokens as the vendor counts them: about 10 a second heard, 20 a second spoken."""
    inputs = {
        "text_tokens": 50, "audio_tokens": audio_in, "image_tokens": 0, "cached_tokens": 20,
        "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 0, "image_tokens": 0},
    }  # fmt: skip
    return {
        "total_tokens": 60 + audio_in + audio_out, "input_tokens": 50 + audio_in, "output_tokens": 10 + audio_out,
        "input_token_details": inputs, "output_token_details": {"text_tokens": 10, "audio_tokens": audio_out},
    }  # fmt: skip


def response(
    id: str,
    session: dict[str, Any],
    status: str,
    details: dict[str, Any] | None,
    output: list[dict[str, Any]],
    usage: dict[str, Any] | None,
) -> dict[str, Any]:
    speaking = {"format": session["audio"]["output"]["format"], "voice": session["audio"]["output"]["voice"]}
    return {
        "object": "realtime.response", "id": id, "status": status, "status_details": details, "output": list(output),
        "conversation_id": "conv_1", "output_modalities": ["audio"], "max_output_tokens": "inf",
        "audio": {"output": speaking}, "metadata": None, "usage": usage,
    }  # fmt: skip
