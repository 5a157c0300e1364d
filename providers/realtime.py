"""The realtime dialect (OpenAI's GA names) as a state machine without I/O: frames in, voice events and frames out.

OpenAI and Azure OpenAI speak it as it is. It alone decides when a response is asked for: never while one is active,
and what comes in between waits in a queue. Source: the vendor's API reference; every frame is checked in tests
against the vendor's types.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

from providers.realtime_fields import Frame, text, tool_definitions, usage
from providers.voice import (
    Audio,
    Failed,
    Interrupted,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Usage,
    UserText,
    VoiceEvent,
    VoiceText,
    Warned,
)

FATAL = frozenset({
    "insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached", "model_not_found",
})  # fmt: skip
BENIGN = frozenset({"response_cancel_not_active", "input_audio_buffer_commit_empty"})
BUSY = "conversation_already_has_active_response"
PASSING = frozenset({"server_error", "rate_limit_error", "rate_limit_exceeded", "session_expired"})
MAX_WARNINGS = 20  # about frames that make no sense; a provider gone mad must not fill the trace
REMEMBERED = 16  # responses and items of the past

Events = Sequence[VoiceEvent]
_Request = tuple[str, dict[str, Any]]  # event id and body of a response.create


@dataclass(slots=True)
class _Calls:
    """The tool calls of one response: it is answered once, when the last result is in."""

    open: set[str]
    respond: bool = True


class Realtime:
    """One session. ``receive`` takes the provider's frames; whatever is to be sent is appended to ``out``.

    ``configuration`` is the ``session`` object of the first session.update. ``secret`` is blotted out of every message.
    """

    def __init__(self, session: Session, configuration: Frame, *, secret: str = "") -> None:
        self.out: deque[str] = deque()
        self.ready = False
        self.over = False  # nothing more can come of this session
        self.expires_at: float | None = None  # unix seconds, when the provider tells
        self.expecting = False  # an answer was asked for and nothing of it has come yet
        self._session = session
        self._configuration = configuration
        self._secret = secret
        self._bytes_per_ms = session.format.bytes_per_ms
        self._number = count(1)
        self._queue: deque[dict[str, Any]] = deque()  # responses to ask for
        self._requested: _Request | None = None  # asked for, not yet begun
        self._begun: _Request | None = None  # the last request that a response began after, perhaps another's
        self._active: str | None = None  # response id
        self._muted = False  # the active response was interrupted: nothing more of it is heard
        self._past: deque[str] = deque(maxlen=REMEMBERED)  # responses that ended
        self._spoken: str | None = None  # item of the active response that has audio
        self._received: dict[str, int] = {}  # item -> bytes handed on
        self._calls: dict[str, _Calls] = {}  # call id -> the calls of its response
        self._partial: dict[str, str] = {}  # item -> what the caller said so far
        self._last = ""  # frame
        self._audio_shape: tuple[str, str, str] | None = None  # what stands around the event id and the samples
        self._warnings = 0

    # ── what the owner wants ──────────────────────────────────────────────────────────────────────────────────────────

    def say(self, words: str) -> None:
        """Ask for a response that speaks this text.

        The dialect has no verbatim speech; the model is told to be exact.
        """
        instructions = f"Say the following words to the caller, exactly as written, and nothing else:\n\n{words}"
        self._queue.append({"instructions": instructions, "tool_choice": "none"})
        self._ask()

    def interrupt(self) -> None:
        """Cancel the response that is active or asked for, and what was to be said after it."""
        self._queue = deque(body for body in self._queue if not body)
        if self._active is not None or self._requested is not None:
            self._muted = self.expecting = True
            self._send("response.cancel")

    def truncate(self, item: str, played_ms: int) -> None:
        """Correct the model's memory: never beyond what was received (the provider refuses that), never to nothing."""
        received = self._received.get(item)
        if received is None:
            return
        heard = min(played_ms, received // self._bytes_per_ms)
        if heard > 0:
            del self._received[item]
            self._send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=heard)

    def tool_result(self, call_id: str, output: str, *, respond: bool) -> None:
        """Hand in a result; the answer is asked for when all results of the turn are there and all of them want one."""
        calls = self._calls.pop(call_id, None)
        if calls is None:
            return
        calls.open.discard(call_id)
        calls.respond = calls.respond and respond
        self._send(
            "conversation.item.create", item={"type": "function_call_output", "call_id": call_id, "output": output}
        )
        if not calls.open and calls.respond:
            self._queue.append({})
            self._ask()

    def update(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Change instructions and tools of the session."""
        changes: dict[str, Any] = {"type": self._configuration.get("type", "realtime")}
        if instructions is not None:
            changes["instructions"] = instructions
        if tools is not None:
            changes["tools"] = tool_definitions(tools)
        self._send("session.update", session=changes)

    def give_up_waiting(self) -> None:
        """The expected answer did not come: ask for the next one in the queue instead of blocking it for ever."""
        if self._active is not None:
            self._past.append(self._active)
        self._active = self._requested = self._audio_shape = None
        self._muted = self.expecting = False
        self._ask()

    def _ask(self) -> None:
        if self._queue and self._active is None and self._requested is None:
            body = self._queue.popleft()
            event_id = self._send("response.create", **({"response": body} if body else {}))
            self._requested = (event_id, body)
            self._muted = False
            self.expecting = True

    def _send(self, kind: str, **fields: Any) -> str:
        event_id = f"event_{next(self._number)}"
        self.out.append(json.dumps({"type": kind, "event_id": event_id, **fields}))
        return event_id

    # ── what the provider says ────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, frame: str) -> Events:
        """The events in one text frame. A frame that makes no sense is a warning, never an exception."""
        if frame == self._last:
            return ()  # the same event once more
        self._last = frame
        if self._audio_shape is not None:
            audio = self._more_audio(frame, *self._audio_shape)
            if audio is not None:
                return (audio,)
            self._audio_shape = None
        try:
            event = json.loads(frame)
            handler = self._handlers.get(event["type"])
            return handler(self, event) if handler is not None else ()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            return self.nonsense(f"{type(error).__name__}: {error}")

    def nonsense(self, what: str) -> Events:
        """A warning about a frame that could not be read, the first twenty times."""
        self._warnings += 1
        if self._warnings > MAX_WARNINGS:
            return ()
        return (Warned(f"the provider sent a frame that makes no sense ({self._clean(what)[:200]})", "garbage"),)

    def _clean(self, message: str) -> str:
        return message.replace(self._secret, "…") if self._secret else message

    def _session_created(self, event: Frame) -> Events:
        self._note_expiry(event["session"])
        self._send("session.update", session=self._configuration)
        for said in self._session.history:
            role, kind = ("user", "input_text") if said.role == "caller" else ("assistant", "output_text")
            content = [{"type": kind, "text": said.text}]
            self._send("conversation.item.create", item={"type": "message", "role": role, "content": content})
        return ()

    def _session_updated(self, event: Frame) -> Events:
        session = event["session"]
        self._note_expiry(session)
        if self.ready:
            return ()
        self.ready = True
        return (Ready(str(session.get("id") or "")),)

    def _note_expiry(self, session: Frame) -> None:
        expires_at = session.get("expires_at")
        if isinstance(expires_at, int | float):
            self.expires_at = float(expires_at)

    def _speech_started(self, event: Frame) -> Events:
        self.expecting = False
        if self._active is not None and self._session.turns.interruptible:
            self._muted = True  # the provider cancels it; what is still under way must not be heard
        return (SpeechStarted(),)

    def _speech_stopped(self, event: Frame) -> Events:
        self.expecting = True
        return (SpeechStopped(),)

    def _user_delta(self, event: Frame) -> Events:
        item = text(event, "item_id")
        self._partial[item] = said = self._partial.get(item, "") + (event.get("delta") or "")
        while len(self._partial) > REMEMBERED:
            del self._partial[next(iter(self._partial))]
        return (UserText(said, final=False, item=item),) if said else ()

    def _user_completed(self, event: Frame) -> Events:
        self._partial.pop(event["item_id"], None)
        return (UserText(text(event, "transcript"), item=text(event, "item_id")),)

    def _user_failed(self, event: Frame) -> Events:
        self._partial.pop(event["item_id"], None)
        error = event.get("error") or {}
        return (
            Warned(f"no transcript of what the caller said: {self._clean(str(error.get('message')))}", "transcription"),
        )

    def _response_created(self, event: Frame) -> Events:
        response = text(event["response"], "id")
        if response in self._past:
            return ()
        # Interrupted between asking and beginning: `_muted` was set by `interrupt` and holds for this response.
        self._muted = self._muted and self._requested is not None
        self._active, self._spoken = response, None
        self._begun, self._requested = self._requested, None
        return ()

    def _is_stale(self, response: str) -> bool:
        return self._muted if response == self._active else response in self._past

    def _audio(self, event: Frame) -> Events:
        if self._is_stale(event["response_id"]):
            return ()
        item = text(event, "item_id")
        data = a2b_base64(event["delta"], strict_mode=True)
        self._audio_shape = self._shape_of(event)
        received = self._received
        self._spoken = item
        if item in received:
            received[item] += len(data)
        else:
            received[item] = len(data)
            self.expecting = False
            if len(received) > REMEMBERED:
                del received[next(iter(received))]
        return (Audio(data, item),)

    def _shape_of(self, event: Frame) -> tuple[str, str, str] | None:
        """What the next frame of the same audio has in common with this one, so that it need not be parsed."""
        head, found, rest = self._last.partition(str(event.get("event_id")))
        middle, samples, tail = rest.partition(event["delta"])
        fixed = "response.output_audio.delta" in head and '"response_id"' in middle and '"item_id"' in middle
        return (head, middle, tail) if found and samples and fixed else None

    def _more_audio(self, frame: str, head: str, middle: str, tail: str) -> Audio | None:
        """The audio of a frame that differs from the last one in event id and samples only, in a third of the time.

        Base64 in strict mode holds no quotation mark, so nothing else can hide in there; any doubt goes to the parser.
        """
        item = self._spoken
        if self._muted or item not in self._received or not (frame.startswith(head) and frame.endswith(tail)):
            return None
        start = frame.find(middle, len(head), len(head) + len(middle) + 64)
        if start < 0:
            return None
        try:
            data = a2b_base64(frame[start + len(middle) : -len(tail)], strict_mode=True)
        except ValueError:
            return None
        self._received[item] += len(data)
        return Audio(data, item)

    def _voice_delta(self, event: Frame) -> Events:
        if self._is_stale(event["response_id"]):
            return ()
        self.expecting = False
        return (VoiceText(text(event, "delta"), text(event, "item_id")),)

    def _audio_transcript_done(self, event: Frame) -> Events:
        if self._is_stale(event["response_id"]):
            return ()
        return (VoiceText(text(event, "transcript"), text(event, "item_id"), final=True),)

    def _text_done(self, event: Frame) -> Events:
        if self._is_stale(event["response_id"]):
            return ()
        return (VoiceText(text(event, "text"), text(event, "item_id"), final=True),)

    def _response_done(self, event: Frame) -> Events:
        response = event["response"]
        if response["id"] in self._past:
            return ()
        self._past.append(response["id"])
        spoken, muted = None, False
        if response["id"] == self._active:
            spoken, muted = self._spoken, self._muted
            self._active = None
            self._muted = self.expecting = False
        spent = usage(response.get("usage") or {})
        status, details = response["status"], response.get("status_details") or {}
        events: list[VoiceEvent] = []
        if status == "cancelled":
            if details.get("reason") != "client_cancelled":
                events.append(Interrupted())
            events.append(TurnDone("interrupted", spent, spoken))
        elif status == "failed":
            events += self._failed_turn(details.get("error") or {}, spent, spoken)
        elif status == "completed":
            calls = self._tool_calls(response.get("output") or ())
            # A response that went on although the caller was heard: its end was dropped, so it counts as interrupted.
            events += [*calls, TurnDone("interrupted" if muted else "completed", spent, spoken)]
        else:
            reason = details.get("reason") or status
            events.append(TurnDone("completed" if spoken else "failed", spent, spoken, detail=f"cut short: {reason}"))
        self._ask()
        return events

    def _failed_turn(self, error: Frame, spent: Usage, spoken: str | None) -> list[VoiceEvent]:
        code = str(error.get("code") or error.get("type") or "")
        message = self._clean(str(error.get("message") or code or "the provider gave no reason"))
        events: list[VoiceEvent] = [TurnDone("failed", spent, spoken, detail=message)]
        if code in FATAL:
            self.over = True
            events.append(Failed(message, code))
        return events

    def _tool_calls(self, output: Sequence[Frame]) -> list[VoiceEvent]:
        """The tools that a completed response asks for. Arguments that are no JSON object are refused on the spot."""
        events: list[VoiceEvent] = []
        refused: list[str] = []
        calls = [item for item in output if item.get("type") == "function_call"]
        together = _Calls({text(call, "call_id") for call in calls})
        self._calls.update(dict.fromkeys(together.open, together))
        for call in calls:
            try:
                arguments = json.loads(call.get("arguments") or "{}")
            except ValueError:
                arguments = None
            if isinstance(arguments, dict):
                events.append(ToolCall(call["call_id"], text(call, "name"), arguments))
            else:
                events.append(
                    Warned(f"the model called '{call['name']}' with arguments that are no JSON object", "arguments")
                )
                refused.append(call["call_id"])
        for call_id in refused:
            self.tool_result(call_id, '{"error": "the arguments were not a JSON object"}', respond=True)
        return events

    def _rate_limits(self, event: Frame) -> Events:
        spent = [str(limit["name"]) for limit in event["rate_limits"] if limit.get("remaining") == 0]
        return (Warned(f"the provider's limit of {' and '.join(spent)} is used up", "rate_limit"),) if spent else ()

    def _error(self, event: Frame) -> Events:
        error = event["error"]
        code = str(error.get("code") or error.get("type") or "")
        message = self._clean(str(error.get("message") or code))
        passing = code in PASSING or error.get("type") in PASSING
        if code in BENIGN:
            return ()
        if code in FATAL or code == "session_expired" or not self.ready:
            self.over = True
            return (Failed(message, code, recoverable=passing and code not in FATAL),)
        request = self._refused_request(error.get("event_id"), again=code == BUSY)
        if code == BUSY:
            return ()
        if request:
            return (TurnDone("failed", detail=message),)
        return (Failed(message, code, recoverable=True) if passing else Warned(message, code),)

    def _refused_request(self, event_id: str | None, *, again: bool) -> bool:
        """Whether an error is about a response that we asked for; ``again`` puts it back at the head of the queue.

        The provider starts responses by itself after the caller's turns, so ours may come too late. If one began in
        between and has ended already we ask at once; else the end of the one that is active asks.
        """
        for request in (self._requested, self._begun):
            if request is None or request[0] != event_id:
                continue
            unheard_of = request is self._requested
            self._requested = self._begun = None
            if again:
                self._queue.appendleft(request[1])
            else:
                self.expecting = False
            if not (again and unheard_of):
                self._ask()
            return True
        return False

    _handlers: ClassVar[Mapping[str, Callable[[Realtime, Frame], Events]]] = {
        "response.output_audio.delta": _audio,
        "response.output_audio_transcript.delta": _voice_delta,
        "response.output_audio_transcript.done": _audio_transcript_done,
        "response.output_text.delta": _voice_delta,
        "response.output_text.done": _text_done,
        "response.created": _response_created,
        "response.done": _response_done,
        "input_audio_buffer.speech_started": _speech_started,
        "input_audio_buffer.speech_stopped": _speech_stopped,
        "conversation.item.input_audio_transcription.delta": _user_delta,
        "conversation.item.input_audio_transcription.completed": _user_completed,
        "conversation.item.input_audio_transcription.failed": _user_failed,
        "rate_limits.updated": _rate_limits,
        "session.created": _session_created,
        "session.updated": _session_updated,
        "error": _error,
    }
