"""The parts of a voice that a flow uses alone: a recogniser (speech to text) and a text model. `Speaker` (text to
speech) stands beside them in `providers.voice`.

A provider gives what it has: `Provider.recogniser` for `gather` by speech and transcripts of messages,
`Provider.text_model` for `extract`, summaries and the judge of tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from providers.voice import Failed, SpeechStarted, SpeechStopped, Tool, ToolCall, Usage, Used, UserText

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
