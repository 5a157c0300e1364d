"""What the emulated model answers: a script, one entry a response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Say:
    """Speak."""

    text: str


@dataclass(frozen=True)
class Call:
    """Call tools (all in one response), perhaps after saying something.

    Arguments given as text are sent as they are.
    """

    tool: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    say: str = ""
    more: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Empty:
    """A response without output."""


@dataclass(frozen=True)
class Fail:
    """A response that fails, or is cut short."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request."
    status: str = "failed"


Turn = Say | Call | Empty | Fail
