"""The database behind the records: SQLite in a file by default, PostgreSQL by its URL, migrated when it is opened."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Final

import pydantic_core
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.concurrency import await_
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from engine.errors import UserError
from engine.records.tables import clean

BUSY_TIMEOUT_MS: Final = 2000  # how long SQLite waits for another process's write; in its own thread, not in the loop
MIGRATION_LOCK: Final = 0x686B66  # PostgreSQL's advisory lock while migrating; any number that is ours


class RecordsError(UserError):
    """The records cannot be opened, stored or found; the text says why and what to do."""


def database_url(url: str) -> URL:
    """The URL parsed, with the asynchronous driver filled in. Raises `RecordsError`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise RecordsError(
            "the database setting is not a URL: write sqlite+aiosqlite:///var/hookflash.db "
            "or postgresql+asyncpg://user:password@host/name"
        ) from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
    return parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername))


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database, None for a database server."""
    parsed = database_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def connect(url: str) -> AsyncEngine:
    """An engine for this URL, nothing opened yet. Raises `RecordsError` when the driver is missing."""
    parsed = database_url(url)
    try:
        engine = create_async_engine(
            parsed, json_serializer=_to_json, pool_pre_ping=parsed.get_backend_name() != "sqlite"
        )
    except (ImportError, SQLAlchemyError) as error:
        raise RecordsError(f"database {parsed.render_as_string()}: {error}; install its driver with pip") from None
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def identity(engine: AsyncEngine) -> tuple[int, int] | None:
    """What the file of an SQLite database is to the system, None when there is none.

    SQLite writes happily on to a file that was removed or replaced; what changes here tells.
    """
    if engine.url.get_backend_name() != "sqlite" or not engine.url.database:
        return None
    try:
        found = Path(engine.url.database).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def migrate(engine: AsyncEngine) -> None:
    """Bring the tables to the newest revision, making SQLite's folder where needed. Safe beside other engines."""
    if engine.url.get_backend_name() == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    async with engine.connect() as connection:
        await connection.execution_options(begin="BEGIN IMMEDIATE")
        async with connection.begin():
            if engine.url.get_backend_name() == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(upgrade_to)


def upgrade_to(connection: Connection, revision: str = "head") -> None:
    """Bring the tables of an open connection to a revision."""
    config = Config()
    config.set_main_option("script_location", "engine.records:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    # Without an isolation level Python's driver begins nothing by itself, and tables are made inside transactions too.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    # Of several who switch a new file to WAL at once one succeeds; SQLite tells the others that it is locked, without
    # waiting, since each would wait for the others. They try again, and find it done.
    retrying = Retrying(
        retry=retry_if_exception(_is_locked),
        wait=wait_random(0.001, 0.02),
        stop=stop_after_delay(BUSY_TIMEOUT_MS / 1000),
        sleep=lambda seconds: await_(asyncio.sleep(seconds)),
        reraise=True,
    )
    retrying(cursor.execute, "PRAGMA journal_mode=WAL")
    cursor.close()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _to_json(value: Any) -> str:
    # `data` comes from flows and models: whatever has no JSON form is written as its text, NaN as null.
    try:
        made = pydantic_core.to_json(value, fallback=str, inf_nan_mode="null").decode()
    except (pydantic_core.PydanticSerializationError, ValueError):  # half a surrogate pair somewhere inside
        made = pydantic_core.to_json(_clean_all(value), fallback=str, inf_nan_mode="null").decode()
    return made.replace("\\u0000", "\\ufffd")


def _clean_all(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _clean_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_all(item) for item in value]
    return value


DATABASE_ERRORS: Final = (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
"""What an unreachable, locked or broken database raises."""
