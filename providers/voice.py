"""The Voice protocol: one AI conversation, audio in and audio out.

A provider is found by entry point (group ``hookflash.voices``): a function ``provider(settings) -> Provider`` that is
called once, at start, and only when a flow names it. ``Provider.voice(session)`` makes a `Voice` for one
conversation. A voice is driven by one owner: it connects, then iterates over ``events()`` while it calls the other
methods from the same task group.

Audio is raw bytes in the session's `AudioFormat`; a millisecond of G.711 is 8 bytes. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from providers.parts import Recogniser, TextModel

Encoding = Literal["ulaw", "alaw", "pcm16"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How samples are written: G.711 (1 byte a sample) or little-endian linear PCM (2 bytes), and the rate in Hz."""

    encoding: Encoding
    rate: int = 8000

    @property
    def bytes_per_ms(self) -> int:
        """Bytes that one millisecond of audio takes (8 for G.711)."""
        return self.rate // 1000 * (2 if self.encoding == "pcm16" else 1)


ULAW = AudioFormat("ulaw")
ALAW = AudioFormat("alaw")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a voice can do; the linter and the engine ask instead of guessing."""

    formats: tuple[AudioFormat, ...] = (ULAW,)
    verbatim: bool = False  # `say` speaks the text to the letter
    truncation: bool = False  # `truncate` tells the model what was really heard
    tools: bool = False  # the model can call tools
    understands: bool = False  # the model understands speech (an offline voice does not)
    turn_detection: bool = False  # the provider reports the caller's speech itself
    duplex: bool = False  # it listens while it speaks and decides itself when to answer and when to stop
    recognises: bool = False  # it has a recogniser of its own (`Provider.recogniser`)
    writes: bool = False  # it has a text model (`Provider.text_model`)
    languages: tuple[str, ...] = ()  # BCP 47; empty: no restriction known
    max_session: float | None = None  # seconds until the provider ends the session


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. ``parameters`` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turns:
    """Knobs of turn-taking under LiveKit's names, in seconds. ``None`` leaves the provider's own default."""

    min_delay: float | None = None  # silence after which a turn may end
    threshold: float | None = None  # 0..1, loudness that counts as speech
    prefix_padding: float | None = None  # audio kept from before the speech
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a voice needs to know when it connects."""

    instructions: str = ""
    voice: str | None = None
    language: str | None = None  # BCP 47
    model: str | None = None
    tools: tuple[Tool, ...] = ()
    format: AudioFormat = ULAW
    turns: Turns = Turns()
    history: tuple[Utterance, ...] = ()  # what was said before (another voice, an earlier session)
    options: Mapping[str, Any] = field(default_factory=dict)  # the provider's own settings in the flow


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing said in the conversation so far."""

    role: Literal["caller", "voice"]
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used, in the units in which vendors charge. Nothing stands in two fields but the cached tokens, which
    are contained in the input tokens (and ``cached_audio`` in ``cached``).

    ``model`` is the model whose price counts, as it was asked for; ``provider`` names another one than the voice's own,
    when a part of it (a recogniser, a text model) is another's.
    """

    input_text: int = 0  # tokens
    input_audio: int = 0
    cached: int = 0  # of all input tokens
    output_text: int = 0
    output_audio: int = 0
    cached_audio: int = 0  # of the cached tokens, those of audio
    seconds_heard: float = 0.0  # of audio that the vendor was sent
    seconds_spoken: float = 0.0  # of audio that it sent
    seconds_session: float = 0.0  # for which a session was open
    characters: int = 0  # that were turned into speech
    items: int = 0  # that were added to a conversation, where a vendor charges for them
    model: str = ""
    provider: str = ""

    def __add__(self, other: Usage) -> Usage:
        """Both together; of two models or providers neither is told."""
        summed: dict[str, Any] = {}
        for name in (own.name for own in fields(self)):
            one, another = getattr(self, name), getattr(other, name)
            whose = isinstance(one, str)
            summed[name] = ("" if one and another and one != another else one or another) if whose else one + another
        return Usage(**summed)


# ── Events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is configured: audio may flow."""

    session_id: str = ""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak. The owner silences the line at once."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller ended a turn; an answer is on its way."""


@dataclass(frozen=True, slots=True)
class UserText:
    """What the caller said. A text that is not final replaces the one before it of the same ``item``.

    ``confidence``: 0..1, where the provider tells how sure it is.
    """

    text: str
    final: bool = True
    item: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Speech to play, in the session's format.

    ``item`` names the utterance it belongs to; may arrive faster than real time.
    """

    data: bytes
    item: str


@dataclass(frozen=True, slots=True)
class VoiceText:
    """What the voice says: an increment, or with ``final`` the whole text of the item."""

    text: str
    item: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. Answer with ``tool_result(id, …)``. Arguments come from a model: untrusted."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCancelled:
    """The model no longer wants the result of this call."""

    id: str


@dataclass(frozen=True, slots=True)
class TurnDone:
    """A response ended; all its audio was delivered (played it has not). ``usage`` is what was used since the last."""

    status: Literal["completed", "interrupted", "failed"]
    usage: Usage = Usage()
    item: str | None = None  # the utterance spoken, None when the turn had no speech
    detail: str = ""  # why it failed


@dataclass(frozen=True, slots=True)
class Used:
    """Something was used beside an answer (a transcript, minutes of a session) and is in no `TurnDone`."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The provider stopped its own answer. Idempotent; may arrive with nothing active."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """The provider will end the session in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The session was continued on a new connection."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a person should read in the trace and nobody must act on."""

    message: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider reported an error. When it is not recoverable the iterator ends after this event."""

    message: str
    code: str = ""
    recoverable: bool = False


VoiceEvent = (
    Ready | SpeechStarted | SpeechStopped | UserText | Audio | VoiceText | ToolCall | ToolCancelled | TurnDone
    | Used | Interrupted | Expiring | Resumed | Warned | Failed
)  # fmt: skip


class VoiceError(Exception):
    """A voice could not be made or connected. ``recoverable``: another try may succeed; the text says what to do."""

    def __init__(self, message: str, *, code: str = "", recoverable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.recoverable = recoverable


class Voice(Protocol):
    """One conversation. Methods other than ``connect`` do nothing once the voice is closed; ``close`` is idempotent."""

    async def connect(self) -> None:
        """Open the session and configure it; returns when audio may flow.

        Raises `VoiceError`. Bounded by the caller.
        """

    def events(self) -> AsyncIterator[VoiceEvent]:
        """Everything that happens, in order, until the session ends. Iterate once."""

    async def send_audio(self, audio: bytes) -> None:
        """Caller audio in the session's format; called 50 times a second. Never raises when the session is gone."""

    async def say(self, text: str) -> None:
        """Speak this text now (to the letter when ``Capabilities.verbatim``)."""

    async def answer(self) -> None:
        """Answer now, although the caller did not just speak: this voice took over a conversation in its middle."""

    async def interrupt(self) -> None:
        """Stop the answer that is being given, if any."""

    async def truncate(self, item: str, played_ms: int) -> None:
        """Tell the model that only the first ``played_ms`` of ``item`` were heard."""

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """The result of a tool call as JSON text. ``respond=False`` asks for no further answer (the step is ending)."""

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Change what the model was told, from its next answer on."""

    async def close(self) -> None:
        """End the session and release everything."""


@runtime_checkable
class Metered(Protocol):
    """A voice that counts what it uses between answers: seconds of audio, tokens of an answer that was cut off."""

    def settle(self) -> Sequence[Usage]:
        """What was used and told by no event; each is told once. Asked when the talk is over."""


class Speaker(Protocol):
    """Text to speech, for prompts that are spoken to the letter."""

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """The whole prompt as audio. Raises `VoiceError`."""


@runtime_checkable
class ChargedSpeaker(Protocol):
    """A speaker whose vendor charges for what it speaks."""

    def usage(self, text: str, *, voice: str | None) -> Usage:
        """What speaking this text uses: characters, with the ``model`` whose price counts."""


class Provider(Protocol):
    """What an entry point makes, once per process."""

    name: str
    capabilities: Capabilities

    def voice(self, session: Session) -> Voice:
        """A voice for one conversation (not yet connected). Raises `VoiceError` when a setting is missing or wrong."""

    def speaker(self) -> Speaker | None:
        """Text to speech of this provider, if it has one."""

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> Recogniser | None:
        """Speech to text for one stretch of listening, if it has one. ``hints`` are words that are likely."""

    def text_model(self) -> TextModel | None:
        """Its text model, if it has one."""

    async def close(self) -> None:
        """Release connections that voices share."""


class MakeProvider(Protocol):
    """The signature behind an entry point: settings by name (``api_key``, ``base_url``, …)."""

    def __call__(self, settings: Mapping[str, str]) -> Provider:
        """Make the provider.

        Raises `VoiceError` naming the missing setting and the environment variable that sets it.
        """
