"""What the errors of realtime providers mean for the session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from providers.realtime_fields import Frame
from providers.voice import Warned

FATAL = frozenset({
    "insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached", "model_not_found",
})  # fmt: skip
BENIGN = frozenset({"response_cancel_not_active", "input_audio_buffer_commit_empty"})
BUSY = "conversation_already_has_active_response"
PASSING = frozenset({"server_error", "rate_limit_error", "rate_limit_exceeded", "session_expired"})


@dataclass(frozen=True, slots=True)
class ProviderError:
    """An error as a provider tells it. ``passing``: another try may succeed; ``request``: our event it is about."""

    code: str
    message: str
    passing: bool
    request: str | None

    @property
    def fatal(self) -> bool:
        """Nothing more can come of this account or model."""
        return self.code in FATAL


def read_error(error: Frame, codes: Mapping[str, str] | None = None) -> ProviderError:
    """Read the ``error`` object of an event or a response.

    ``codes`` finds the code in the message for a vendor that has codes of its own (`Dialect.codes`).
    """
    code = str(error.get("code") or error.get("type") or "")
    message = str(error.get("message") or code or "the provider gave no reason")
    for part, known in (codes or {}).items():
        if part in message.lower():
            code = known
    request = error.get("event_id")
    return ProviderError(
        code,
        message,
        passing=code in PASSING or error.get("type") in PASSING,
        request=request if isinstance(request, str) else None,
    )


def used_up(event: Frame) -> Sequence[Warned]:
    """A warning when the provider tells that a limit of requests or tokens is used up."""
    spent = [str(limit["name"]) for limit in event["rate_limits"] if limit.get("remaining") == 0]
    return (Warned(f"the provider's limit of {' and '.join(spent)} is used up", "rate_limit"),) if spent else ()
