"""Records that were kept long enough are deleted; records of calls whose sound was deleted say so.

Beside the writer of `engine.records.store`, over a connection of its own: it deletes calls that began at least a day
ago and are over, which nobody writes any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.expired_files import Sound, in_name
from engine.records.database import DATABASE_ERRORS, RecordsError, connect
from engine.records.tables import PARTS, calls

BATCH: Final = 20  # calls in one transaction, of some 50 rows each: SQLite has one writer, and it must not wait long
WITHIN: Final = 30.0  # seconds for a transaction
LONGEST_CALL: Final = timedelta(days=1)  # a sound that begins later in its call than this is not looked for


class OldRecords:
    """The records of a database, for who deletes what is old. Make one with `open`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[OldRecords]:
        """Those at this URL, whose tables are there. Connects when it is used. Raises `RecordsError`."""
        engine = connect(url)
        try:
            yield cls(engine)
        finally:
            await engine.dispose()

    async def delete(self, before: datetime) -> int:
        """Delete the oldest calls that began before this moment and are over, with all their parts, `BATCH` at most.

        Returns how many there were. Raises `RecordsError`.
        """
        oldest = select(calls.c.id).where(calls.c.started < before, calls.c.outcome != "live")
        # Of several engines on one PostgreSQL each takes others. SQLite has one writer at a time, and no such words.
        chosen = oldest.order_by(calls.c.started).limit(BATCH).with_for_update(skip_locked=True)
        async with self._transaction() as connection:
            ids = list(await connection.scalars(chosen))
            if ids:
                await connection.execute(delete(calls).where(calls.c.id.in_(ids)))  # the parts go with their call
        return len(ids)

    async def note(self, sounds: Iterable[Sound], words: str) -> None:
        """Have the steps that kept these sounds say what became of them. Raises `RecordsError`."""
        steps = PARTS["steps"]
        async with self._transaction("BEGIN") as connection:  # who only reads keeps nobody from writing
            found = [(await self._call_of(connection, sound), sound) for sound in sounds]
        async with self._transaction() as connection:
            for call, sound in found:
                its = update(steps).where(
                    steps.c.call_id == call,
                    steps.c.position == sound.position,
                    steps.c.detail.contains(sound.name, autoescape=True),
                )
                if call is not None:
                    await connection.execute(its.values(detail=steps.c.detail.concat(words)))

    async def _call_of(self, connection: AsyncConnection, sound: Sound) -> str | None:
        """The id of the call whose sound it is; None when its record is gone."""
        near = calls.c.started.between(sound.began - LONGEST_CALL, sound.began + timedelta(seconds=1))
        # In the file's name "_" stands for whatever a name may not have; LIKE takes it so, too.
        found = await connection.scalars(select(calls.c.id).where(near, calls.c.id.like(sound.call)))
        return next((id_ for id_ in found if in_name(id_) == sound.call), None)

    @asynccontextmanager
    async def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> AsyncIterator[AsyncConnection]:
        """A transaction. One of SQLite that writes waits at its beginning, lest it must give up later."""
        try:
            async with asyncio.timeout(WITHIN), self._engine.connect() as connection:
                await connection.execution_options(begin=begin)
                async with connection.begin():
                    yield connection
        except DATABASE_ERRORS as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RecordsError(f"{self._engine.url.render_as_string()} cannot be changed: {reason}") from error
