"""What the kit asks of a voice's other side: to play a scene, and to tell what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.voice import Provider

Ability = Literal[
    "script",  # it answers what the scene says; else the kit only knows that some answer comes
    "slow",  # it can speak about as fast as one listens, or in pieces with time between them
    "empty",  # it can answer without a word
    "parallel",  # it can call several tools at once, and after it said something in the same answer
    "ears",  # it knows how much caller audio came (`heard_ms`)
    "words",  # it knows what it was told in text (`told`)
    "truncations",  # it knows how much of an answer was heard (`truncated_ms`)
    "usage",  # its answers cost something
    "takes_back",  # it can take back a tool call (`take_back`)
    "drops",  # its connection can break (`drop`)
    "refuses", "hangs", "garbage", "expires", "deaf",  # it can play these faults
]  # fmt: skip
Fault = Literal[
    "refuses",  # it wants no session
    "hangs",  # it never answers somebody who connects
    "garbage",  # it sends frames that make no sense once the session stands, and goes on
    "expires",  # the session will end within a minute
    "deaf",  # it reads nothing once the session stands
]


@dataclass(frozen=True, slots=True)
class Says:
    """The model speaks these words."""

    text: str


@dataclass(frozen=True, slots=True)
class Asks:
    """The model calls tools, all in one answer: ``(name, arguments)`` each; perhaps after saying something."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    say: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """The model gives an answer without a word."""


Reply = Says | Asks | Nothing


@dataclass(frozen=True, slots=True)
class Scene:
    """What the other side shall do. ``replies``: one each time it owes an answer of its own (`Voice.say` is none).

    ``heard``: what it makes of the caller's turns. ``slow``: it speaks about as fast as one listens, so that there is
    time to interrupt it; else as fast as it likes.
    """

    replies: tuple[Reply, ...] = ()
    heard: tuple[str, ...] = ()
    fault: Fault | None = None
    slow: bool = False


@dataclass(slots=True)
class Counterpart:
    """The provider under test, at work against a scripted other side. Subclass it, and answer what ``plays`` claims.

    ``options`` are what the voice's sessions are made with, ``secret`` is the key, which must show nowhere.
    """

    provider: Provider
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: str = ""

    def heard_ms(self) -> float:
        """Milliseconds of caller audio that came so far, in all sessions."""
        raise NotImplementedError("it claims 'ears'")

    def told(self) -> str:
        """All text that the model was told so far: instructions, history, results of tools."""
        raise NotImplementedError("it claims 'words'")

    def truncated_ms(self) -> list[int]:
        """How much of interrupted answers was heard, as it was told."""
        raise NotImplementedError("it claims 'truncations'")

    async def take_back(self) -> None:
        """The model does not want the results of its tool calls any more."""
        raise NotImplementedError("it claims 'takes_back'")

    async def drop(self) -> None:
        """Cut every connection."""
        raise NotImplementedError("it claims 'drops'")
