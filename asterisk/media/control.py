"""The control messages of Asterisk's chan_websocket, in its JSON form (``f(json)``: Asterisk 20.18, 22.8, 23.2 on).

Sans-IO: text in, events out. Source: channels/chan_websocket.c of Asterisk 22.10.1 and measurements on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_COMMAND = 128  # bytes; Asterisk drops a longer one and only its own log says so (measured)

_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class MediaError(Exception):
    """The media connection cannot be used; the text says what happened, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Started:
    """MEDIA_START: the connection belongs to a channel."""

    channel_id: str
    format: str


@dataclass(frozen=True, slots=True)
class MarkProcessed:
    """Playing came to a mark."""

    number: int


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS: frames that Asterisk has not played yet (marks are not counted; measured)."""

    queue_length: int


@dataclass(frozen=True, slots=True)
class Xoff:
    """Asterisk's queue holds 900 frames: write no more."""


@dataclass(frozen=True, slots=True)
class Xon:
    """There is room again."""


@dataclass(frozen=True, slots=True)
class Digit:
    """DTMF_END."""

    digit: str


@dataclass(frozen=True, slots=True)
class Refused:
    """ERROR: Asterisk did not accept a command."""

    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """An event that asks for nothing here, or that a newer Asterisk added."""

    name: str


ControlEvent = Started | MarkProcessed | Status | Xoff | Xon | Digit | Refused | Other


def command(name: str, correlation_id: str | None = None) -> str:
    """One command as text. Raises `MediaError` when Asterisk would drop it for its length."""
    fields = {"command": name}
    if correlation_id is not None:
        fields["correlation_id"] = correlation_id
    text = _compact(fields)
    size = len(text.encode())
    if size > MAX_COMMAND:
        raise MediaError(f"{name}: Asterisk drops a command of {size} bytes ({MAX_COMMAND} at most): shorten its id")
    return text


def parse(text: str) -> ControlEvent:
    """One control message from Asterisk. Raises `MediaError` when it is not JSON."""
    try:
        message = json.loads(text)
        name = message["event"]
    except (ValueError, TypeError, KeyError):
        raise MediaError(
            f"chan_websocket said {text[:60]!r}, which is not JSON control: the leg needs transport_data=f(json) "
            "(Asterisk 20.18, 22.8, 23.2 or newer)"
        ) from None
    match name:
        case "MEDIA_START":
            return Started(str(message.get("channel_id", "")), str(message.get("format", "")))
        case "MEDIA_MARK_PROCESSED" if str(message.get("correlation_id", "")).isdecimal():
            return MarkProcessed(int(message["correlation_id"]))
        case "STATUS":
            return Status(int(message.get("queue_length", 0)))
        case "MEDIA_XOFF":
            return Xoff()
        case "MEDIA_XON":
            return Xon()
        case "DTMF_END":
            return Digit(str(message.get("digit", "")))
        case "ERROR":
            return Refused(str(message.get("error_text", text)))
    return Other(str(name))
