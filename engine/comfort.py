"""Sounds for a caller who waits: ringback or music while somebody else is rung or something takes its time, a sound
while a tool of a voice runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from engine.audio import AudioError, load, ringback, tone
from engine.beside import beside
from engine.http import HttpFailedError
from engine.line import LineError, LineGone
from engine.outcome import StepError
from engine.playout import Playout

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

SILENT_FOR = 1.7  # seconds; a caller who hears nothing for two thinks that the line is dead

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


def music(law: str) -> bytes:
    """The engine's own music, 14 s of it, for who waits in the middle of a talk."""
    return _sound("music", law, None)


async def keep_company(playout: Playout, kind: Sound, music: Path | None = None) -> None:
    """Play in a loop until cancelled, when the line falls silent at once, or until the audio is lost."""
    try:
        sound = _sound(kind, playout.law, music if kind == "music" else None)
    except AudioError as error:
        log.warning("the music cannot be played, the caller hears ringback", error=str(error))
        sound = _sound("ringback", playout.law, None)
    await again_and_again(playout, sound)


async def again_and_again(playout: Playout, sound: bytes) -> None:
    """Play a sound in a loop until cancelled, or until the audio is lost: see `audio_again`."""
    while sound and await playout.play(sound, "comfort"):
        pass
    await playout.closed.wait()


async def audio_again(call: Call, lost: Playout) -> Playout:
    """Audio for a caller who still waits, after theirs was lost; tried until it can be had. Raises `LineGone`."""
    while True:
        await lost.lost()
        try:
            return await call.playout()
        except LineGone:
            raise
        except LineError as error:
            log.warning("the caller hears nothing, their audio cannot be opened again", error=str(error))


class Hold:
    """A sound while a tool of a voice runs: again and again, until it is stopped or silenced."""

    def __init__(self, playout: Playout) -> None:
        self._playout = playout
        self._playing: asyncio.Task[None] | None = None

    def start(self, sound: Callable[[], Awaitable[bytes]], tasks: asyncio.TaskGroup) -> None:
        """Fetch it and play it beside the talk; another that plays goes on instead."""
        if self._playing is None or self._playing.done():
            self._playing = tasks.create_task(self._play(sound), name="hold")

    async def stop(self) -> None:
        """Silence it, before anybody says something: what is played afterwards is not cut off."""
        playing, self._playing = self._playing, None
        if playing is not None and not playing.done():
            playing.cancel()
            await asyncio.wait([playing])

    async def _play(self, sound: Callable[[], Awaitable[bytes]]) -> None:
        try:
            audio = await sound()
        except (AudioError, HttpFailedError, StepError) as error:
            log.warning("the sound for a tool cannot be played", error=str(error))
            return
        while audio and await self._playout.play(audio, "hold"):
            pass


@asynccontextmanager
async def patience(call: Call) -> AsyncIterator[None]:
    """While the block takes longer than that the caller hears music, if nobody else talks with them."""
    async with beside(_music(call)):
        yield


async def _music(call: Call) -> None:
    await asyncio.sleep(SILENT_FOR)
    if call.is_over or call.with_person or not call.line.is_answered:
        return
    try:
        playout = await call.playout()
        talks = playout.listener is not None or call.live.turn is not None  # this flow runs beside a talk
        if not talks and not playout.is_playing:  # nor beside ringing phones
            await keep_company(playout, "music")
    except LineError as error:
        log.warning("the caller hears nothing while the step takes its time", error=str(error))
