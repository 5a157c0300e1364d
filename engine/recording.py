"""Keeping sound: files that hold what was said, and the recording of a call as it goes on.

Files are WAV (8 kHz, 16 bit, linear), readable by the engine's user only, and written by a thread: no call waits for a
disk.
"""

from __future__ import annotations

import asyncio
import audioop
import re
import wave
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from engine.audio import BYTES_PER_MS, RATE, SILENCE, decode

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
    """While a step runs whose fields say that it is ``sensitive``, nothing is recorded."""
    recording = call.recording
    if recording is None or recording.paused or not getattr(step.fields, "sensitive", False):
        yield
        return
    recording.pause()
    try:
        yield
    finally:
        recording.resume()


class Track:
    """One side of a recording: pieces of G.711 at their places, counted in samples."""

    def __init__(self, silence: bytes) -> None:
        self.end = 0
        self._silence = silence
        self._pieces: deque[tuple[int, bytes]] = deque()

    def put(self, at: int, audio: bytes) -> None:
        """Audio at a place that is not before the end of what is there."""
        self._pieces.append((at, audio))
        self.end = at + len(audio)

    def cut(self, at: int) -> None:
        """Whatever comes later than this was never heard."""
        while self._pieces and self._pieces[-1][0] + len(self._pieces[-1][1]) > at:
            start, audio = self._pieces.pop()
            if start < at:
                self._pieces.append((start, audio[: at - start]))
        self.end = min(self.end, at)

    def take(self, start: int, end: int) -> bytes:
        """What is between two places, silence in the gaps. Nothing before ``end`` can be asked for again."""
        window = bytearray(self._silence * (end - start))
        while self._pieces and self._pieces[0][0] < end:
            at, audio = self._pieces.popleft()
            if at + len(audio) > end:
                self._pieces.appendleft((end, audio[end - at :]))
                audio = audio[: end - at]
            if at < start:
                at, audio = start, audio[start - at :]
            window[at - start : at - start + len(audio)] = audio
        return bytes(window)


class Recording:
    """A call as it is heard, in stereo: the caller left, the engine right.

    It is the tap of a `engine.playout.Playout`. Its clock stands still while it is paused and while the call has no
    audio with the engine, so that neither is in the file. `run` it beside the call; it ends by `stop`, by cancellation,
    or after 4 hours, and the file is whole at every moment.
    """

    def __init__(self, path: Path, law: str, clock: Callable[[], float]) -> None:
        self.path = path
        self.paused = False
        self.error = ""  # why it could not be kept, if it could not
        self._law = law
        self._clock = clock
        self._attached = False
        self._since: float | None = None  # when the clock was started; None: it stands still
        self._counted = 0  # samples until then
        self._written = 0
        self._caller, self._engine = Track(SILENCE[law]), Track(SILENCE[law])
        self._sound: wave.Wave_write | None = None
        self._stopping = asyncio.Event()
        self.over = asyncio.Event()

    @property
    def seconds(self) -> float:
        """How much it holds."""
        return self._now() / RATE

    # ── What is heard ─────────────────────────────────────────────────────────────────────────────────────────────────

    def caller(self, audio: bytes) -> None:
        """The caller's audio, as it arrives."""
        if self._since is None:
            return
        track, begins = self._caller, self._now() - len(audio)
        if begins - track.end > LATE_MS * BYTES_PER_MS:
            track.put(begins, audio)
        elif track.end - begins < LATE_MS * BYTES_PER_MS:
            track.put(track.end, audio)

    def engine(self, audio: bytes) -> None:
        """Audio that was handed to the line; it is heard when everything before it has been."""
        if self._since is not None:
            self._engine.put(max(self._now(), self._engine.end), audio)

    def hush(self) -> None:
        """What was handed over and not heard by now never will be."""
        self._engine.cut(self._now())

    # ── When ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def attach(self) -> None:
        """The call has audio with the engine."""
        self._attached = True
        self._turn()

    def gone(self) -> None:
        """It has none any more."""
        self._attached = False
        self._turn()

    def pause(self) -> None:
        """Nothing is kept from now on."""
        self.paused = True
        self._turn()

    def resume(self) -> None:
        """Everything is kept again, unless it is over; what was handed to the line meanwhile is not."""
        self.paused = self._stopping.is_set()
        self._turn()

    async def stop(self) -> None:
        """End it, and wait until its file is closed."""
        self._stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.over.wait()

    def _turn(self) -> None:
        """Start or stop the clock."""
        runs = self._attached and not self.paused
        if runs and self._since is None:
            self._since = self._clock()
        elif not runs and self._since is not None:
            self._counted, self._since = self._now(), None
            self.hush()

    def _now(self) -> int:
        return self._counted if self._since is None else self._counted + round((self._clock() - self._since) * RATE)

    # ── The file ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Write until it is over. A disk that fails ends the recording, never the call."""
        try:
            while not self._stopping.is_set() and not self.error and self.seconds < LONGEST:
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await self._stopping.wait()
                await self._keep(self._now() - BEHIND_MS * BYTES_PER_MS)
        finally:
            self._stopping.set()
            self.pause()
            await asyncio.shield(asyncio.ensure_future(self._finish()))

    async def _finish(self) -> None:
        await self._keep(self._now())
        if self._sound is not None:
            with suppress(OSError):
                await asyncio.to_thread(self._sound.close)
        self.over.set()

    async def _keep(self, until: int) -> None:
        start = self._written
        if until <= start or self.error:
            return
        self._written = until
        sides = self._caller.take(start, until), self._engine.take(start, until)
        try:
            await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(self._append, *sides)))
        except OSError as error:
            self.error = f"{self.path} cannot be written: {error.strerror or error}"
            log.error("a call is not recorded any more", reason=self.error)

    def _append(self, caller: bytes, engine: bytes) -> None:
        """In a thread."""
        if self._sound is None:
            self._sound = create(self.path, 2)
        left = audioop.tostereo(decode(caller, self._law), 2, 1, 0)
        right = audioop.tostereo(decode(engine, self._law), 2, 0, 1)
        self._sound.writeframes(audioop.add(left, right, 2))  # and its length: the file is whole at every moment
