"""What can go wrong with Azure Speech, one knob each. The default is a service without fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    connections: int | None = None  # only so many connections, the first ones, have the faults

    # At the upgrade
    http_status: int | None = None  # answer it with this status: 401 a wrong key, 429 too many requests, 503
    hang_upgrade: bool = False  # never answer it

    # On the connection; milliseconds count from the first audio (recognition) or the first text (synthesis)
    close_after_ms: int | None = None
    close_code: int = 1011
    close_reason: str = ""
    drop_after_ms: int | None = None  # cut the TCP connection
    stop_reading: bool = False  # from the first audio or text on
    garbage: tuple[str | bytes, ...] = ()  # sent as they are at the beginning of a turn

    # In recognition
    no_results: bool = False  # hears everything and says nothing
    delay_ms: int = 0  # every result is so late
    duplicate: bool = False  # every result comes twice
    nothing_understood: bool = False  # phrases are NoMatch
    end_turn_after_ms: int | None = None  # of audio: the service ends the turn, as it does at its limits
    silent_end: bool = False  # never answers the end of the audio

    # In synthesis
    stop_after_ms: int | None = None  # of audio: then nothing more comes
    refuse_text: str = ""  # close with 1007 and this reason when text comes
    burst: bool = False  # all the audio at once
    empty: bool = False  # a turn without audio
