"""What can go wrong with a provider, one knob each. The default is a provider without fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    # At the upgrade
    http_status: int | None = None  # answer it with this status
    hang_upgrade: bool = False  # never answer it
    no_session: bool = False  # accept it and say nothing
    refuse_session: tuple[str, str] | None = None  # answer session.update with an error (code, message)
    expires_in: float = 1800.0  # seconds, told in session.expires_at

    # On the connection; milliseconds count from session.updated
    drop_after_ms: int | None = None  # cut the TCP connection
    close_after_ms: int | None = None  # close in an orderly way
    close_code: int = 1001
    close_reason: str = ""
    stop_reading: bool = False
    delay_ms: int = 0  # every event is so late
    duplicate: bool = False  # every event is sent twice
    out_of_order: bool = False  # neighbouring events change places
    garbage: tuple[str | bytes, ...] = ()  # sent as they are, after session.updated

    # In the conversation
    stall: bool = False  # no answer after the end of speech, nor when asked for one; no text where only that is owed
    no_transcript: str = ""  # what was said cannot be written down, and why
    late_deltas: int = 0  # audio that still arrives after a response was cancelled
    phantom_speech_at_ms: int | None = None  # speech_started although nobody spoke; nothing is cancelled
    rate_limit: bool = False  # every answer ends with nothing left
    error: tuple[str, str] | None = None  # an error event (code, message) after session.updated
    burst: bool = False  # all the audio of an answer at once
