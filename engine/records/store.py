"""Call records are stored by one writer, so that no call waits for the disk, and found again by id or by filter."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, tzinfo
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from engine.checkpoint import Checkpoint, Left
from engine.metrics import metrics
from engine.record import CallRecord
from engine.records.costs import Costs, query, summed
from engine.records.database import DATABASE_ERRORS, RecordsError, connect, identity, migrate
from engine.records.left import DIED, claimed, mark_lost
from engine.records.presence import Presence
from engine.records.tables import PARTS, calls, checkpoint_row, checkpoints, record_from, rows, without_words

BATCH: Final = 8  # calls in one transaction: their rows are built in the event loop, which must stay free for audio
SPACING: Final = 0.2  # seconds between writes: a transaction costs 4 ms of CPU whatever is in it (measured)
MAX_PENDING: Final = 10_000  # calls kept in memory while the database is down
WRITE_TIMEOUT: Final = 30.0
CLOSE_TIMEOUT: Final = 5.0

log = structlog.get_logger(__name__)


class Records:
    """The records of a database. Make one with `open`."""

    def __init__(self, engine: AsyncEngine, *, transcripts: bool = True) -> None:
        self._engine = engine
        self._transcripts = transcripts
        self._pending: dict[str, CallRecord] = {}
        self._writing: dict[str, CallRecord] = {}  # handed to the database, which has not said yet that it keeps them
        self._states: dict[str, Callable[[], Checkpoint]] = {}  # of live calls, by id
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()
        self._failing = False
        self._identity: tuple[int, int] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, engine: str = "", transcripts: bool = True) -> AsyncIterator[Records]:
        """The records at this URL, migrated to the newest tables.

        ``engine`` names the engine that starts: records it left live when it died become ``lost``. Without
        ``transcripts`` nothing that was said or typed is stored. Raises `RecordsError` when the database cannot be
        opened.
        """
        database = connect(url)
        records = cls(database, transcripts=transcripts)
        try:
            try:
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await records._prepare()
                    if engine:
                        async with database.begin() as connection:
                            await mark_lost(connection, engine)
            except DATABASE_ERRORS as error:
                raise RecordsError(f"cannot open the database {_name(database)}: {_reason(error)}") from error
            writer = asyncio.create_task(records._write_forever(), name="records")
            writer.add_done_callback(_say_if_failed)
            try:
                yield records
            finally:
                await records._stop(writer)
        finally:
            await database.dispose()

    @property
    def pending(self) -> int:
        """Calls whose newest state is not stored yet."""
        return len(self._writing | self._pending)

    # ── Writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def save(self, record: CallRecord) -> None:
        """Have the record stored as it is by then; returns at once. Saves of the same call become one, in the place of
        the first, lest a call that changes all the time waits for ever."""
        self._pending[record.id] = record
        if len(self._pending) > MAX_PENDING:
            self._give_up(next(iter(self._pending)), "full")
        metrics.records_pending.set(self.pending)
        self._idle.clear()
        self._wake.set()

    def follow(self, call_id: str, state: Callable[[], Checkpoint]) -> None:
        """Store the call's state, as it is by then, with its record while that is live: `engine.checkpoint`."""
        self._states[call_id] = state

    def forget(self, call_id: str) -> None:
        """The call is over."""
        self._states.pop(call_id, None)

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait (at most ``timeout`` seconds) until everything saved so far is stored. Raises `RecordsError`."""
        if not self._idle.is_set():
            self._hurry.set()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            raise RecordsError(
                f"{_name(self._engine)} did not take {self.pending} call records within {timeout:g} s"
            ) from None

    async def _write_forever(self) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(DATABASE_ERRORS),
            wait=wait_exponential_jitter(multiplier=0.2, max=30.0),
            sleep=self._pause,
            after=self._failed,
        )
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await retrying(self._write_batch)
            self._idle.set()
            self._hurry.clear()
            await self._pause(SPACING)

    async def _write_batch(self) -> None:
        if self._failing or self._identity != identity(self._engine):
            await self._prepare()  # the file may have been removed, the server replaced by an empty one
        self._writing = {key: self._pending.pop(key) for key in list(self._pending)[:BATCH]}
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._write_good(list(self._writing.values()))
        except BaseException:
            # What was saved meanwhile is newer; the oldest stay first.
            self._pending = self._writing | self._pending
            raise
        finally:
            self._writing = {}
            metrics.records_pending.set(self.pending)
        if self._failing:
            self._failing = False
            metrics.records_failing.set(0)
            log.info("call records are stored again", pending=self.pending)

    async def _write_good(self, batch: builtins.list[CallRecord]) -> None:
        """Write the batch; when the database refuses what stands in it, all but the record that is at fault."""
        try:
            await self._write(batch)
        except (*DATABASE_ERRORS, ValueError, TypeError, ArithmeticError) as error:
            if not _is_refusal(error):
                raise
            if len(batch) > 1:
                for record in batch:
                    await self._write_good([record])
                return
            metrics.records_dropped.labels("refused").inc()
            log.error("the database refuses a call record", call_id=batch[0].id, reason=_reason(error))

    async def _write(self, batch: builtins.list[CallRecord]) -> None:
        merged: dict[Any, builtins.list[dict[str, Any]]] = {}
        for record in batch:
            kept = rows(record) if self._transcripts else without_words(rows(record))
            for table, found in kept.items():
                merged.setdefault(table, []).extend(found)
            merged.setdefault(checkpoints, []).extend(self._checkpoint(record))
        async with self._engine.begin() as connection:
            # The rows of the lists go with their call, and so does its checkpoint.
            await connection.execute(delete(calls).where(calls.c.id.in_([record.id for record in batch])))
            for table, found in merged.items():
                if found:
                    await connection.execute(insert(table), found)

    def _checkpoint(self, record: CallRecord) -> builtins.list[dict[str, Any]]:
        """The row of a live call that is followed. One that cannot be told must not keep the others from the disk."""
        state = self._states.get(record.id)
        if state is None or record.outcome != "live":
            return []
        try:
            return [checkpoint_row(record.id, state(), without_words=not self._transcripts)]
        except Exception:
            log.exception("how far a call has come cannot be kept; its record can", call_id=record.id)
            return []

    async def _prepare(self) -> None:
        # A connection to a file that is gone, or to a server that restarted, never comes back by itself.
        await self._engine.dispose()
        await migrate(self._engine)
        self._identity = identity(self._engine)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
                self._hurry.clear()

    async def _failed(self, state: RetryCallState) -> None:
        if self._failing or state.outcome is None:
            return
        self._failing = True
        metrics.records_failing.set(1)
        error = state.outcome.exception()
        log.error(
            "call records cannot be stored; they wait in memory",
            database=_name(self._engine),
            reason=_reason(error) if error else "",
            pending=self.pending,
        )

    def _give_up(self, call_id: str, reason: str) -> None:
        del self._pending[call_id]
        metrics.records_dropped.labels(reason).inc()
        log.error("a call record is given up", call_id=call_id, reason=reason)

    async def _stop(self, writer: asyncio.Task[None]) -> None:
        try:
            if not writer.done():
                await self.flush(CLOSE_TIMEOUT)
        except RecordsError as error:
            log.error(str(error), calls=[*(self._writing | self._pending)][:20])
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer

    async def claim(self, engine: str, channel: str) -> Left | None:
        """What this engine left of the call on this channel, its resumption counted on disk. Raises `RecordsError`."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT), self._engine.begin() as connection:
                found = await claimed(connection, engine, channel)
        except DATABASE_ERRORS as error:
            raise RecordsError(f"cannot read {_name(self._engine)}: {_reason(error)}") from error
        if found is None:
            return None
        record = await self.get(found[0])
        record.outcome, record.error = "live", record.error or DIED
        return Left(record, found[1])

    def presence(self, name: str, app: str) -> AbstractAsyncContextManager[Presence]:
        """The engine of this name and Stasis application is seen to live while the block runs."""
        return Presence.open(self._engine, name, app)

    # ── Finding ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, call_id: str) -> CallRecord:
        """The record with this id, or the only one whose id begins so. Raises `RecordsError`."""
        found = await self._select(calls.c.id == call_id, limit=1) or await self._select(
            calls.c.id.startswith(call_id, autoescape=True), limit=2
        )
        if not found:
            raise RecordsError(f"no call {call_id!r} in {_name(self._engine)}; `hookflash calls` lists them")
        if len(found) > 1:
            raise RecordsError(
                f"several calls begin with {call_id!r}: {found[0].id}, {found[1].id}, …; write more of it"
            )
        return found[0]

    async def list(
        self,
        limit: int = 50,
        *,
        flow: str | None = None,
        outcome: str | None = None,
        caller: str | None = None,
        since: datetime | None = None,
        errors: bool = False,
    ) -> builtins.list[CallRecord]:
        """The newest records first. ``caller`` matches any part of the number; ``errors``: only calls in which
        something went wrong, however they ended. Raises `RecordsError`."""
        return await self._select(*_filters(flow, outcome, caller, since, errors), limit=limit)

    async def costs(
        self,
        *,
        flow: str | None = None,
        outcome: str | None = None,
        caller: str | None = None,
        since: datetime | None = None,
        errors: bool = False,
        zone: tzinfo | None = None,
    ) -> builtins.list[Costs]:
        """What these calls cost, in each currency; days are those of ``zone`` (None: of this machine).

        Raises `RecordsError`.
        """
        async with self._reading() as connection:
            found = await connection.stream(query(_filters(flow, outcome, caller, since, errors)))
            return await summed(found.mappings(), zone)

    async def _select(self, *filters: ColumnElement[bool], limit: int) -> builtins.list[CallRecord]:
        newest = select(calls).where(*filters).order_by(calls.c.started.desc(), calls.c.id).limit(limit)
        async with self._reading() as connection:
            found = (await connection.execute(newest)).mappings().all()
            ids = [row["id"] for row in found]
            parts: dict[str, dict[str, builtins.list[Any]]] = {}
            for name, table in PARTS.items():
                by_call = parts[name] = {key: [] for key in ids}
                wanted = select(table).where(table.c.call_id.in_(ids)).order_by(table.c.call_id, table.c.position)
                for row in (await connection.execute(wanted)).mappings():
                    by_call[row["call_id"]].append(row)
        return [record_from(row, {name: parts[name][row["id"]] for name in PARTS}) for row in found]

    async def page(
        self,
        limit: int,
        *,
        number: str | None = None,
        flow: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> builtins.list[CallRecord]:
        """Calls that are over, without their lists, the newest first. Raises `RecordsError`.

        ``number`` matches any part of the caller's or the called number; ``after``: start and id of the last call of
        the page before.
        """
        filters: builtins.list[ColumnElement[bool]] = [calls.c.outcome != "live"]
        if number is not None:
            filters.append(
                calls.c.caller.contains(number, autoescape=True) | calls.c.did.contains(number, autoescape=True)
            )
        if flow is not None:
            filters.append(calls.c.flow == flow)
        if outcome is not None:
            filters.append(calls.c.outcome == outcome)
        if since is not None:
            filters.append(calls.c.started >= since)
        if until is not None:
            filters.append(calls.c.started < until)
        if after is not None:
            started, id_ = after
            filters.append((calls.c.started < started) | ((calls.c.started == started) & (calls.c.id > id_)))
        newest = select(calls).where(*filters).order_by(calls.c.started.desc(), calls.c.id).limit(limit)
        async with self._reading() as connection:
            found = (await connection.execute(newest)).mappings().all()
        return [record_from(row, {}) for row in found]

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT), self._engine.connect() as connection:
                yield connection
        except DATABASE_ERRORS as error:
            raise RecordsError(f"cannot read {_name(self._engine)}: {_reason(error)}") from error


def _filters(
    flow: str | None, outcome: str | None, caller: str | None, since: datetime | None, errors: bool
) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if flow is not None:
        filters.append(calls.c.flow == flow)
    if outcome is not None:
        filters.append(calls.c.outcome == outcome)
    if caller is not None:
        filters.append(calls.c.caller.contains(caller, autoescape=True))
    if errors:
        filters.append(calls.c.error != "")
    if since is not None:
        filters.append(calls.c.started >= since)
    return filters


def _say_if_failed(writer: asyncio.Task[None]) -> None:
    """The writer ends only when it is cancelled; a fault of ours must not go unnoticed until the engine stops."""
    if not writer.cancelled() and (error := writer.exception()) is not None:
        metrics.records_failing.set(1)
        log.critical("no call records are stored any more", exc_info=error)


def _is_refusal(error: BaseException) -> bool:
    """Whether the database works and only this record is at fault."""
    if isinstance(error, DBAPIError):
        # asyncpg's errors come unsorted, but with their SQLSTATE: class 22 is data, 23 integrity.
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return isinstance(error, DataError | IntegrityError) or state.startswith(("22", "23"))
    return isinstance(error, StatementError | ValueError | TypeError | ArithmeticError)


def _reason(error: BaseException) -> str:
    """The database's own words, without the statement and its values."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _name(engine: AsyncEngine) -> str:
    """The database's URL without its password."""
    return engine.url.render_as_string(hide_password=True)
