"""The phone under a test: what a script does to it and asks of it. It is virtual, or real (`audio_line`)."""

from __future__ import annotations

from typing import Literal, Protocol

from engine.line import Line
from engine.virtual.log import Log


class Speaks(Protocol):
    """Who calls. Each method returns when it is done, and raises `engine.virtual.CallOver` when the call is over."""

    async def says(self, text: str) -> None:
        """Speak to whoever listens."""

    async def beeps(self) -> None:
        """Beep, as an answering machine does."""

    async def presses(self, keys: str, every: float) -> None:
        """Press keys, so many seconds apart."""

    async def hangs_up(self) -> None:
        """Hang up."""


class Plays(Protocol):
    """Audio from the engine to the caller."""

    @property
    def is_playing(self) -> bool:
        """Whether something is heard now, or will be at once."""


class Connected(Protocol):
    """A person who was put through."""

    @property
    def target(self) -> str:
        """Who."""


class Phone(Line, Protocol):
    """One call, from both sides: what the flow does to it, and the caller."""

    @property
    def log(self) -> Log:
        """Everything that happens."""

    @property
    def caller(self) -> Speaks:
        """Who calls."""

    @property
    def connected(self) -> Connected | None:
        """Whom the caller hears."""

    @property
    def media(self) -> Plays | None:
        """The engine's audio, while there is some."""

    def end(self, by: Literal["caller"]) -> None:
        """The caller puts the phone down, if the call still is. Does not wait."""
