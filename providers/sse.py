"""Server-sent events: bytes in, the data of whole events out.

Source: WHATWG HTML, "Server-sent events", section 9.2.6 (interpreting an event stream). Only ``data`` is kept: the
vendors that we speak to name no events, send no ids and are not resumed.
"""

from __future__ import annotations

MAX_EVENT = 1024 * 1024  # bytes; an event that never ends must not fill the memory


class SseError(ValueError):
    """The stream is no event stream, or one event of it has no end."""


class SseReader:
    """Feed it what the network gives, in any pieces."""

    def __init__(self) -> None:
        self._line = bytearray()  # the beginning of a line whose end has not come
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False  # the last piece ended with CR: a LF at the beginning of the next belongs to it

    def feed(self, piece: bytes) -> list[str]:
        """The data of every event that is whole now, in order. Raises `SseError`."""
        if not piece:
            return []
        skip = self._after_cr and piece.startswith(b"\n")
        self._after_cr = piece.endswith(b"\r")
        piece = piece[1:] if skip else piece
        *lines, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        found: list[str] = []
        for line in lines:
            self._line += line
            whole, self._line = bytes(self._line), bytearray()
            if (data := self._end_of_line(whole)) is not None:
                found.append(data)
        self._line += rest
        if len(self._line) + self._size > MAX_EVENT:
            raise SseError(f"an event of the stream is longer than {MAX_EVENT // 1024} kB")
        return found

    def _end_of_line(self, line: bytes) -> str | None:
        """The event's data when this line ends it."""
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":  # a line that begins with a colon is a comment: servers keep a connection alive by it
                self._data.append(value.removeprefix(b" "))
                self._size += len(value)
            return None
        data, self._data, self._size = self._data, [], 0
        if not data:
            return None
        try:
            return b"\n".join(data).decode()
        except UnicodeDecodeError:
            raise SseError("an event of the stream is not UTF-8") from None
