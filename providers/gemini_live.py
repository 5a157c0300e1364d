"""Gemini Live (BidiGenerateContent) as a state machine without I/O: frames in, voice events and frames out.

The protocol knows turns, not responses: there are no ids, no end of speech that can be relied on, and no truncation
(the server itself models what was played). Its audio is 16 kHz in and 24 kHz out. Source: ai.google.dev/api/live; every
frame is checked in tests against the vendor's own types.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from providers.gemini_schema import gemini_schema
from providers.oddities import Oddities
from providers.realtime_fields import Frame, text, whole
from providers.resample import Divider, Doubler
from providers.sound import decode, encode
from providers.voice import (
    Audio,
    Expiring,
    Interrupted,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    ToolCancelled,
    TurnDone,
    Usage,
    Used,
    UserText,
    VoiceEvent,
    VoiceText,
)

Events = Sequence[VoiceEvent]
_APPEND = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
_END = b'"}}}'


class Live:
    """One session. ``setup`` is the first message; it is sent again, with a handle, when the session is resumed."""

    def __init__(self, session: Session, setup: dict[str, Any], *, secret: str = "") -> None:
        self.out: deque[str] = deque()
        self.ready = False
        self.over = False
        self.leaving = False  # the server wants us on another connection
        self.expires_at: float | None = None
        self.expecting = False
        self._format = session.format
        self._setup = setup
        self._handle: str | None = None
        self._up, self._down = Doubler(), Divider()
        self._turn = 0
        self._active = False  # the model's turn is under way
        self._called = False  # it has asked for tools
        self._muted = False
        self._spoken: str | None = None
        self._ended: str | None = None  # what was said before the turn called tools
        self._words: list[str] = []
        self._said: list[str] = []  # by the caller
        self._caller = 0
        self._speaking = False  # the caller
        self._model = str(setup.get("model") or "").removeprefix("models/")
        self._spent = Usage(model=self._model)
        self._texts: deque[str] = deque()  # turns of ours that wait for the end of the model's
        self._asked = False  # one of them was sent, and its answer has not ended
        self._tools: dict[str, str] = {}  # call id -> name
        self._oddities = Oddities(secret)
        self._send(setup=setup)

    # ── what the owner wants ──────────────────────────────────────────────────────────────────────────────────────────

    def append(self, audio: bytes) -> bytes:
        """The frame that carries caller audio."""
        wide = self._up.feed(decode(audio, self._format))
        return _APPEND + b2a_base64(wide, newline=False) + _END

    def say(self, words: str) -> None:
        """Ask for these words. As live text, in order with the audio: client content beside live audio ends the session
        with 1007."""
        self._ask(f"Say the following words to the caller, exactly as written, and nothing else:\n\n{words}")

    def answer(self) -> None:
        """Ask for an answer of the model's own; the protocol has no such word but a turn of ours."""
        self._ask("(The connection was restored. Go on.)")

    def _ask(self, told: str) -> None:
        """A turn of ours. It would cut off the answer that is being given or was asked for, so it waits for its end."""
        if self._active or self._asked:
            self._texts.append(told)
            return
        self._asked = self.expecting = True
        self._send(realtimeInput={"text": told})

    def interrupt(self) -> None:
        """Stop the model; what is still under way is not heard."""
        self._texts.clear()
        if self._active or self.expecting:
            self._muted = True
            self._send(clientContent={"turnComplete": False})

    @property
    def owes(self) -> bool:
        """Whether a turn of the model is under way: what it used is told with its end."""
        return self._active or self._called

    def truncate(self, item: str, played_ms: int) -> None:
        """The protocol has no word for it."""

    def tool_result(self, call_id: str, output: str, *, respond: bool) -> None:
        """Hand in a result; each is answered when the model finds time, or silently."""
        name = self._tools.pop(call_id, None)
        if name is None:
            return
        try:
            result = json.loads(output)
        except ValueError:
            result = output
        answer = {
            "id": call_id, "name": name, "response": {"output": result},
            "scheduling": "WHEN_IDLE" if respond else "SILENT",
        }  # fmt: skip
        self._send(toolResponse={"functionResponses": [answer]})
        self.expecting = self.expecting or (respond and not self._tools)

    def update(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Change what the model was told."""
        changes: dict[str, Any] = {}
        if instructions is not None:
            changes["systemInstruction"] = {"parts": [{"text": instructions}]}
        self._setup = {**self._setup, **changes}
        if tools is not None:
            self._setup["tools"] = declarations(tools)
            changes["tools"] = {"tools": self._setup["tools"]}  # so that an empty list differs from none
        self._send(contextUpdate=changes)

    def give_up_waiting(self) -> None:
        """The expected answer did not come."""
        self.expecting = self._muted = self._active = self._called = False
        self._ask_next()

    def _ask_next(self) -> None:
        self._asked = False
        if self._texts:
            self._ask(self._texts.popleft())

    def resume(self) -> bool:
        """Whether the session can be continued on another connection; the first frame for it is then in ``out``."""
        if self._handle is None:
            return False
        self.out.clear()
        self.ready = self.over = self.leaving = self._speaking = False
        self._active = self._called = self._muted = self._asked = False
        self._send(setup={**self._setup, "sessionResumption": {"handle": self._handle}})
        return True

    @property
    def quiet(self) -> bool:
        """Nobody speaks and nothing is awaited: a moment to change the connection unheard."""
        return not (self._active or self._speaking or self.expecting or self._tools)

    def _send(self, **message: Any) -> None:
        self.out.append(json.dumps(message))

    # ── what the provider says ────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, frame: str | bytes) -> Events:
        """The events in one frame. One that makes no sense is a warning, never an exception."""
        try:
            message = json.loads(frame)
            events: list[VoiceEvent] = []
            for name, handle in (
                ("setupComplete", self._ready),
                ("voiceActivity", self._activity),
                ("serverContent", self._content),
                ("toolCall", self._tool_call),
                ("toolCallCancellation", self._cancellation),
                ("usageMetadata", self._usage),
                ("sessionResumptionUpdate", self._resumption),
                ("goAway", self._go_away),
            ):
                if name in message:
                    events += handle(message[name] or {})
            if (message.get("serverContent") or {}).get("turnComplete"):
                events += self._turn_complete()
            return events
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            return self._oddities.tell(error)

    def _ready(self, message: Frame) -> Events:
        self.ready = True
        if self._texts:
            self._ask_next()
        return (Ready(str(message.get("sessionId") or "")),)

    def _activity(self, message: Frame) -> Events:
        if message.get("voiceActivityType") == "ACTIVITY_START":
            return self._caller_speaks()
        self._speaking = False
        self.expecting = True
        return (SpeechStopped(),)

    def _caller_speaks(self) -> Events:
        if self._speaking:
            return ()
        self._speaking = True
        self.expecting = False
        return (SpeechStarted(),)

    def _content(self, content: Frame) -> Events:
        events: list[VoiceEvent] = []
        heard = content.get("inputTranscription") or {}
        if heard.get("text"):
            events += self._heard(text(heard, "text"))
        if content.get("interrupted"):
            events += self._interrupted()
        for part in (content.get("modelTurn") or {}).get("parts") or ():
            events += self._part(part)
        spoken = content.get("outputTranscription") or {}
        if spoken.get("text"):
            events += self._worded(text(spoken, "text"))
        return events

    def _heard(self, words: str) -> Events:
        if not self._said:
            self._caller += 1
        self._said.append(words)
        self.expecting = True
        return (UserText("".join(self._said).strip(), final=False, item=f"caller_{self._caller}"),)

    def _heard_all(self) -> Events:
        said = "".join(self._said).strip()
        self._said.clear()
        return (UserText(said, item=f"caller_{self._caller}"),) if said else ()

    def _interrupted(self) -> Events:
        self._muted = self._active
        self._texts.clear()
        return (Interrupted(),)

    def _begin(self) -> Events:
        """The first of a turn of the model: what the caller said is then complete."""
        if self._active:
            return ()
        self._turn += 1
        self._active, self._spoken, self._ended = True, None, None
        self._down = Divider()
        self._words.clear()
        events: list[VoiceEvent] = [SpeechStopped()] if self._speaking else []
        self._speaking = False
        return [*self._heard_all(), *events]

    def _part(self, part: Frame) -> Events:
        data = part.get("inlineData")
        if data is None or part.get("thought"):
            return ()
        events = self._begin()
        if self._muted:
            return events
        self.expecting = False
        pcm = a2b_base64(data["data"], strict_mode=True)
        self._spoken = f"turn_{self._turn}"
        samples = encode(self._down.feed(pcm), self._format)
        return [*events, Audio(samples, self._spoken)] if samples else events

    def _worded(self, words: str) -> Events:
        events = self._begin()
        if self._muted:
            return events
        self._words.append(words)
        return [*events, VoiceText(words, f"turn_{self._turn}")]

    def _turn_complete(self) -> Events:
        events = list(self._heard_all())
        item, muted, ended = self._spoken, self._muted, self._ended
        events += self._whole_text()
        spent, self._spent = self._spent, Usage(model=self._model)
        self._active = self._called = self._muted = self.expecting = False
        self._spoken = self._ended = None
        self._ask_next()
        if item is None and ended is not None:  # what was said has ended before the tools were called
            return [*events, Used(spent)]
        return [*events, TurnDone("interrupted" if muted else "completed", spent, item)]

    def _tool_call(self, message: Frame) -> Events:
        events: list[VoiceEvent] = [*self._heard_all()]
        self.expecting, self._called = False, True
        for call in message.get("functionCalls") or ():
            id, name, given = text(call, "id"), text(call, "name"), call.get("args") or {}
            if not isinstance(given, Mapping):
                raise TypeError("args is no object")
            self._tools[id] = name
            events.append(ToolCall(id, name, given))
        if self._spoken is not None:  # the server's turn may wait for the tools; what was said is whole
            self._ended, self._spoken = self._spoken, None
            events += [*self._whole_text(), TurnDone("interrupted" if self._muted else "completed", item=self._ended)]
            self._active = self._muted = False
        return events

    def _whole_text(self) -> Events:
        words = "".join(self._words).strip()
        self._words.clear()
        return (VoiceText(words, f"turn_{self._turn}", final=True),) if words else ()

    def _cancellation(self, message: Frame) -> Events:
        ids = [id for id in message.get("ids") or () if self._tools.pop(id, None) is not None]
        return [ToolCancelled(id) for id in ids]

    def _usage(self, message: Frame) -> Events:
        """Every snapshot counts: the whole context is charged anew each turn. What the details leave open is text."""
        if not isinstance(message, Mapping):
            return ()  # what a vendor counts wrongly must not cost the turn that it came with
        heard = _by_modality(message.get("promptTokensDetails"), message.get("promptTokenCount"))
        spoken = _by_modality(message.get("responseTokensDetails"), message.get("responseTokenCount"))
        kept = _by_modality(message.get("cacheTokensDetails"), message.get("cachedContentTokenCount"))
        self._spent += Usage(
            input_text=heard[0] + whole(message.get("toolUsePromptTokenCount")),
            input_audio=heard[1],
            cached=sum(kept),
            output_text=spoken[0] + whole(message.get("thoughtsTokenCount")),
            output_audio=spoken[1],
            cached_audio=kept[1],
            model=self._model,
        )
        return ()

    def settle(self) -> Sequence[Usage]:
        """What a turn used that was not brought to its end."""
        spent, self._spent = self._spent, Usage(model=self._model)
        return (spent,) if spent != self._spent else ()

    def _resumption(self, message: Frame) -> Events:
        if message.get("resumable") and message.get("newHandle"):
            self._handle = text(message, "newHandle")
        return ()

    def _go_away(self, message: Frame) -> Events:
        left = float(str(message.get("timeLeft") or "0s").removesuffix("s") or 0)
        if self._handle is None:
            return (Expiring(left),)
        self.leaving = True
        return ()


def declarations(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as the protocol writes them."""
    functions = []
    for tool in tools:
        schema = gemini_schema(tool.parameters)
        functions.append({
            "name": tool.name, "description": tool.description,
            **({"parameters": schema} if schema.get("properties") else {}),
        })  # fmt: skip
    return [{"functionDeclarations": functions}] if functions else []


def _by_modality(details: Any, total: Any) -> tuple[int, int]:
    """Tokens of text and of audio."""
    each = [one for one in details if isinstance(one, Mapping)] if isinstance(details, Sequence) else []
    audio = sum(whole(one.get("tokenCount")) for one in each if one.get("modality") == "AUDIO")
    return max(0, whole(total) - audio), audio
