"""Sounds for a caller who waits while somebody else is rung, or something takes its time: ringback or music, from the
engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from engine.audio import AudioError, load, ringback, tone
from engine.beside import beside
from engine.line import LineError
from engine.playout import Playout

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

SILENT_FOR = 2.0  # seconds; a caller who hears nothing for longer thinks that the line is dead

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


@asynccontextmanager
async def patience(call: Call) -> AsyncIterator[None]:
    """While the block takes longer than two seconds the caller hears music, if nobody else talks with them."""
    async with beside(_music(call)):
        yield


async def _music(call: Call) -> None:
    await asyncio.sleep(SILENT_FOR)
    if call.is_over or call.with_person or not call.line.is_answered:
        return
    try:
        playout = await call.playout()
        if playout.listener is None:  # else a voice has the line: this flow runs beside its talk
            await keep_company(playout, "music")
    except LineError as error:
        log.warning("the caller hears nothing while the step takes its time", error=str(error))
