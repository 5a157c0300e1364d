"""Callers who keep a demo busy: so many at a time, who listen, ask, press a key for a person, and hang up."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Final

from asterisk.ari.errors import AriError
from asterisk.world import Caller, World, WorldError

APART: Final = 0.7  # seconds between two who begin
KEPT_FOR: Final = 120.0  # seconds: recordings of the world's telephones, which nobody will listen to
NAMES: Final = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Hedy", "Katherine", "Tim", "Radia")
QUESTIONS: Final = (
    "Excuse me, I have a question.", "When are you open tomorrow?", "I would like to talk about my invoice.",
    "Where do I find you?",
)  # fmt: skip


async def keep_busy(outside: World, number: str, count: int) -> None:
    """Until cancelled, so many calls at a time."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_tidy(outside.instance.monitor))
        for place in range(count):
            group.create_task(_calls_again_and_again(outside, number, place))
            await asyncio.sleep(APART)


async def _calls_again_and_again(outside: World, number: str, place: int) -> None:
    chance = random.Random(place)
    name = NAMES[place % len(NAMES)]
    while True:
        try:
            caller = await outside.call(number, caller=f"+1415555{place:04d}", name=name)
            try:
                await _talks(caller, chance)
            finally:
                await asyncio.shield(caller.hangs_up())
        except (WorldError, AriError, TimeoutError):
            pass  # the company hung up, refused, or a supervisor did: one calls again
        await asyncio.sleep(chance.uniform(1.0, 4.0))


async def _talks(caller: Caller, chance: random.Random) -> None:
    await caller.answered()
    await caller.hears_something()
    await asyncio.sleep(chance.uniform(2.0, 8.0))
    await caller.says(chance.choice(QUESTIONS))
    await asyncio.sleep(chance.uniform(4.0, 10.0))
    if chance.random() < 0.5:
        await caller.presses("0")
    await asyncio.sleep(chance.uniform(5.0, 30.0))


async def _tidy(monitor: Path) -> None:
    """Recordings would fill the disk of who leaves the demo running."""
    while True:
        await asyncio.sleep(30.0)
        await asyncio.to_thread(_remove_older, monitor, time.time() - KEPT_FOR)


def _remove_older(folder: Path, than: float) -> None:
    for file in folder.glob("*.wav"):
        try:
            if file.stat().st_mtime < than:
                file.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
