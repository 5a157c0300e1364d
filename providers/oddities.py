"""What a provider sends that makes no sense: a warning, never an exception, and never with our key in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from providers.voice import VoiceEvent, Warned

MAX_WARNINGS: Final = 20  # of one session; a provider gone mad must not fill the trace


class Oddities:
    """Those of one session. ``secret`` is blotted out of whatever is told."""

    def __init__(self, secret: str = "") -> None:
        self._secret = secret
        self._told = 0

    def clean(self, message: str) -> str:
        """The message without our key."""
        return message.replace(self._secret, "…") if self._secret else message

    def tell(self, what: str | Exception) -> Sequence[VoiceEvent]:
        """A warning about a frame that could not be read, the first twenty times."""
        self._told += 1
        if self._told > MAX_WARNINGS:
            return ()
        words = f"{type(what).__name__}: {what}" if isinstance(what, Exception) else what
        return (Warned(f"the provider sent a frame that makes no sense ({self.clean(words)[:200]})", "garbage"),)
