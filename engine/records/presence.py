"""Which engines live: each says so in the database, every two seconds, for whoever takes its Stasis application.

An engine whose application was taken lets its live calls go on. Until it has ended, or is surely dead, they are its
own: on the same machine it is dead as soon as its process is gone, elsewhere when it has said nothing for `SILENT`
seconds. Times are the database's own, so that clocks need not agree.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from sqlalchemy import delete, func, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from asterisk.janitor import here, is_running
from engine.beside import beside
from engine.records.database import DATABASE_ERRORS
from engine.records.tables import Moment, engines

EVERY: Final = 2.0  # seconds between two signs of life
SILENT: Final = 6.0  # seconds without one, after which an engine elsewhere is dead
WITHIN: Final = 5.0  # seconds for the database to take a sign, or to tell of others
FORGOTTEN: Final = timedelta(days=1)  # after which the sign of an engine that died is deleted

log = structlog.get_logger(__name__)


class Presence:
    """An engine's sign of life. Make one with `open`."""

    def __init__(self, database: AsyncEngine, name: str, app: str) -> None:
        self._database = database
        self._row = {"id": uuid4().hex, "name": name, "app": app, "place": here(), "pid": os.getpid()}
        self._doubt_until = 0.0  # another lived a moment ago: no answer does not mean that it is dead

    @classmethod
    @asynccontextmanager
    async def open(cls, database: AsyncEngine, name: str, app: str) -> AsyncIterator[Presence]:
        """The engine of this name and application lives while the block runs."""
        presence = cls(database, name, app)
        await presence._quietly_say()
        async with beside(presence._say_so()):
            try:
                yield presence
            finally:
                await presence._leave()

    async def others(self) -> bool:
        """Whether another engine of this name and application lives. Never raises."""
        clock = asyncio.get_running_loop().time
        theirs = select(engines.c.place, engines.c.pid, engines.c.seen, type_coerce(func.now(), Moment)).where(
            engines.c.name == self._row["name"], engines.c.app == self._row["app"], engines.c.id != self._row["id"]
        )
        try:
            async with asyncio.timeout(WITHIN), self._database.connect() as connection:
                found = (await connection.execute(theirs)).all()
        except DATABASE_ERRORS as error:
            log.warning("cannot tell whether another engine of this name lives", error=str(error) or "no answer")
            return clock() < self._doubt_until
        alive = any(self._lives(*row) for row in found)
        self._doubt_until = clock() + SILENT if alive else 0.0
        return alive

    def _lives(self, where: str, pid: int, seen: datetime, now: datetime) -> bool:
        if where == self._row["place"] and not is_running(pid):
            return False
        return (now - seen).total_seconds() < SILENT

    async def _say_so(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self._quietly_say()

    async def _quietly_say(self) -> None:
        """The records tell of a database that does not work; the next sign of life is soon."""
        with suppress(*DATABASE_ERRORS):
            async with asyncio.timeout(WITHIN), self._database.begin() as connection:
                await self._say(connection)

    async def _say(self, connection: AsyncConnection) -> None:
        mine = update(engines).where(engines.c.id == self._row["id"]).values(seen=func.now())
        if not (await connection.execute(mine)).rowcount:  # the first time, or the database was replaced
            await connection.execute(delete(engines).where(engines.c.seen < datetime.now().astimezone() - FORGOTTEN))
            await connection.execute(insert(engines).values(**self._row, seen=func.now()))

    async def _leave(self) -> None:
        with suppress(*DATABASE_ERRORS):
            async with asyncio.timeout(WITHIN), self._database.begin() as connection:
                await connection.execute(delete(engines).where(engines.c.id == self._row["id"]))
