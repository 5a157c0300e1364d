"""Words in audio: virtual speech carries its own text, so that whoever hears it knows what was said, and how much.

The audio is loud noise of the right length, in the line's law, with the text hidden in its first bytes. It passes
through everything that passes G.711 on unchanged, in pieces of any size; an energy detector takes it for speech.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from engine.audio import BYTES_PER_MS, encode

_MAGIC: Final = b"\x2a\xaa\x00\x80\x2b\xab\x01\x81"
_HEADER: Final = struct.Struct(">8sIH")  # magic, bytes in all, bytes of text
_MS_PER_CHARACTER: Final = 60  # about 170 words a minute
_SHORTEST_MS: Final = 300


def duration_ms(text: str) -> int:
    """How long a text takes when nobody says how long."""
    return max(_SHORTEST_MS, _MS_PER_CHARACTER * len(text))


def spoken(text: str, ms: int | None = None, law: str = "ulaw") -> bytes:
    """A text as virtual speech of so many milliseconds."""
    written = text.encode()
    if len(written) > 0xFFFF:
        raise ValueError("a text of more than 64 kB is no utterance")
    size = (duration_ms(text) if ms is None else ms) * BYTES_PER_MS
    size = max(size, -(-(_HEADER.size + len(written)) // BYTES_PER_MS) * BYTES_PER_MS)
    noise = _noise(law)
    body = _HEADER.pack(_MAGIC, size, len(written)) + written
    return (body + noise * (size // len(noise) + 1))[:size]


def captioned(text: str, audio: bytes) -> bytes:
    """Real speech (G.711) with its text ahead of it, for `Listening`: `Piece.hidden` bytes are not to be played."""
    written = text.encode()
    return _HEADER.pack(_MAGIC, _HEADER.size + len(written) + len(audio), len(written)) + written + audio


@cache
def _noise(law: str) -> bytes:
    """A syllable and the moment behind it (280 ms): what never pauses is taken for the noise of the line."""
    dice = random.Random(8)
    loud = struct.pack("<1920h", *(dice.randint(-9000, 9000) for _ in range(1920)))
    return encode(loud + bytes(2 * 320), law)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of what was heard: of one utterance, or (``words`` None) of any other sound."""

    size: int  # bytes
    words: Words | None = None
    first: bool = False
    last: bool = False
    hidden: int = 0  # bytes at its beginning that hold the text


class Words:
    """One utterance as it is heard. Its text is complete once its first bytes have arrived."""

    def __init__(self, size: int, text_size: int) -> None:
        self._left = size
        self._text = bytearray()
        self._text_size = text_size

    @property
    def text(self) -> str:
        """What is said, as far as it has been heard."""
        return self._text.decode(errors="ignore")

    def take(self, audio: bytes, skip: int) -> Piece:
        """The part of ``audio`` that belongs to this utterance; ``skip`` bytes of it are the header."""
        size = min(self._left, len(audio))
        hidden = min(size, skip + self._text_size - len(self._text))
        self._text += audio[skip:hidden]
        self._left -= size
        return Piece(size, self, first=skip > 0, last=self._left == 0, hidden=hidden)


class Listening:
    """Hears a stream of audio and tells words from other sounds."""

    def __init__(self) -> None:
        self._words: Words | None = None

    def feed(self, audio: bytes) -> Iterator[Piece]:
        """The next bytes, as pieces in order."""
        while audio:
            piece = self._next(audio)
            if piece.last:
                self._words = None
            audio = audio[piece.size :]
            yield piece

    def _next(self, audio: bytes) -> Piece:
        if self._words is not None:
            return self._words.take(audio, 0)
        at = audio.find(_MAGIC)
        if at != 0 or len(audio) < _HEADER.size:
            return Piece(at if at > 0 else len(audio))
        _, size, text_size = _HEADER.unpack_from(audio)
        self._words = Words(size, text_size)
        return self._words.take(audio, _HEADER.size)
