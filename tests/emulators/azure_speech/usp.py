"""Frames of the Unified Speech Protocol: bytes in, messages out.

A text frame is headers, an empty line, a body; a binary frame is the length of its headers (two bytes, big endian), the
headers, a payload. Source: captured from the vendor's SDK 1.53.0; its JavaScript SDK holds the same in the open.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class Message:
    """One message. Names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def request(self) -> str:
        """The turn that it belongs to; empty for ``speech.config``."""
        return self.headers.get("x-requestid", "")

    def json(self) -> Any:
        return json.loads(self.body)


def parse(frame: str | bytes) -> Message:
    """Read a frame of either kind. Raises ValueError when it is none."""
    if isinstance(frame, str):
        head, empty, rest = frame.partition("\r\n\r\n")
        if not empty:
            raise ValueError("a text frame without an empty line behind its headers")
        body = rest.encode()
    else:
        (length,) = struct.unpack_from(">H", frame)
        if len(frame) < 2 + length:
            raise ValueError(f"headers of {length} bytes in a frame of {len(frame)}")
        head, body = frame[2 : 2 + length].decode("ascii"), frame[2 + length :]
    headers = {}
    for line in head.split("\r\n"):
        if line:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"a header without a colon: {line!r}")
            headers[name.strip().lower()] = value.strip()
    if "path" not in headers:
        raise ValueError(f"no Path in {sorted(headers)}")
    return Message(headers["path"], headers, body)


def text(path: str, request: str, body: Mapping[str, Any]) -> str:
    """A message of the service."""
    head = f"X-RequestId:{request}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n"
    return head + json.dumps(body)


def audio(request: str, stream: str, data: bytes) -> bytes:
    """Audio of the service; empty audio ends the stream."""
    kind = "Content-Type:audio/basic\r\n" if data else ""
    head = f"X-RequestId:{request}\r\nX-StreamId:{stream}\r\nPath:audio\r\n{kind}".encode()
    return struct.pack(">H", len(head)) + head + data


def riff_format(header: bytes) -> tuple[int, int, int]:
    """Format tag (1 PCM, 6 A-law, 7 µ-law), rate in Hz and bits of a sample. Raises ValueError when it is no WAV."""
    if header[:4] != b"RIFF" or header[8:16] != b"WAVEfmt " or len(header) < 44:
        raise ValueError(f"not the header of a WAV: {header[:16]!r}")
    tag, _, rate, _, _, bits = struct.unpack_from("<HHIIHH", header, 20)
    return tag, rate, bits


def new_id() -> str:
    return uuid4().hex
