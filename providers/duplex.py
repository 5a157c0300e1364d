"""OpenAI's Live protocol (GPT-Live) as a state machine without I/O: frames in, voice events and frames out.

The model listens while it speaks and decides itself when to speak, to go on or to stop: there are no turns, no
responses, no ids, nothing to cancel and nothing to truncate. Its voice is one stream at the pace at which it is heard,
silence included; `Utterances` finds the utterances in it. What it cannot do itself it delegates: to us, who read the
talk and work (`hand_on` is told that there is something to do), or to a text model of the vendor's (`BackendCalls`).
Source: the openai package's types of the Live API, which judge every frame in tests.
"""

from __future__ import annotations

import json
import time
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from providers.duplex_backend import BackendCalls
from providers.oddities import Oddities
from providers.realtime_errors import read_error
from providers.realtime_fields import MOST, Frame, part, text, tool_definitions
from providers.utterances import Utterances
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
    UserText,
    Utterance,
    VoiceEvent,
    VoiceText,
    Warned,
)

LONGEST = 1200  # characters of one appended text; the vendor takes 500 tokens
CALLER_PAUSES = 0.6  # seconds without a word of the caller that end their turn; the vendor tells no end
MOST_LATE_MS = 300.0  # so late words of the caller are believed to be
GAVE_WAY_MS = 500.0  # the caller spoke so shortly before the voice fell silent, or after it: it gave way
CONTINUOUS = 3  # silent frames: it sends them always
DEAD_AFTER = 2.0  # seconds without a frame of a service that else sends silence, too
GO_ON = "Go on with the conversation now: answer what the caller said last."
_APPEND = b'{"type":"session.input_audio.append","audio":"'
_END = b'"}'
_CLOSED = {  # reason: (what it means, whether a new session may go on)
    "expired": ("the session has lasted as long as it may", True),
    "connection_lost": ("the connection broke inside the service", True),
    "content": ("a safety filter ended the session", False),
    "remote_hangup": ("the other side hung up", False),
}

Events = Sequence[VoiceEvent]


class Duplex:
    """One session. ``configuration`` is the ``session`` object of session.start.

    ``answer_timeout``: seconds in which a text that we gave must begin to be spoken.
    """

    def __init__(
        self,
        session: Session,
        configuration: Frame,
        *,
        secret: str = "",
        answer_timeout: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.out: deque[str] = deque()
        self.ready = False
        self.over = False
        self.leaving = False
        self.expires_at: float | None = None
        self.seconds = 0.0  # of the session so far, as the vendor counts them
        self.hand_on: Callable[[str], None] | None = None  # is given each delegation that is ours
        self.said: list[Utterance] = list(session.history)  # by either side, in order
        self._instructions = session.instructions
        self._backend = configuration.get("delegation", {}).get("type") == "responses"
        self._always_listens = session.turns.interruptible
        self._answer_timeout = answer_timeout
        self._clock = clock
        self._asked_at: float | None = None
        self._unconfirmed = 0  # texts that we gave and the vendor has not confirmed
        self._stream = Utterances(session.format)
        self._frame_at = 0.0
        self._silent_frames = 0
        self._muted = False  # the rest of the utterance is not wanted
        self._number = 0
        self._words: list[str] = []  # of the voice
        self._heard: list[str] = []  # of the caller
        self._heard_at = self._heard_ms = self._heard_until_ms = 0.0
        self._spoken_over = False  # the caller spoke while the voice did
        self._turns = 0  # of the caller
        self._spent = Usage()
        self._model = str(configuration.get("model") or "")
        works = part(part(configuration, "delegation"), "responses").get("model")
        self._calls = BackendCalls(self._refuse, str(works or ""))
        self._oddities = Oddities(secret)
        self.clean = self._oddities.clean
        self._send("session.start", session=configuration)

    # ── what the owner wants ──────────────────────────────────────────────────────────────────────────────────────────

    def append(self, audio: bytes) -> bytes:
        """The frame that carries caller audio."""
        return _APPEND + b2a_base64(audio, newline=False) + _END

    def say(self, words: str, work: str | None = None) -> None:
        """Have this said; the model says it almost to the letter. ``work``: the delegation that it answers."""
        self._tell("commentary", words, work)
        self._expect()

    def answer(self) -> None:
        """Answer although the caller did not just speak."""
        self.instruct(GO_ON)
        self._expect()

    def instruct(self, words: str, work: str | None = None) -> None:
        """Tell the model what to do, as a developer does."""
        self._tell("instructions", words, work)

    def interrupt(self) -> None:
        """Let nothing more be heard of what is being said; the model itself cannot be stopped."""
        self._muted = self._stream.open

    def truncate(self, item: str, played_ms: int) -> None:
        """The protocol has no word for it."""

    def tool_result(self, call_id: str, output: str, *, respond: bool) -> None:
        """Hand in the result of a call that the vendor's text model made."""
        answered = self._calls.answered(call_id, respond=respond)
        if answered is None:
            return
        item = {"type": "function_call_output", "call_id": call_id, "output": output}
        self._send("response.item.create", item=item)
        if answered:
            self._send("response.create")

    def update(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Change what the model was told. Instructions cannot be replaced: what is new in them is added."""
        if instructions is not None:
            known, self._instructions = self._instructions, instructions
            if added := instructions.replace(known, "").strip() if known else instructions:
                self.instruct(added)
        if self._backend and (tools is not None or instructions is not None):
            changes: dict[str, Any] = {} if instructions is None else {"instructions": instructions}
            if tools is not None:
                changes["tools"] = tool_definitions(tools)
            self._send("session.update", session={"delegation": {"type": "responses", "responses": changes}})

    def _refuse(self, call_id: str, why: str) -> None:
        self.tool_result(call_id, json.dumps({"error": why}), respond=True)

    def spend(self, usage: Usage) -> None:
        """Whoever did the work used this; the next turn tells."""
        self._spent += usage

    def take_spent(self) -> Usage:
        """What was used and has not been told."""
        spent, self._spent = self._spent, Usage()
        return spent

    def settle(self) -> Sequence[Usage]:
        """What no turn has told."""
        spent = self.take_spent()
        return (spent,) if spent != Usage() else ()

    def give_up_waiting(self) -> None:
        """What was to be spoken did not come."""
        self._asked_at, self._muted = None, False

    def hang_up(self) -> None:
        """Ask for the end of the session and its final count."""
        self._send("session.close")

    def resume(self) -> bool:
        """No: a new session is given the conversation so far."""
        return False

    @property
    def expecting(self) -> bool:
        """A text was given and its speech has not begun."""
        return self._asked_at is not None

    @property
    def speaking(self) -> bool:
        """The voice has begun an utterance and not ended it."""
        return self._stream.open

    @property
    def quiet(self) -> bool:
        """Nobody speaks and nothing is awaited."""
        return not (self._stream.open or self._heard or self.expecting)

    @property
    def ticking(self) -> bool:
        """Something may follow from the time alone."""
        return not self.quiet or self._silent_frames >= CONTINUOUS

    def _expect(self) -> None:
        self._asked_at = self._clock()

    def _tell(self, kind: str, words: str, work: str | None) -> None:
        for piece in pieces(words):
            self._unconfirmed += 1
            self._send(f"session.{kind}.append", content=piece, delegation_id=work)

    def _send(self, type: str, **fields: Any) -> None:
        self.out.append(json.dumps({"type": type, **fields}))

    # ── what the provider says ────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, frame: str | bytes) -> Events:
        """The events in one frame. One that makes no sense is a warning, never an exception."""
        try:
            event = json.loads(frame)
            handle = self._handlers.get(event["type"])
            return () if handle is None else handle(self, event)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            return self._oddities.tell(error)

    def tick(self) -> Events:
        """What follows from the time alone; the vendor tells no ends."""
        now = self._clock()
        events: list[VoiceEvent] = []
        if self._silent_frames >= CONTINUOUS and now - self._frame_at >= DEAD_AFTER:
            self.over = True
            return (Failed(f"nothing came for {DEAD_AFTER:g} s", "silent", recoverable=True),)
        if self._stream.over(now):
            events += self._utterance_over()
        paused = max(now - self._heard_at, (self._stream.ms - self._heard_ms) / 1000)
        if self._heard and paused >= CALLER_PAUSES:
            events += self._caller_pauses()
        late = self._asked_at is not None and now - self._asked_at >= self._answer_timeout
        if late and not self._stream.open:
            self.give_up_waiting()
            events.append(Failed(f"nothing was spoken within {self._answer_timeout:g} s", "stalled", recoverable=True))
        return events

    def _started(self, event: Frame) -> Events:
        session = event["session"]
        expires = session.get("expires_at")
        self.expires_at = float(expires) if isinstance(expires, int | float) else None
        self.ready = True
        return (Ready(str(session.get("id") or "")),)

    def _audio(self, event: Frame) -> Events:
        audio = a2b_base64(event["delta"], strict_mode=True)
        was_open = self._stream.open
        self._frame_at = self._clock()
        sound = self._stream.feed(audio, self._frame_at)
        self._silent_frames += self._stream.silent
        events: list[VoiceEvent] = []
        if self._stream.open and not was_open:
            events += self._utterance_begins()
        if sound and not self._muted:
            events.append(Audio(sound, self._item))
        return [*events, *self.tick()]

    @property
    def _item(self) -> str:
        return f"utterance_{self._number}"

    def _utterance_begins(self) -> Events:
        self._number += 1
        self._spoken_over = False
        self._asked_at, self._muted = None, False
        if not self._always_listens:
            self._send("session.input_audio.mute")
        return self._caller_pauses()

    def _utterance_over(self) -> Events:
        """The voice is silent. When the caller speaks meanwhile it gave way: what waits to be played is not wanted."""
        gave_way = self._spoken_over and self._stream.sound_ms - self._heard_until_ms < GAVE_WAY_MS
        cut, words = self._muted, "".join(self._words).strip()
        spent = self.take_spent()
        self._muted = False
        self._words.clear()
        if not self._always_listens:
            self._send("session.input_audio.unmute")
        events: list[VoiceEvent] = [Interrupted()] if gave_way else []
        if words:
            self.said.append(Utterance("voice", words))
            events.append(VoiceText(words, self._item, final=True))
        return [*events, TurnDone("interrupted" if gave_way or cut else "completed", spent, self._item)]

    def _worded(self, event: Frame) -> Events:
        """Words come beside their sound, a little before it or after it."""
        words = text(event, "delta")
        self._words.append(words)
        if self._stream.open and not self._unconfirmed:
            self._asked_at = None  # what was asked for is said in the breath of what was being said
        return (VoiceText(words, self._item),) if self._stream.open and not self._muted else ()

    def _hears(self, event: Frame) -> Events:
        words = text(event, "delta")
        if not words.strip() and not self._heard:
            return ()
        events: list[VoiceEvent] = []
        if not self._heard:
            self._turns += 1
            events.append(SpeechStarted())
        self._heard.append(words)
        self._spoken_over = self._spoken_over or self._stream.open
        # Words come late; how late, their place on the time line tells where that is the time line of the sound.
        self._heard_at = self._clock()
        self._heard_until_ms = float(event["end_ms"])
        self._heard_ms = min(max(self._heard_until_ms, self._stream.ms - MOST_LATE_MS), self._stream.ms)
        return [*events, UserText("".join(self._heard).strip(), final=False, item=f"caller_{self._turns}")]

    def _caller_pauses(self) -> Events:
        words = "".join(self._heard).strip()
        if not words:
            return ()
        self._heard.clear()
        self.said.append(Utterance("caller", words))
        return (UserText(words, item=f"caller_{self._turns}"), SpeechStopped())

    def words_so_far(self) -> list[Utterance]:
        """The conversation as it is now, the caller's unfinished sentence included."""
        unfinished = "".join(self._heard).strip()
        return [*self.said, *([Utterance("caller", unfinished)] if unfinished else [])]

    def _confirmed(self, event: Frame) -> Events:
        self._unconfirmed = max(0, self._unconfirmed - 1)
        return ()

    def _delegated(self, event: Frame) -> Events:
        delegation = event["delegation"]
        if delegation["target"] == "client" and self.hand_on is not None:
            self.hand_on(text(delegation, "id"))
        return ()

    def _backend_event(self, event: Frame) -> Events:
        events = self._calls.receive(str(event.get("delegation_id") or ""), event["event"])
        self.spend(self._calls.take_usage())
        return events

    def _counted(self, event: Frame) -> Events:
        """The vendor tells the seconds of the whole session; what is new in them counts."""
        told = part(event, "usage").get("seconds")
        if isinstance(told, bool) or not isinstance(told, int | float) or not self.seconds < told < MOST:
            return ()
        new, self.seconds = told - self.seconds, float(told)
        return (Used(Usage(seconds_session=new, model=self._model)),)

    def _closed(self, event: Frame) -> Events:
        used = self._counted(event)
        self.over = True
        reason = str(event.get("reason"))
        if reason == "close_requested":
            return used
        meaning, again = _CLOSED.get(reason, (f"the service ended the session ({reason})", True))
        return (*used, Failed(meaning, f"closed_{reason}", recoverable=again))

    def _info(self, event: Frame) -> Events:
        return (Warned(self.clean(str(event.get("message") or "")), str(event.get("code") or "")),)

    def _error(self, event: Frame) -> Events:
        error = read_error(event["error"])
        message = self.clean(error.message)
        if error.fatal or not self.ready:
            self.over = True
            return (Failed(message, error.code, recoverable=error.passing and not error.fatal),)
        return (Failed(message, error.code, recoverable=True) if error.passing else Warned(message, error.code),)

    _handlers: ClassVar[Mapping[str, Callable[[Duplex, Frame], Events]]] = {
        "session.output_audio.delta": _audio,
        "session.output_transcript.delta": _worded,
        "session.input_transcript.delta": _hears,
        "session.started": _started,
        "session.commentary.appended": _confirmed,
        "session.instructions.appended": _confirmed,
        "session.delegation.created": _delegated,
        "response.event": _backend_event,
        "session.usage.updated": _counted,
        "session.closed": _closed,
        "info": _info,
        "error": _error,
    }


def pieces(words: str) -> list[str]:
    """A text in parts that the vendor takes, cut at the ends of sentences or words where it can be."""
    found = []
    rest = words.strip()
    while len(rest) > LONGEST:
        end = max(rest.rfind(mark, LONGEST // 2, LONGEST) + 1 for mark in (". ", "? ", "! ", "\n"))
        end = end or rest.rfind(" ", 1, LONGEST) + 1 or LONGEST
        found.append(rest[:end].strip())
        rest = rest[end:].strip()
    return [*found, rest] if rest else found
