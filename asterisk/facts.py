"""What is known of a call and its legs, and how telephony fails: the words that a line shares with whoever uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

DialStatus = Literal["answered", "no_answer", "busy", "declined", "unavailable", "failed", "cancelled"]


class LineError(Exception):
    """The line could not do what was asked; the text says what and why."""


class LineGone(LineError):  # noqa: N818
    """The caller's side of the call has ended."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a call when it arrives. Numbers are E.164 where the carrier gave them so."""

    id: str
    did: str  # the number that was called
    caller: str  # the number that calls, "" when withheld
    caller_name: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    trunk: str = ""  # the PJSIP endpoint the call came in by
    headers: Mapping[str, str] = field(default_factory=dict)
    channel: str = ""  # the telephone system's own id
    left_over: bool = False  # an earlier engine had this call, and died


@dataclass(frozen=True, slots=True)
class Ending:
    """How a leg ended: its Q.850 cause (16: normal clearing), the SIP status if the far side gave one, and words."""

    cause: int
    sip_code: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class DialResult:
    """How dialling a target ended. `ring_ms`: from dialling to the outcome."""

    status: DialStatus
    sip_code: int | None = None
    q850: int | None = None
    ring_ms: int = 0


class DialOptions(Protocol):
    """How to dial a target."""

    @property
    def timeout(self) -> float:
        """Seconds of ringing."""

    @property
    def caller_id(self) -> str | None:
        """The number to show; None: the caller's own."""

    @property
    def caller_name(self) -> str | None:
        """The name to show; None: the caller's own, where the number is the caller's own."""

    @property
    def headers(self) -> Mapping[str, str]:
        """SIP headers of the INVITE."""
