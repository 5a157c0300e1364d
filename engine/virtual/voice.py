"""A scripted voice: plays the part of the AI in tests. It hears the virtual caller's words and answers from a script.

    provider = VirtualProvider([
        [Says("What size?")],                                    # to the caller's first words
        [Calls("price", {"size": "L"})],                         # to the second
        [Says("Nine dollars. Goodbye."), Calls("finish", {"exit": "ordered"})],    # to the tool's result
    ])

Every time the voice owes an answer (the caller's turn ended, or a tool result asks for one) it takes the next reply.
A greeting or a reprompt (`say`) is spoken to the letter and takes none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.virtual.recogniser import VirtualRecogniser
from engine.virtual.words import Listening, Words, spoken
from providers.parts import TextModel
from providers.voice import (
    ALAW,
    ULAW,
    Audio,
    AudioFormat,
    Capabilities,
    Failed,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Usage,
    UserText,
    VoiceError,
    VoiceEvent,
    VoiceText,
)

_CHUNK_MS: Final = 100
_FASTER: Final = 8.0  # times real time, as clouds deliver

CAPABILITIES: Final = Capabilities(
    formats=(ULAW, ALAW), verbatim=True, truncation=True, tools=True, understands=True, turn_detection=True,
    recognises=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Says:
    """Speak, for so many milliseconds (None: as long as the text takes)."""

    text: str
    ms: int | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Call a tool (``finish`` is one). ``id``: how the call is known to who made it; else one is made up."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Waits:
    """Go on after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stalls:
    """Send nothing more of this reply, not even its end, until the caller speaks."""


@dataclass(frozen=True, slots=True)
class Fails:
    """Report an error; unless it is recoverable, the session is over."""

    message: str = "the provider failed"
    code: str = "server_error"
    recoverable: bool = False


@dataclass(frozen=True, slots=True)
class Closes:
    """The session ends without a word."""


Act = Says | Calls | Waits | Stalls | Fails | Closes
Reply = Sequence[Act]


@dataclass(slots=True)
class VirtualProvider:
    """Satisfies `providers.voice.Provider`. All its voices take their replies, in order, from the same ``replies``.

    ``thinks``: seconds from the end of the caller's turn to the first audio. ``pause``: silence that ends a turn.
    ``connects_after``: seconds, or the error that connecting raises. ``deaf``: it never takes the caller's audio.
    """

    script: Iterable[Reply] = ()
    capabilities: Capabilities = CAPABILITIES
    name: str = "virtual"
    thinks: float = 0.3
    pause: float = 0.2
    connects_after: float | VoiceError = 0.1
    deaf: bool = False
    writer: TextModel | None = None  # its text model
    replies: deque[Reply] = field(init=False)
    voices: list[VirtualVoice] = field(init=False, default_factory=list)  # every one that was ever made
    recognisers: list[VirtualRecogniser] = field(init=False, default_factory=list)  # the same
    closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.replies = deque(self.script)

    def voice(self, session: Session) -> VirtualVoice:
        """A voice for one conversation."""
        self.voices.append(VirtualVoice(self, session))
        return self.voices[-1]

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> VirtualRecogniser | None:
        """It understands the words of virtual speech, unless its capabilities say that it has none."""
        if not self.capabilities.recognises:
            return None
        self.recognisers.append(VirtualRecogniser(self.connects_after, self.pause, language, hints, self.deaf))
        return self.recognisers[-1]

    def text_model(self) -> TextModel | None:
        """The one that it was given."""
        return self.writer

    def speaker(self) -> VirtualSpeaker:
        """Text to virtual speech."""
        return VirtualSpeaker()

    async def close(self) -> None:
        """Nothing is shared."""
        self.closed = True


class VirtualSpeaker:
    """Satisfies `providers.voice.Speaker`."""

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """The prompt as virtual speech."""
        return spoken(text, None, format.encoding)


class VirtualVoice:
    """Satisfies `providers.voice.Voice`. What was done to it stands in its public lists, for assertions."""

    def __init__(self, provider: VirtualProvider, session: Session) -> None:
        self.session = session
        self.instructions = session.instructions
        self.tools: tuple[Tool, ...] = session.tools
        self.heard: list[str] = []  # what the caller said
        self.truncated: list[tuple[str, int]] = []  # item, milliseconds heard
        self.interrupted = 0  # calls of `interrupt`
        self.results: list[tuple[str, str, bool]] = []  # tool, output, respond
        self.closed = False
        self._provider = provider
        self._events: asyncio.Queue[VoiceEvent | None] = asyncio.Queue()
        self._listening = Listening()
        self._turn: list[Words] = []  # what the caller has said in this turn
        self._pending: deque[Reply] = deque()  # replies that wait for the one being given
        self._plan: deque[tuple[float, VoiceEvent | None]] = (
            deque()
        )  # seconds after the one before; None: the session ends
        self._timer: asyncio.TimerHandle | None = None
        self._turn_end: asyncio.TimerHandle | None = None
        self._busy = False  # a reply is being given
        self._item: str | None = None  # the utterance of that reply, once it was begun
        self._count = 0
        self._tool_names: dict[str, str] = {}

    async def connect(self) -> None:
        """Open the session. Raises `VoiceError` when the script says so."""
        after = self._provider.connects_after
        if isinstance(after, VoiceError):
            raise after
        await asyncio.sleep(after)

    async def events(self) -> AsyncIterator[VoiceEvent]:
        """Everything that happens, until the session ends."""
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        """Caller audio. Words in it are understood; other sounds are not."""
        if self._provider.deaf:
            await asyncio.Event().wait()
        if self.closed:
            return
        for piece in self._listening.feed(audio):
            if piece.words is not None and piece.first:
                self._caller_speaks(piece.words)
            if piece.words is not None and piece.last:
                self._after_speech()

    async def say(self, text: str) -> None:
        """Speak this text to the letter."""
        self._owe([Says(text)])

    async def answer(self) -> None:
        """The next reply."""
        self._owe(self._next_reply())

    async def interrupt(self) -> None:
        """Stop the answer that is being given, if any."""
        self.interrupted += 1
        self._stop_speaking()

    async def truncate(self, item: str, played_ms: int) -> None:
        """Note how much of an utterance was heard."""
        self.truncated.append((item, played_ms))

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Note the result; unless ``respond`` is False, the next reply follows."""
        self.results.append((self._tool_names.get(call_id, call_id), output, respond))
        if respond:
            self._owe_next()

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Note what changed."""
        self.instructions = self.instructions if instructions is None else instructions
        self.tools = self.tools if tools is None else tuple(tools)

    async def close(self) -> None:
        """End the session. Idempotent."""
        self._over()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being given, or owed."""
        return self._busy or bool(self._pending or self._turn)

    # ── Hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _caller_speaks(self, words: Words) -> None:
        self._turn.append(words)
        if self._turn_end is not None:
            self._turn_end.cancel()
            self._turn_end = None
        if len(self._turn) == 1:
            self._emit(SpeechStarted())
            if self._provider.capabilities.turn_detection and self.session.turns.interruptible:
                self._stop_speaking()

    def _after_speech(self) -> None:
        self._turn_end = asyncio.get_running_loop().call_later(self._provider.pause, self._turn_ended)

    def _turn_ended(self) -> None:
        self._turn_end = None
        text = self._understood()
        self._turn.clear()
        self.heard.append(text)
        self._emit(SpeechStopped())
        self._emit(UserText(text, item=f"caller{len(self.heard)}"))
        self._owe_next()

    def _understood(self) -> str:
        """What the caller said in the turn that is over."""
        return " ".join(words.text for words in self._turn)

    # ── Answering ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _owe_next(self) -> None:
        self._owe(self._next_reply())

    def _next_reply(self) -> Reply:
        replies = self._provider.replies
        if replies:
            return replies.popleft()
        said = f" to {self.heard[-1]!r}" if self.heard else ""
        return [Fails(f"the script of this test has no reply left{said}", "no_reply")]

    def _owe(self, reply: Reply) -> None:
        if self.closed:
            return
        self._pending.append(reply)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        """Lay out the next reply in time, and start on it."""
        if not self._pending:
            return None
        self._count += 1
        self._busy, self._item = True, None
        delay, item, spoke = self._provider.thinks, f"item{self._count}", False
        for number, act in enumerate(self._pending.popleft(), 1):
            match act:
                case Says():
                    spoke = True
                    delay = self._lay_out(act, item, delay)
                case Calls(tool, arguments, known_as):
                    id = known_as or f"{item}.{number}"
                    self._tool_names[id] = tool
                    self._plan.append((delay, ToolCall(id, tool, arguments)))
                    delay = 0.0
                case Waits(seconds):
                    delay += seconds
                case Stalls():
                    return self._arm()
                case Fails(message, code, recoverable):
                    self._plan.append((delay, Failed(message, code, recoverable)))
                    delay = 0.0
                    if not recoverable:
                        self._plan.append((0.0, None))
                case Closes():
                    self._plan.append((delay, None))
        usage = Usage(input_audio=10, output_audio=20 if spoke else 0)
        self._plan.append((delay, TurnDone("completed", usage, item if spoke else None)))
        return self._arm()

    def _lay_out(self, act: Says, item: str, delay: float) -> float:
        """Audio in chunks, faster than it will be played, then the text. Gives the delay of what follows."""
        audio = self._speech(act)
        size = _CHUNK_MS * self.session.format.bytes_per_ms
        for start in range(0, len(audio), size):
            self._plan.append((delay, Audio(audio[start : start + size], item)))
            delay = _CHUNK_MS / 1000 / _FASTER
        self._plan.append((0.0, VoiceText(act.text, item, final=True)))
        return delay

    def _speech(self, act: Says) -> bytes:
        """How it sounds."""
        return spoken(act.text, act.ms, self.session.format.encoding)

    def _arm(self) -> None:
        if self._plan:
            self._timer = asyncio.get_running_loop().call_later(self._plan[0][0], self._advance)

    def _advance(self) -> None:
        self._timer = None
        _, event = self._plan.popleft()
        if event is None:
            return self._over()
        if isinstance(event, Audio):
            self._item = event.item
        self._emit(event)
        if isinstance(event, TurnDone):
            self._busy = False
            return self._begin()
        return self._arm()

    def _stop_speaking(self) -> None:
        """The answer that is being given ends here; what was owed besides is dropped."""
        self._pending.clear()
        self._plan.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy:
            self._busy = False
            self._emit(TurnDone("interrupted", item=self._item))

    def _over(self) -> None:
        if self.closed:
            return
        self._pending.clear()
        self._plan.clear()
        for timer in (self._timer, self._turn_end):
            if timer is not None:
                timer.cancel()
        self._timer = self._turn_end = None
        self._events.put_nowait(None)
        self.closed = True

    def _emit(self, event: VoiceEvent) -> None:
        if not self.closed:
            self._events.put_nowait(event)
