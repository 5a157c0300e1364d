"""Keeping sound: files that hold what was said, and the recording of a call as it goes on.

Files are WAV (8 kHz, 16 bit, linear), readable by the engine's user only, and written by a thread: no call waits for a
disk.
"""

from __future__ import annotations

import asyncio
import audioop
import re
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from engine.audio import BYTES_PER_MS, RATE, decode
from engine.sides import Sides

if TYPE_CHECKING:
    from engine.call import Call
    from flows.flow import Step

log = structlog.get_logger()

EVERY = 1.0  # seconds between two writes
BEHIND_MS = 1000  # the newest audio is held back: frames that are late find their place
LATE_MS = 500  # caller audio that comes later than this after the last was not late: there was a gap
LONGEST = 4 * 3600.0  # seconds: 460 MB
CLOSE_WITHIN = 5.0  # seconds


def new_file(folder: Path, started: datetime, call: str, number: int) -> Path:
    """Where a sound of a call is kept: its time (UTC), the call's id, and a number that is its own within the call."""
    return folder / f"{started:%Y%m%dT%H%M%SZ}-{re.sub(r'[^A-Za-z0-9_-]', '_', call)}-{number}.wav"


def create(path: Path, channels: int) -> wave.Wave_write:
    """Begin a file that only this user may read. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600, exist_ok=False)
    sound = wave.open(str(path), "wb")  # noqa: SIM115 - a recording closes it when it is over
    sound.setnchannels(channels)
    sound.setsampwidth(2)
    sound.setframerate(RATE)
    return sound


def keep(path: Path, audio: bytes, law: str) -> None:
    """Write a whole sound, given as G.711. Whoever looks into the folder never sees half of it. Raises `OSError`."""
    unfinished = path.with_suffix(".part")
    try:
        with create(unfinished, 1) as sound:
            sound.writeframes(decode(audio, law))
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def unrecorded(call: Call, step: Step) -> Iterator[None]:
    """While a step runs whose fields say that it is ``sensitive``, nothing is recorded and nobody listens."""
    if call.is_private or not getattr(step.fields, "sensitive", False):
        yield
        return
    left_alone = {tap for tap in call.taps if tap.paused}
    call.is_private = True
    for tap in call.taps:
        tap.pause()
    try:
        yield
    finally:
        call.is_private = False
        for tap in call.taps:
            if tap not in left_alone:
                tap.resume()


class Recording(Sides):
    """A call as it is heard: in stereo, the caller left, the engine right; or both in one of ``channels``.

    What is paused and what has no audio with the engine is not in the file. `run` it beside the call; it ends by
    `stop`, by cancellation, or after 4 hours, and the file is whole at every moment.
    """

    def __init__(self, path: Path, law: str, clock: Callable[[], float], channels: int = 2) -> None:
        super().__init__(law, clock, LATE_MS)
        self.path = path
        self.channels = channels
        self.error = ""  # why it could not be kept, if it could not
        self._law = law
        self._written = 0
        self._sound: wave.Wave_write | None = None
        self._writing: asyncio.Future[None] | None = None  # the latest piece of it
        self._stopping = asyncio.Event()
        self.over = asyncio.Event()

    @property
    def seconds(self) -> float:
        """How much it holds."""
        return self.now() / RATE

    def resume(self) -> None:
        """Everything is kept again, unless it is over; what was handed to the line meanwhile is not."""
        if not self._stopping.is_set():
            super().resume()

    async def stop(self) -> None:
        """End it, and wait until its file is closed."""
        self._stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.over.wait()

    # ── The file ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Write until it is over. A disk that fails ends the recording, never the call."""
        try:
            while not self._stopping.is_set() and not self.error and self.seconds < LONGEST:
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await self._stopping.wait()
                await self._keep(self.now() - BEHIND_MS * BYTES_PER_MS)
        finally:
            self._stopping.set()
            self.pause()
            done, _ = await asyncio.wait([asyncio.ensure_future(self._finish())], timeout=CLOSE_WITHIN)
            if not done:  # it goes on, in its thread; the end of a call waits no longer
                self.error = self.error or f"{self.path} could not be written within {CLOSE_WITHIN:g} s"
                log.error("a recording could not be closed in time", reason=self.error)
                self.over.set()

    async def _finish(self) -> None:
        await self._keep(self.now())
        if self._sound is not None:
            with suppress(OSError):
                await asyncio.to_thread(self._sound.close)
        self.over.set()

    async def _keep(self, until: int) -> None:
        start = self._written
        if until <= start or self.error:
            return
        self._written = until
        self._writing = asyncio.ensure_future(self._write(self._writing, *self.take(start, until)))
        try:
            await asyncio.shield(self._writing)
        except OSError as error:
            self.error = f"{self.path} cannot be written: {error.strerror or error}"
            log.error("a call is not recorded any more", reason=self.error)

    async def _write(self, before: asyncio.Future[None] | None, *sides: bytes) -> None:
        if before is not None and not before.done():  # whoever waited for it was cancelled
            await asyncio.wait([before])
        await asyncio.to_thread(self._append, *sides)

    def _append(self, caller: bytes, engine: bytes) -> None:
        """In a thread."""
        if self._sound is None:
            self._sound = create(self.path, self.channels)
        left, right = decode(caller, self._law), decode(engine, self._law)
        if self.channels == 2:
            left, right = audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1)
        self._sound.writeframes(audioop.add(left, right, 2))  # and its length: the file is whole at every moment
