"""xAI's surface: GA names, a session of another shape, cumulative transcripts, pings, texts spoken to the letter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.emulators.openai_realtime.oracle import Oracle
from tests.emulators.openai_realtime.surface import Event, Surface

TRANSCRIPTION = "conversation.item.input_audio_transcription"
SESSION = {"instructions", "voice", "turn_detection", "audio", "tools", "reasoning", "resumption", "replace"}
DETECTION = {"type", "threshold", "silence_duration_ms", "prefix_padding_ms", "idle_timeout_ms"}
HEARING = {"format", "transcription", "transport"}
SPEAKING = {"format", "speed", "transport"}
HINTS = {"model", "language_hint", "keyterms"}
OWN = {"ping", "conversation.created", "session.created", "session.updated", f"{TRANSCRIPTION}.updated"}
ERRORS = {
    "response_cancel_not_active": ("cancel_error", "Cannot cancel: no active response."),
    "conversation_already_has_active_response": ("invalid_state", "The session already has an active response."),
}


class GrokOracle(Oracle):
    """There is no client library to ask: the shapes that are the vendor's own are checked against its documentation,
    the others by the types that they were made to be compatible with."""

    def server(self, event: Event) -> None:
        if event["type"] not in OWN:
            super().server(event)

    def client(self, event: Event) -> None:
        if event["type"] == "session.update":
            self.checked += 1
            self._session(event["session"])
        elif event["type"] == "response.create" and "tool_choice" in event.get("response", {}):
            self.problems.append("client response.create: tool_choice is not supported")
        elif event.get("item", {}).get("type") == "force_message":
            self.checked += 1
            self._only("force_message", event["item"], {"type", "role", "content", "interruptible", "voice"})
        else:
            super().client(event)

    def _session(self, session: dict[str, Any]) -> None:
        self._only("session", session, SESSION)
        self._only("turn_detection", session.get("turn_detection") or {}, DETECTION)
        hearing = session.get("audio", {}).get("input", {})
        self._only("audio.input", hearing, HEARING)
        self._only("transcription", hearing.get("transcription", {}), HINTS)
        self._only("audio.output", session.get("audio", {}).get("output", {}), SPEAKING)

    def _only(self, what: str, found: dict[str, Any], known: set[str]) -> None:
        if extra := set(found) - known:
            self.problems.append(f"client {what}: the vendor knows no {', '.join(sorted(extra))}")


class GrokSurface(Surface):
    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, str] = {}

    def oracle(self) -> Oracle:
        return GrokOracle()

    def incoming(self, event: Event) -> Event:
        if event["type"] == "session.update":
            return {**event, "session": _inside(event["session"])}
        item = event.get("item", {})
        if event["type"] == "conversation.item.create" and item.get("type") == "force_message":
            words = "".join(part["text"] for part in item["content"])
            return {**event, "type": "response.create", "response": {"instructions": f"Say:\n\n{words}"}}
        return event

    def outgoing(self, event: Event, new_id: Callable[[], str]) -> Iterator[Event]:
        kind = event["type"]
        if kind in ("rate_limits.updated", "conversation.item.done"):
            return
        if kind == "session.created":
            yield {"type": "conversation.created", "event_id": new_id(), "conversation": {"id": "conv_1"}}
        elif kind == f"{TRANSCRIPTION}.delta":
            item = event["item_id"]
            self._said[item] = self._said.get(item, "") + event["delta"]
            event = {**event, "type": f"{TRANSCRIPTION}.updated", "transcript": self._said[item].strip()}
            del event["delta"]
        elif kind == f"{TRANSCRIPTION}.completed":
            yield {**event, "event_id": new_id(), "status": "in_progress"}
        elif kind == "response.done":
            yield {"type": "ping", "event_id": new_id(), "timestamp": 1}
            response = dict(event["response"])
            usage = response.pop("usage")
            event = {**event, "response": {**response, "usage": None, "output": []}, "usage": usage}
        elif kind == "error" and event["error"]["code"] in ERRORS:
            code, message = ERRORS[event["error"]["code"]]
            event = {**event, "error": {**event["error"], "code": code, "message": message, "event_id": None}}
        yield event


def _inside(session: dict[str, Any]) -> dict[str, Any]:
    """The vendor's session as OpenAI's."""
    audio = session.get("audio", {})
    hearing = {**audio.get("input", {})}
    if "transcription" in hearing:
        hearing["transcription"] = {"model": hearing["transcription"]["model"]}
    if "turn_detection" in session:
        hearing["turn_detection"] = {**session["turn_detection"], "create_response": True, "interrupt_response": False}
    speaking = {**audio.get("output", {}), **({"voice": session["voice"]} if "voice" in session else {})}
    rest: dict[str, Any] = {name: session[name] for name in ("instructions", "tools", "reasoning") if name in session}
    return {**rest, "audio": {"input": hearing, "output": speaking}}
