"""What a protocol without I/O offers to the connection that speaks it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from providers.voice import Tool, VoiceEvent

Events = Sequence[VoiceEvent]


class Wire(Protocol):
    """A provider's protocol without I/O. What is to be sent is appended to ``out``."""

    out: deque[str]
    ready: bool  # the session is configured
    over: bool  # nothing more can come of it
    expires_at: float | None  # unix seconds, when the provider tells
    leaving: bool  # the provider wants us on another connection

    @property
    def expecting(self) -> bool:
        """An answer should be on its way."""

    @property
    def quiet(self) -> bool:
        """Nobody speaks and nothing is awaited: a moment to change the connection unheard."""

    def receive(self, frame: str | bytes) -> Events:
        """The events in one frame; never raises."""

    def append(self, audio: bytes) -> bytes:
        """The frame that carries caller audio."""

    def say(self, words: str) -> None:
        """Speak; this and the following as in `providers.voice.Voice`."""

    def answer(self) -> None:
        """Answer although the caller did not just speak."""

    def interrupt(self) -> None:
        """Stop the answer that is being given."""

    def truncate(self, item: str, played_ms: int) -> None:
        """Only so much was heard."""

    def tool_result(self, call_id: str, output: str, *, respond: bool) -> None:
        """The result of a tool call."""

    def update(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Change what the model was told."""

    def give_up_waiting(self) -> None:
        """The expected answer did not come."""

    def resume(self) -> bool:
        """Whether the session can be continued on another connection; what opens it is then in ``out``."""
