"""The parts of a voice: a recogniser (speech to text), a text model, and speech as it is written. `Speaker` (whole
prompts) stands beside them in `providers.voice`.

A provider gives what it has: `Provider.recogniser` for `gather` by speech and transcripts of messages,
`Provider.text_model` for `extract`, summaries and the judge of tests, `Provider.speaker` for prompts. A flow uses them
alone; `providers.cascade` makes a voice of all three.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from providers.voice import (
    AudioFormat,
    Failed,
    Provider,
    Speaker,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    Usage,
    Used,
    UserText,
)

Heard = SpeechStarted | SpeechStopped | UserText | Used | Failed


class Recogniser(Protocol):
    """Listens to one stretch of speech. Made by `Provider.recogniser`, not yet connected; used once."""

    async def connect(self) -> None:
        """Open it; returns when audio may flow. Bounded by the caller. Raises `providers.voice.VoiceError`."""

    def events(self) -> AsyncIterator[Heard]:
        """What is heard, in order, until it is closed. A `Failed` that is not recoverable is the last."""

    async def send_audio(self, audio: bytes) -> None:
        """Caller audio in the agreed format. Never raises when the session is gone."""

    async def finish(self) -> None:
        """No more audio comes: ``events`` ends when the texts of all that was sent have come. Bounded by the caller."""

    async def close(self) -> None:
        """End it and release everything. Idempotent."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a text model. ``calls`` (of the model) are answered by a message of role ``tool`` each, whose
    ``call`` names the one that it answers."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    call: str = ""


@dataclass(frozen=True, slots=True)
class TextPart:
    """An increment of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class TextDone:
    """The answer is whole. ``reason`` is ``length`` when it was cut off."""

    reason: Literal["stop", "length", "tools"] = "stop"
    usage: Usage = field(default_factory=Usage)


TextEvent = TextPart | ToolCall | TextDone


class TextModel(Protocol):
    """A language model that reads and writes text. Shared by all calls; holds no conversation."""

    def answer(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> AsyncIterator[TextEvent]:
        """Answer a conversation. Closing the iterator stops the model.

        ``schema`` is a JSON Schema that the whole answer must fit (as JSON text); ``most`` bounds its tokens.
        Raises `providers.voice.VoiceError` while iterating.
        """


@dataclass(frozen=True, slots=True)
class Said:
    """Where the words are in the sound: ``characters`` of the text are said when ``at_ms`` of the audio were heard.

    Both are counted from the beginning of the utterance. For synthesisers that know it (word boundaries).
    """

    at_ms: int
    characters: int


Speech = bytes | Said


@runtime_checkable
class StreamingSpeaker(Speaker, Protocol):
    """Text to speech that begins to speak before the text is whole. What `Provider.speaker` returns may be one."""

    def utter(
        self, texts: AsyncIterator[str], *, voice: str | None, language: str | None, format: AudioFormat
    ) -> AsyncIterator[Speech]:
        """Speak one utterance. ``texts`` brings it by sentences, with the spaces between them, as slowly as a model
        writes; it ends when the text is whole, and there may be seconds between two pieces.

        The audio comes in pieces of any length, as fast as it is made, and ends after the last text. Closing the
        iterator (or cancelling its task) stops the synthesis at once and leaves nothing: nobody reads ``texts`` any
        more, which is not closed by it.
        Raises `VoiceError` while iterating, also when the service is silent for too long.
        """


@runtime_checkable
class MadeOfOthers(Protocol):
    """A provider whose parts come from other providers. ``others`` are their names."""

    others: tuple[str, ...]

    def assemble(self, provider: Callable[[str], Provider]) -> None:
        """Called once, before anything else, with what gives a provider by its name. Raises `VoiceError`."""
