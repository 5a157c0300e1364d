"""The Line protocol: everything that a verb can do to a phone call.

Two implementations satisfy it by shape: `asterisk.line.AsteriskLine` (channels, bridges, media legs) and
`engine.virtual.VirtualLine` (no telephony; flow tests on a virtual clock). The words that they share (`Facts`,
`Ending`, `DialResult`, the errors) come from `asterisk.facts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from asterisk.facts import DialResult, DialStatus, Ending, Facts, LineError, LineGone

__all__ = [
    "DialOptions", "DialResult", "DialStatus", "Ending", "Facts", "Leg", "Line", "LineError", "LineGone", "Media",
]  # fmt: skip


class Media(Protocol):
    """Audio between the caller and the engine; see `asterisk.media.leg.MediaLeg`."""

    @property
    def format(self) -> Literal["ulaw", "alaw", "slin", "slin16"]:
        """How the samples are written."""

    async def send(self, audio: bytes) -> None:
        """Play after what was handed over before."""

    async def mark(self, name: str) -> None:
        """An event when everything handed over so far was played."""

    async def flush(self) -> int:
        """Throw away what was not played; returns milliseconds."""

    def events(self) -> AsyncIterator[Any]:
        """Caller audio (bytes), MarkReached(name), Drained, Dtmf, Closed(reason)."""

    async def close(self) -> None:
        """Close; idempotent."""


@dataclass(frozen=True, slots=True)
class DialOptions:
    """How to dial a target."""

    timeout: float = 30.0  # seconds of ringing
    caller_id: str | None = None  # None: the caller's own number
    caller_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # SIP headers of the INVITE


class Leg(Protocol):
    """A second party: dialled, perhaps answered, perhaps connected to the caller."""

    @property
    def target(self) -> str:
        """Whom it rings, as the flow wrote it."""

    @property
    def channel(self) -> str:
        """The telephone system's own id."""

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Resolves when the leg is gone."""

    async def answered(self) -> DialResult:
        """Wait until the target answers or will not. Cancelling cancels the dialling. May be awaited again."""

    async def digit(self) -> str:
        """The next key that this party presses."""

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to this party. Raises `LineError`."""

    async def open_media(self) -> Media:
        """Audio between this party and the engine (a whisper), before it is connected."""

    async def hangup(self, cause: int = 16) -> None:
        """Hang up or stop ringing. Idempotent."""


class Line(Protocol):
    """One phone call."""

    @property
    def facts(self) -> Facts:
        """What was known at its start."""

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Resolves when the caller's side is gone, whoever hung up."""

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered."""

    async def ring(self) -> None:
        """Tell the caller that it rings (180)."""

    async def progress(self) -> None:
        """Let the caller hear the engine before the answer (183, early media). Does nothing after the answer."""

    async def answer(self) -> None:
        """Answer (200). Idempotent. Raises `LineGone`."""

    async def hangup(self, cause: int = 16) -> None:
        """Hang up (or refuse, before the answer) with a Q.850 cause. Idempotent."""

    async def give_back(self) -> bool:
        """Return the call to what stands behind the engine (the dialplan's fallback). False when there is nothing.

        `ended` resolves with `close` then; a hang-up does nothing any more.
        """

    async def digit(self) -> str:
        """The caller's next key; keys pressed earlier wait in order."""

    async def peek_digit(self, since: int = 0) -> tuple[int, str]:
        """The first unread key from number ``since`` on, when there is one, and its number; it stays unread.

        Keys are numbered from 0 in the order in which they were pressed, whoever reads or forgets others meanwhile.
        """

    def drop_digits(self) -> None:
        """Forget keys pressed so far."""

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to the caller."""

    async def detect_machine(self, *, timeout: float, max_words: int) -> Literal["human", "machine", "unknown"]:
        """What the telephone system's own detector says of who speaks at the caller's side. Raises `LineError`."""

    async def open_media(self) -> Media:
        """Audio between the caller and the engine; the same leg while it lives, a new one after `connect`."""

    async def dial(self, target: str, options: DialOptions) -> Leg:
        """Create a leg and start dialling. The target is ``pjsip:…``, ``tel:…`` or ``teams:…``. Raises `LineError`."""

    async def connect(self, leg: Leg) -> None:
        """Let the caller and the leg hear each other, in place of the engine's audio."""

    def overhear(self) -> AbstractAsyncContextManager[tuple[Media, Media]]:
        """What the caller says, and what the caller hears, while connected to a leg: nobody notices.

        Nothing may be sent there. Raises `LineError`, `LineGone`; whatever was made is gone when the block ends.
        """

    async def close(self) -> None:
        """Release everything: channels, bridge, media. Leaves nothing behind. Idempotent."""
