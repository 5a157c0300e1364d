"""Azure Voice Live's surface: the event names of the beta and a flat session. Judged by the vendor's own models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tests.emulators.openai_realtime.oracle import Oracle
from tests.emulators.openai_realtime.surface import Event, Surface

NAMES = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "conversation.item.added": "conversation.item.created",
}
UNKNOWN = ("conversation.item.done", "rate_limits.updated")
FORMATS = {"g711_ulaw": {"type": "audio/pcmu"}, "g711_alaw": {"type": "audio/pcma"}, "pcm16": {"type": "audio/pcm"}}
DOCUMENTED = {("response", "pre_generated_assistant_message")}  # in the vendor's documentation, not in its client


@cache
def _models() -> Any:
    import azure.ai.voicelive.models

    return azure.ai.voicelive.models


class VoiceLiveOracle(Oracle):
    """The vendor's models know every field by name; they are generated from its specification."""

    def server(self, event: Event) -> None:
        self.checked += 1
        kinds = _models().ServerEvent.__mapping__
        self._judge("server", event, kinds.get(event["type"]))

    def client(self, event: Event) -> None:
        self.checked += 1
        kinds = _models().ClientEvent.__mapping__
        self._judge("client", event, kinds.get(event["type"]))

    def _judge(self, side: str, event: Event, kind: Any) -> None:
        if kind is None:
            self.problems.append(f"{side} {event['type']}: no such type")
            return
        for problem in _strange(kind._deserialize(event, []), event, ""):
            self.problems.append(f"{side} {event['type']}: {problem}")


def _strange(model: Any, raw: Any, at: str) -> Iterator[str]:
    """Fields of ``raw`` that the model does not have, at any depth."""
    if isinstance(raw, list) and isinstance(model, list):
        for each, part in zip(model, raw, strict=True):
            yield from _strange(each, part, at)
    fields = getattr(model, "_attr_to_rest_field", None)
    if fields is None or not isinstance(raw, dict):
        return
    names = {field._rest_name: attribute for attribute, field in fields.items()}
    for name, value in raw.items():
        if name not in names:
            if (at, name) not in DOCUMENTED:
                yield f"{at or 'event'} has no field '{name}'"
        elif value is not None:
            yield from _strange(getattr(model, names[name]), value, name)


class VoiceLiveSurface(Surface):
    path = "/voice-live/realtime"

    def __init__(self) -> None:
        super().__init__(header="api-key")

    def oracle(self) -> Oracle:
        return VoiceLiveOracle()

    def incoming(self, event: Event) -> Event:
        if event["type"] == "session.update":
            return {**event, "session": _inside(event["session"])}
        words = event.get("response", {}).get("pre_generated_assistant_message")
        if words:
            said = "".join(part["text"] for part in words["content"])
            return {**event, "response": {"instructions": f"Say:\n\n{said}"}}
        return event

    def outgoing(self, event: Event, new_id: Callable[[], str]) -> Iterator[Event]:
        kind = event["type"]
        if kind in UNKNOWN:
            return
        event = {**event, "type": NAMES.get(kind, kind)}
        if kind in ("session.created", "session.updated"):
            event["session"] = _outside(event["session"])
        elif kind in ("response.created", "response.done"):
            event["response"] = _response(event["response"])
        elif "item" in event:
            event["item"] = _item(event["item"])
        elif kind.endswith("input_audio_transcription.completed"):
            event.pop("usage", None)
        yield event


def _inside(session: dict[str, Any]) -> dict[str, Any]:
    """The vendor's session as OpenAI's."""
    hearing: dict[str, Any] = {}
    speaking: dict[str, Any] = {}
    if "input_audio_format" in session:
        hearing["format"] = FORMATS[session["input_audio_format"]]
    if "output_audio_format" in session:
        speaking["format"] = FORMATS[session["output_audio_format"]]
    if "turn_detection" in session:
        hearing["turn_detection"] = session["turn_detection"]
    if "input_audio_transcription" in session:
        hearing["transcription"] = {"model": session["input_audio_transcription"]["model"]}
    if "voice" in session:
        speaking["voice"] = session["voice"]["name"]
    rest: dict[str, Any] = {name: session[name] for name in ("instructions", "tools") if name in session}
    return {**rest, "audio": {"input": hearing, "output": speaking}}


def _outside(session: dict[str, Any]) -> dict[str, Any]:
    names = {each["type"]: name for name, each in FORMATS.items()}
    hearing, speaking = session["audio"]["input"], session["audio"]["output"]
    turns = {name: value for name, value in hearing["turn_detection"].items() if name != "idle_timeout_ms"}
    return {
        "id": session["id"], "model": session["model"], "expires_at": session["expires_at"],
        "modalities": ["text", "audio"], "instructions": session["instructions"], "tools": session["tools"],
        "voice": {"type": "openai", "name": speaking["voice"]}, "turn_detection": turns,
        "input_audio_format": names[hearing["format"]["type"]],
        "output_audio_format": names[speaking["format"]["type"]],
    }  # fmt: skip


def _response(response: dict[str, Any]) -> dict[str, Any]:
    known = ("id", "object", "status", "status_details", "conversation_id", "metadata", "usage")
    usage = response["usage"]
    if usage is not None:
        usage = {**usage, "output_token_details": {**usage["output_token_details"], "reasoning_tokens": 0}}
    return {
        **{name: response[name] for name in known}, "usage": usage, "modalities": ["text", "audio"],
        "output": [_item(item) for item in response["output"]],
    }  # fmt: skip


def _item(item: dict[str, Any]) -> dict[str, Any]:
    if "content" not in item:
        return {
            name: value for name, value in item.items() if (item["type"], name) != ("function_call_output", "status")
        }
    kinds = {"output_audio": "audio", "output_text": "text"}
    return {**item, "content": [{**part, "type": kinds.get(part["type"], part["type"])} for part in item["content"]]}
