"""How long is kept what calls leave (`keep.…` of the settings): what is older is deleted, a little at a time, beside
the calls; and how much space is left.

Each engine deletes the sounds in its own storage and the lines of its own audit log. The records belong to all engines
of a database: whichever comes first deletes them.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from engine import expired_files
from engine.console.audit import Audit
from engine.errors import UserError
from engine.expired_files import Sound
from engine.metrics import Metrics
from engine.records.database import RecordsError
from engine.records.retention import OldRecords
from engine.services import Clock
from engine.settings import KeepSettings

FIRST: Final = 60.0  # seconds from the start to the first run: a start has other things to do
EVERY: Final = 3600.0
PAUSE: Final = 0.2  # seconds between two batches, in which calls have disk, database and event loop to themselves
LOOK_EVERY: Final = 30.0  # seconds between two looks at the free space
PROBLEMS: Final = 5  # of a run, in the log

Folders = Callable[[Path], list[tuple[str, ...]]]

log = structlog.get_logger()


class Board(Protocol):
    """The live calls: `engine.switchboard.Switchboard`."""

    @property
    def calls(self) -> Mapping[str, object]:
        """By id."""


class House(Protocol):
    """`engine.services.Services`, as far as it is needed here."""

    @property
    def clock(self) -> Clock:
        """The time of day."""

    @property
    def metrics(self) -> Metrics:
        """Where it is counted."""


class Retention:
    """Deletes what was kept long enough. `run` it beside the calls."""

    def __init__(
        self, keep: KeepSettings, storage: Path, database: str, audit: Audit, board: Board, house: House
    ) -> None:
        self._keep = keep
        self._storage = storage
        self._database = database
        self._audit = audit
        self._board = board
        self._house = house
        self._trimmed: datetime | None = None
        self._problems: list[str] = []
        self._deleted: Counter[str] = Counter()

    async def run(self) -> None:
        """A run every hour, until cancelled. What goes wrong is logged, and costs no call."""
        if not any(dict(self._keep).values()):
            return
        await asyncio.sleep(FIRST)
        while True:
            try:
                await self.once()
            except Exception:
                log.exception("what was kept long enough cannot be deleted")
            await asyncio.sleep(EVERY)

    async def once(self) -> Mapping[str, int]:
        """One run: how many of each kind were deleted. Sounds first: on a full disk a database deletes nothing."""
        self._problems, self._deleted = [], Counter()
        ways = {"recordings": self._recordings, "voicemail": self._voicemail, "audit": self._lines,
                "records": self._records}  # fmt: skip
        now = self._house.clock.now()
        for kind, delete in ways.items():
            age: timedelta | None = getattr(self._keep, kind)
            if age is None:
                continue
            try:
                await delete(now - age)
            except (UserError, OSError) as error:
                self._problems.append(f"{kind}: {error}")
        if self._deleted:
            log.info("deleted what was kept long enough", **self._deleted)
        if self._problems:
            log.error(
                "not all that was kept long enough can be deleted", problems=self._problems[:PROBLEMS],
                count=len(self._problems),
            )  # fmt: skip
        return self._deleted

    async def _recordings(self, before: datetime) -> None:
        await self._sounds("recordings", expired_files.recordings, before)

    async def _voicemail(self, before: datetime) -> None:
        await self._sounds("voicemail", expired_files.voicemail, before)

    async def _lines(self, before: datetime) -> None:
        """Once a day: the whole file is written anew."""
        now = self._house.clock.now()
        if self._trimmed is None or now - self._trimmed >= timedelta(days=1):
            await self._counted("audit", await self._audit.trim(before))
            self._trimmed = now

    async def _records(self, before: datetime) -> None:
        async with OldRecords.open(self._database) as records:
            while count := await records.delete(before):
                await self._counted("records", count)

    async def _sounds(self, kind: str, folders: Folders, before: datetime) -> None:
        """Of all folders of this kind; one that cannot be read does not keep the others."""
        live = frozenset(self._board.calls)
        async with OldRecords.open(self._database) as records:
            for names in await asyncio.to_thread(folders, self._storage):
                sweep = expired_files.expired(self._storage, names, before, live, self._problems)
                try:
                    while (deleted := await asyncio.to_thread(next, sweep, None)) is not None:
                        await self._noted(records, kind, deleted)
                        await self._counted(kind, len(deleted))
                except OSError as error:
                    self._problems.append(f"{kind}: {error}")

    async def _noted(self, records: OldRecords, kind: str, deleted: Sequence[Sound]) -> None:
        """Have the records say that the sound is gone. They may be gone, too, and the database away: that is no reason
        to keep sounds."""
        age: timedelta = getattr(self._keep, kind)
        try:
            if deleted:
                await records.note(deleted, f"; deleted when it had been kept for {age.days} days")
        except RecordsError as error:
            self._problems.append(f"{kind}: the records do not say that {len(deleted)} sounds were deleted: {error}")

    async def _counted(self, kind: str, count: int) -> None:
        if count:
            self._deleted[kind] += count
            self._house.metrics.kept_deleted.labels(kind).inc(count)
        await asyncio.sleep(PAUSE)


class Disk:
    """How much space is left where recordings are kept, for the metrics. `watch` it beside the calls."""

    def __init__(self, storage: Path, metrics: Metrics) -> None:
        self._storage = storage
        self._metrics = metrics

    async def watch(self) -> None:
        """Look now and every half minute, until cancelled."""
        while True:
            try:
                free, size = await asyncio.to_thread(self._space)
            except OSError as error:
                log.warning("the free space is not known", folder=str(self._storage), reason=error.strerror)
            else:
                self._metrics.storage_free.set(free)
                self._metrics.storage_size.set(size)
            await asyncio.sleep(LOOK_EVERY)

    def _space(self) -> tuple[int, int]:
        """Bytes that are free for us, and all there are, in the folder or where it will be made. Raises `OSError`."""
        folder = self._storage.absolute()
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
