"""The realtime protocol as a state machine without I/O: frames in, voice events and frames out.

It speaks OpenAI's GA names; what other vendors say differently is a `Dialect`. It alone decides when a response is
asked for: never while one is active, and what comes in between waits in a queue. Source: the vendors' API references;
every frame is checked in tests against the vendor's types.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar

from providers.oddities import Oddities
from providers.realtime_audio import AudioFrames
from providers.realtime_calls import ToolCalls, asked
from providers.realtime_dialects import OPENAI, Dialect, opening, told
from providers.realtime_errors import BENIGN, BUSY, read_error, used_up
from providers.realtime_fields import Frame, text, tool_definitions
from providers.realtime_meter import Meter
from providers.realtime_requests import RESPOND, Requests
from providers.realtime_words import CallerWords
from providers.voice import (
    Audio,
    Failed,
    Interrupted,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    TurnDone,
    Usage,
    Used,
    VoiceEvent,
    VoiceText,
    Warned,
)

REMEMBERED = 16  # responses and items of the past
_APPEND = b'{"type":"input_audio_buffer.append","audio":"'
_END = b'"}'

Events = Sequence[VoiceEvent]


class Realtime:
    """One session. ``receive`` takes the provider's frames; whatever is to be sent is appended to ``out``.

    ``configuration`` is the ``session`` object of the first session.update, ``model`` whose tokens are counted.
    ``secret`` is blotted out of every message.
    """

    def __init__(
        self, session: Session, configuration: Frame, *, secret: str = "", dialect: Dialect = OPENAI, model: str = ""
    ) -> None:
        self.out: deque[str] = deque()
        self.ready = False
        self.over = False  # nothing more can come of this session
        self.leaving = False  # the provider wants us on another connection: not here
        self.quiet = False
        self.expires_at: float | None = None  # unix seconds, when the provider tells
        self.expecting = False  # an answer was asked for and nothing of it has come yet
        self._session = session
        self._configuration = configuration
        self._dialect = dialect
        self._configured = False
        self._bytes_per_ms = session.format.bytes_per_ms
        self._meter = Meter(model, configuration, self._bytes_per_ms, by_the_minute=dialect.by_the_minute)
        self.settle = self._meter.settle
        self._number = count(1)
        self._requests = Requests()
        self._active: str | None = None  # response id
        self._muted = False  # the active response was interrupted: nothing more of it is heard
        self._past: deque[str] = deque(maxlen=REMEMBERED)  # responses that ended
        self._spoken: str | None = None  # item of the active response that has audio
        self._wording: dict[str, str] = {}  # item -> the kind of event that brings its words; a vendor may send two
        self._received: dict[str, int] = {}  # item -> bytes handed on
        self._calls = ToolCalls()
        self._heard = CallerWords()
        self._last = ""  # frame
        self._frames = AudioFrames(dialect.audio)
        self._oddities = Oddities(secret)
        self._clean = self._oddities.clean

    def resume(self) -> bool:
        """No: a new session is given the conversation so far."""
        return False

    # ── what the owner wants ──────────────────────────────────────────────────────────────────────────────────────────

    def append(self, audio: bytes) -> bytes:
        """The frame that carries caller audio."""
        self._meter.sent += len(audio)
        return _APPEND + b2a_base64(audio, newline=False) + _END

    def say(self, words: str) -> None:
        """Ask for a response that speaks this text; where there is no verbatim speech the model is told to be exact."""
        if self._dialect.verbatim is not None:
            self._requests.add(self._dialect.verbatim(words))
        else:
            instructions = f"Say the following words to the caller, exactly as written, and nothing else:\n\n{words}"
            self._requests.add({**RESPOND, "response": {"instructions": instructions, "tool_choice": "none"}})
        self._ask()

    def answer(self) -> None:
        """Ask for an answer of the model's own."""
        self._requests.add(RESPOND)
        self._ask()

    def interrupt(self) -> None:
        """Cancel the response that is active or asked for, and what was to be said after it."""
        self._requests.drop_words()
        if self._active is not None or self._requests.pending:
            self._muted = self.expecting = True
            self._send("response.cancel")

    @property
    def owes(self) -> bool:
        """Whether a response is under way: what it used is told with its end."""
        return self._active is not None

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
        answer = self._calls.answered(call_id, respond=respond)
        if answer is None:
            return
        output_of = {"type": "function_call_output", "call_id": call_id, "output": output}
        self._send("conversation.item.create", item=output_of)
        if answer:
            self._requests.add(RESPOND)
            self._ask()

    def update(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Change instructions and tools of the session."""
        changes = {name: value for name, value in self._configuration.items() if name == "type"}
        if instructions is not None:
            changes["instructions"] = told(self._dialect, instructions, self._session.history)
        if tools is not None:
            changes["tools"] = tool_definitions(tools)
        self._send("session.update", session=changes)

    def give_up_waiting(self) -> None:
        """The expected answer did not come: ask for the next one in the queue instead of blocking it for ever."""
        if self._active is not None:
            self._past.append(self._active)
        self._active = None
        self._requests.give_up()
        self._frames.forget()
        self._muted = self.expecting = False
        self._ask()

    def _ask(self) -> None:
        if self._active is None and (request := self._requests.next()) is not None:
            self._requests.asked(self._send(**request), request)
            self._muted = False
            self.expecting = True

    def _send(self, type: str, **fields: Any) -> str:
        if type == "conversation.item.create":
            self._meter.item(fields["item"])
        event_id = f"event_{next(self._number)}"
        self.out.append(json.dumps({"type": type, "event_id": event_id, **fields}))
        return event_id

    # ── what the provider says ────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, frame: str | bytes) -> Events:
        """The events in one frame. A frame that makes no sense is a warning, never an exception."""
        if isinstance(frame, bytes):
            return self._oddities.tell(f"{len(frame)} bytes of binary data")
        if frame == self._last:
            return ()  # the same event once more
        self._last = frame
        audio = self._more_audio(frame)
        if audio is not None:
            return (audio,)
        try:
            event = json.loads(frame)
            kind = event["type"]
            handler = self._handlers.get(self._dialect.names.get(kind, kind))
            return handler(self, event) if handler is not None else ()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            return self._oddities.tell(error)

    def _session_created(self, event: Frame) -> Events:
        self._note_expiry(event.get("session") or {})
        if self._configured:
            return ()
        self._configured = True
        for frame in opening(self._dialect, self._configuration, self._session.history):
            self._send(**frame)
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
            if self._dialect.cancels and not self._muted:
                self._send("response.cancel")
            self._muted = True  # it is being cancelled; what is still under way must not be heard
        return (SpeechStarted(),)

    def _speech_stopped(self, event: Frame) -> Events:
        self.expecting = True
        return (SpeechStopped(),)

    def _user_delta(self, event: Frame) -> Events:
        return self._heard.more(event)

    def _user_completed(self, event: Frame) -> Events:
        told = self._heard.completed(event)
        return (told, *self._meter.transcript(told.item, event.get("usage"))) if told.final else (told,)

    def _user_failed(self, event: Frame) -> Events:
        why = self._clean(self._heard.failed(event))
        return (Warned(f"no transcript of what the caller said: {why}", "transcription"),)

    def _response_created(self, event: Frame) -> Events:
        response = text(event["response"], "id")
        if response in self._past:
            return ()
        # Interrupted between asking and beginning: `_muted` was set by `interrupt` and holds for this response.
        self._muted = self._muted and self._requests.pending
        self._active, self._spoken = response, None
        self._wording.clear()
        self._calls.clear_offers()
        self._requests.begins()
        return ()

    def _is_stale(self, response: str) -> bool:
        return self._muted if response == self._active else response in self._past

    def _audio(self, event: Frame) -> Events:
        data = a2b_base64(event["delta"], strict_mode=True)
        self._meter.received += len(data)
        if self._is_stale(event["response_id"]):
            return ()
        item = text(event, "item_id")
        self._frames.learn(self._last, event)
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

    def _more_audio(self, frame: str) -> Audio | None:
        """The audio of a frame that is like the last one, without parsing it."""
        item = self._spoken
        data = None if item is None or self._muted or item not in self._received else self._frames.read(frame)
        if data is None or item is None:
            self._frames.forget()
            return None
        self._received[item] += len(data)
        self._meter.received += len(data)
        return Audio(data, item)

    def _is_second_wording(self, event: Frame) -> bool:
        """Whether the same words come by another kind of event, too."""
        kind = event["type"].rpartition(".")[0]
        return bool(kind != self._wording.setdefault(text(event, "item_id"), kind))

    def _voice_delta(self, event: Frame) -> Events:
        if self._is_stale(event["response_id"]) or self._is_second_wording(event):
            return ()
        self.expecting = False
        return (VoiceText(text(event, "delta"), text(event, "item_id")),)

    def _words_done(self, event: Frame) -> Events:
        if self._is_stale(event["response_id"]) or self._is_second_wording(event):
            return ()
        words = text(event, "transcript" if "transcript" in event else "text")
        return (VoiceText(words, text(event, "item_id"), final=True),)

    def _response_done(self, event: Frame) -> Events:
        response = event["response"]
        spent = self._meter.answer(response["id"], response.get("usage") or event.get("usage"))
        if response["id"] in self._past:  # it was given up, or is told once more
            return () if spent is None else (Used(spent),)
        self._past.append(response["id"])
        spoken, muted, active = None, False, response["id"] == self._active
        if active:
            spoken, muted = self._spoken, self._muted
            self._active = None
            self._muted = self.expecting = False
        spent = spent or Usage()
        status, details = response["status"], response.get("status_details") or {}
        events: list[VoiceEvent] = []
        if status == "cancelled":
            if details.get("reason") != "client_cancelled":
                events.append(Interrupted())
            events.append(TurnDone("interrupted", spent, spoken))
        elif status == "failed":
            events += self._failed_turn(details.get("error") or {}, spent, spoken)
        elif status == "completed":
            calls = self._tool_calls(self._calls.of(response.get("output") or (), under_way=active))
            # A response that went on although the caller was heard: its end was dropped, so it counts as interrupted.
            events += [*calls, TurnDone("interrupted" if muted else "completed", spent, spoken)]
        else:
            reason = details.get("reason") or status
            events.append(TurnDone("completed" if spoken else "failed", spent, spoken, detail=f"cut short: {reason}"))
        self._ask()
        return events

    def _failed_turn(self, told: Frame, spent: Usage, spoken: str | None) -> list[VoiceEvent]:
        error = read_error(told, self._dialect.codes)
        message = self._clean(error.message)
        events: list[VoiceEvent] = [TurnDone("failed", spent, spoken, detail=message)]
        if error.fatal:
            self.over = True
            events.append(Failed(message, error.code))
        return events

    def _item_done(self, event: Frame) -> Events:
        """A tool call that the end of the response may not list (xAI)."""
        item = event["item"]
        if item.get("type") == "function_call" and self._active is not None and event["response_id"] == self._active:
            self._calls.offer(item)
        return ()

    def _tool_calls(self, calls: Sequence[Frame]) -> Sequence[VoiceEvent]:
        """The tools that a completed response asks for. Arguments that are no JSON object are refused on the spot."""
        events, refused = asked(calls)
        for call_id in refused:
            self.tool_result(call_id, '{"error": "the arguments were not a JSON object"}', respond=True)
        return events

    def _warning(self, event: Frame) -> Events:
        warning = event.get("warning") or event
        return (Warned(self._clean(str(warning.get("message"))), str(warning.get("code") or "")),)

    def _error(self, event: Frame) -> Events:
        error = read_error(event["error"], self._dialect.codes)
        message = self._clean(error.message)
        if error.code in BENIGN:
            return ()
        if error.fatal or error.code == "session_expired" or not self.ready:
            self.over = True
            return (Failed(message, error.code, recoverable=error.passing and not error.fatal),)
        busy = error.code == BUSY
        next_at_once = self._requests.refused(error.request, again=busy)
        if next_at_once is not None and not busy:
            self.expecting = False
        if next_at_once:
            self._ask()
        if busy:
            return ()
        if next_at_once is not None:
            return (TurnDone("failed", detail=message),)
        return (Failed(message, error.code, recoverable=True) if error.passing else Warned(message, error.code),)

    _handlers: ClassVar[Mapping[str, Callable[[Realtime, Frame], Events]]] = {
        "response.output_audio.delta": _audio,
        "response.output_audio_transcript.delta": _voice_delta,
        "response.output_audio_transcript.done": _words_done,
        "response.output_text.delta": _voice_delta,
        "response.output_text.done": _words_done,
        "response.created": _response_created,
        "response.output_item.done": _item_done,
        "response.done": _response_done,
        "input_audio_buffer.speech_started": _speech_started,
        "input_audio_buffer.speech_stopped": _speech_stopped,
        "conversation.item.input_audio_transcription.delta": _user_delta,
        "conversation.item.input_audio_transcription.updated": lambda self, event: self._heard.so_far(event),
        "conversation.item.input_audio_transcription.completed": _user_completed,
        "conversation.item.input_audio_transcription.failed": _user_failed,
        "rate_limits.updated": lambda _, event: used_up(event),
        "session.created": _session_created,
        "session.updated": _session_updated,
        "warning": _warning,
        "error": _error,
    }
