"""Sounds for a caller who waits while somebody else is rung: ringback or music, from the engine."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import Literal

import structlog

from engine.audio import AudioError, load, ringback, tone
from engine.playout import Playout

log = structlog.get_logger()

Sound = Literal["ringback", "music"]


@lru_cache(maxsize=8)
def _sound(kind: str, law: str, file: Path | None) -> bytes:
    if file is not None:
        return load(file, law)
    return ringback(law) if kind == "ringback" else _melody(law)


def _melody(law: str) -> bytes:
    """Eight quiet bars of broken chords, for houses that bring no music of their own."""
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)] * 2
    notes = [note for chord in chords for note in (*chord, chord[1])]
    return b"".join(tone((float(note), note / 2), 300, law, 0.03) for note in notes)


def prepare(law: str) -> None:
    """Compute the sounds now, so that no live call waits for them (0.1 s)."""
    _sound("ringback", law, None)
    _sound("music", law, None)


async def keep_company(playout: Playout, kind: Sound, music: Path | None = None) -> None:
    """Play in a loop until cancelled; then the line falls silent at once."""
    try:
        sound = _sound(kind, playout.law, music if kind == "music" else None)
    except AudioError as error:
        log.warning("the music cannot be played, the caller hears ringback", error=str(error))
        sound = _sound("ringback", playout.law, None)
    while await playout.play(sound, "comfort"):
        pass
    await asyncio.Event().wait()  # the leg closed: whoever waits for the target decides what happens now
