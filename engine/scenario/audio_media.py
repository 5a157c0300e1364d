"""The engine's audio on its way to somebody in a test by audio: which words are in it, and when they were played."""

from __future__ import annotations

import asyncio
import audioop
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Literal

from asterisk.media.leg import Closed, Drained, MarkReached, MediaEvent
from asterisk.recording import LOUD
from engine.audio import BYTES_PER_MS, RATE, SILENCE, decode
from engine.line import Media
from engine.virtual.log import Log
from engine.virtual.words import Listening, Words

_FRAME: Final = 10 * BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class Utterance:
    """Words that were played, from and to on the loop's clock (s); ``loud`` seconds of them are no pause.

    ``index`` is their entry in the line's log.
    """

    text: str
    begins: float
    ends: float
    loud: float
    index: int


@dataclass(slots=True, eq=False)
class _Sound:
    """An utterance, or another sound, that is playing or will be."""

    words: Words | None
    begins: float
    audio: bytearray = field(default_factory=bytearray)
    complete: bool = False
    afresh: bool = False  # the first one behind a flush


class HeardMedia:
    """Satisfies `engine.line.Media` around a real one. What ``who`` hears is written into the log when Asterisk says
    that it was played."""

    def __init__(self, inner: Media, who: str, log: Log) -> None:
        self.utterances: list[Utterance] = []
        self.afresh: list[float] = []  # when a sound began that is none of those before it, which a flush has ended
        self.closed = False
        self._inner = inner
        self._who = who
        self._log = log
        self._clock = asyncio.get_running_loop().time
        self._law = "alaw" if inner.format == "alaw" else "ulaw"
        self._listening = Listening()
        self._sounds: list[_Sound] = []  # handed over and not known to be played
        self._marks: dict[str, _Sound] = {}
        self._count = 0
        self._dry_at = 0.0
        self._is_flushed = True  # nothing was handed over since, or yet

    @property
    def format(self) -> Literal["ulaw", "alaw", "slin", "slin16"]:
        """How the samples are written."""
        return self._inner.format

    @property
    def is_playing(self) -> bool:
        """Whether something is heard now, or will be at once."""
        return bool(self._sounds)

    async def send(self, audio: bytes) -> None:
        """Play after what was handed over before."""
        if self.closed or not audio:
            return
        plain, at, ended = bytearray(audio), 0, []
        begins = max(self._clock(), self._dry_at)
        for piece in self._listening.feed(audio):
            if self._sounds and self._sounds[-1].words is None and piece.words is not None:
                await self._mark(self._sounds[-1])  # music ends where words begin
            sound = self._sound(piece.words, begins + at / RATE)
            plain[at : at + piece.hidden] = SILENCE[self._law] * piece.hidden
            sound.audio += plain[at : at + piece.size]
            at += piece.size
            if piece.last:
                ended.append(sound)
        self._dry_at = begins + at / RATE
        await self._inner.send(bytes(plain))
        for sound in ended:
            await self._mark(sound)

    async def mark(self, name: str) -> None:
        """An event when everything handed over so far was played."""
        await self._inner.mark(name)

    async def flush(self) -> int:
        """Throw away what was not played; returns milliseconds."""
        sounds, self._sounds = self._sounds, []
        self._marks.clear()
        self._listening, self._dry_at, self._is_flushed = Listening(), 0.0, True
        ms = await self._inner.flush()
        self._silenced(sounds, ms * BYTES_PER_MS)
        return ms

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Caller audio, marks that others asked for, drained, closed."""
        async for event in self._inner.events():
            if type(event) is MarkReached and event.name.startswith("words"):
                if (sound := self._marks.pop(event.name, None)) is not None:
                    self._sounds.remove(sound)
                    self._played(sound, 0)
                continue
            if type(event) is Drained and self._sounds and self._sounds[-1].words is None:
                self._played(self._sounds.pop(), 0)  # a sound ends with silence, an utterance with its last word
            elif type(event) is Closed:
                self.end()
            yield event

    async def close(self) -> None:
        """Close; idempotent."""
        await self._inner.close()
        self.end()

    def end(self) -> None:
        """The connection is gone: what was not played never will be. Idempotent."""
        if not self.closed:
            self.closed = True
            sounds, self._sounds = self._sounds, []
            self._silenced(sounds, max(0, round((self._dry_at - self._clock()) * RATE)))

    def _sound(self, words: Words | None, begins: float) -> _Sound:
        if not self._sounds or self._sounds[-1].words is not words or self._sounds[-1].complete:
            self._sounds.append(_Sound(words, begins, afresh=self._is_flushed))
            self._is_flushed = False
        return self._sounds[-1]

    async def _mark(self, sound: _Sound) -> None:
        sound.complete = True
        self._count += 1
        name = f"words{self._count}"
        self._marks[name] = sound
        await self._inner.mark(name)

    def _silenced(self, sounds: list[_Sound], left: int) -> None:
        """Of these sounds the last ``left`` bytes were not played."""
        gone = []
        for sound in reversed(sounds):
            cut = min(left, len(sound.audio))
            left -= cut
            gone.append((sound, cut))
        for sound, cut in reversed(gone):
            self._played(sound, cut)

    def _played(self, sound: _Sound, cut: int) -> None:
        audio = bytes(sound.audio[: len(sound.audio) - cut])
        whole = cut == 0 and (sound.complete or sound.words is None)
        text = "" if sound.words is None else sound.words.text
        self._log.add(self._who, "heard" if whole else "cut", text, len(audio) // BYTES_PER_MS)
        if not audio:
            return
        ends = min(self._clock(), sound.begins + len(audio) / RATE) if not whole else self._clock()
        begins = ends - len(audio) / RATE
        if sound.afresh:
            self.afresh.append(begins)
        if text:
            index = len(self._log.entries) - 1
            self.utterances.append(Utterance(text, begins, ends, _loud(audio, self._law), index))


def _loud(audio: bytes, law: str) -> float:
    """Seconds of G.711 that a recording would count as sound (`asterisk.recording.Track.bursts`)."""
    pcm = decode(audio, law)
    frames = (pcm[at : at + 2 * _FRAME] for at in range(0, len(pcm), 2 * _FRAME))
    return 0.01 * sum(audioop.rms(frame, 2) >= LOUD for frame in frames)
