"""What the caller of a test by audio really heard: measured on the recordings of their telephone. Pure.

All times are seconds from the start of the recordings, which are in step (`asterisk.recording`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from asterisk.recording import FRAME, LOUD, Track

ARRIVES = 0.7  # share of an utterance's sound that must be on the recording
PAUSES = 0.9  # share of an utterance that may be pauses; more is a voice without a sound
SHORTEST: Final = 0.5  # seconds; what was cut off sooner is not measured
EARLY, LATE = 0.2, 0.7  # seconds that sound may come before and after the time at which Asterisk says it was played
LONGEST_SILENCE: Final = 8.0  # seconds in which a caller who waits for the flow may hear nothing
LONGEST_OVERLAP: Final = 1.0  # seconds for which the voice may talk on when the caller speaks over it
TICK = 0.02  # seconds of quiet inside a sound
SAME = 0.25  # seconds of quiet inside one's sentence
BREATH = 0.5  # seconds of quiet inside one's words

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Said:
    """Words to the caller: when they were played, how much of them is sound, and their place in the line's log."""

    text: str
    begins: float
    ends: float
    loud: float
    index: int = 0


@dataclass(frozen=True, slots=True)
class Mute:
    """Words of which the caller heard too little: ``heard`` of ``sound`` seconds."""

    said: Said
    heard: float
    sound: float


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was measured."""

    said: int  # utterances
    mute: tuple[Mute, ...]
    silence: Span | None  # the longest in which the flow owed something
    overlap: Span | None  # the longest in which the voice talked on while the caller spoke

    @property
    def longest_silence(self) -> float:
        """Seconds."""
        return _length(self.silence)

    @property
    def longest_overlap(self) -> float:
        """Seconds."""
        return _length(self.overlap)


def measure(
    said: Track,
    heard: Track,
    words: Sequence[Said],
    listens: Iterable[Span],
    interruptions: Iterable[float],
    afresh: Sequence[float] = (),
) -> Hearing:
    """Compare what was said to the caller with what they ``heard``, beside what they ``said`` themselves.

    ``listens``: when the flow owed nothing, for it waited for the caller or a person was connected. ``interruptions``:
    when the caller began to speak though the engine spoke, and was to stop. ``afresh``: when a sound began that was
    handed over after those before it had been thrown away; a voice that was silenced has not talked on because of it.
    """
    loud = [level >= LOUD for level in heard.loudness()]
    sounds = _spans(loud)
    voice = said.bursts(BREATH)
    silent = _gaps(sounds, heard.seconds)
    owed = _without(silent, sorted([*listens, *voice]))
    return Hearing(
        said=len(words),
        mute=tuple(mute for one in words if (mute := _mute(one, loud)) is not None),
        silence=max(owed, key=_length, default=None),
        overlap=max(
            (_overlap(at, voice, heard.bursts(SAME), afresh) for at in interruptions), key=_length, default=None
        ),
    )


def _mute(said: Said, loud: Sequence[bool]) -> Mute | None:
    if said.ends - said.begins < SHORTEST:
        return None
    sound = max(said.loud, (1 - PAUSES) * (said.ends - said.begins))
    window = loud[max(0, round((said.begins - EARLY) / FRAME)) : max(0, round((said.ends + LATE) / FRAME))]
    heard = FRAME * sum(window)
    return Mute(said, heard, sound) if heard < ARRIVES * sound else None


def _overlap(at: float, voice: Sequence[Span], heard: Sequence[Span], afresh: Sequence[float]) -> Span:
    """From the caller's first sound after ``at`` to the end of what they heard then."""
    spoke = next((begins for begins, ends in voice if ends > at), at)
    ends = max((ends for begins, ends in heard if begins < spoke < ends), default=spoke)
    return spoke, min((ends, *(begins for begins in afresh if begins > spoke)))


def _spans(loud: Sequence[bool]) -> list[Span]:
    found: list[Span] = []
    for index, is_loud in enumerate(loud):
        at = index * FRAME
        if not is_loud:
            continue
        if found and at - found[-1][1] <= TICK:
            found[-1] = (found[-1][0], at + FRAME)
        else:
            found.append((at, at + FRAME))
    return found


def _gaps(sounds: Sequence[Span], end: float) -> Iterator[Span]:
    at = 0.0
    for begins, ends in sounds:
        yield at, begins
        at = ends
    yield at, end


def _without(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """What is left of ``spans`` outside of ``others`` (sorted)."""
    left: list[Span] = []
    for begins, ends in spans:
        at = begins
        for start, stop in others:
            if stop <= at or start >= ends:
                continue
            if start > at:
                left.append((at, start))
            at = max(at, stop)
        if at < ends:
            left.append((at, ends))
    return left


def _length(span: Span | None) -> float:
    return 0.0 if span is None else span[1] - span[0]
