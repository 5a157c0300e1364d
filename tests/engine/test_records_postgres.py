"""What only a database server can do to the records: refuse, restart, break a connection off, stand still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.engine import make_url

from engine.metrics import metrics
from engine.records import Records, RecordsError
from engine.records.database import connect
from tests.engine.sample_record import full_record
from tests.postgres import Postgres


async def said(logs: list[MutableMapping[str, Any]], count: int = 1) -> None:
    async with asyncio.timeout(30):
        while len(logs) < count:  # noqa: ASYNC110 the log has no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Another program holds a table into which the writer comes after it has changed others."""
    other = connect(url)
    async with other.begin() as connection:
        await connection.execute(text("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE"))
        yield
    await other.dispose()


async def waiting(postgres: Postgres, name: str) -> None:
    """A connection waits for that table by now."""
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while await asyncio.to_thread(postgres.sql, asked) != "1":
            pass


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_restarts_delays_records_and_loses_none(
    postgres: Postgres, postgresql: str, mode: str
) -> None:
    async with Records.open(postgresql) as records:
        await records.save(full_record("before"))
        await records.flush()
        with structlog.testing.capture_logs() as logs:
            with postgres.down(mode):
                await records.save(full_record("a", outcome="live"))
                await said(logs)
                with pytest.raises(RecordsError, match="cannot read postgresql"):
                    await records.list()
                await records.save(full_record("a", outcome="completed"))
            await records.flush(timeout=30)
        assert {r.id: r.outcome for r in await records.list()} == {"before": "handed_off", "a": "completed"}
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert metrics.registry.get_sample_value("hookflash_records_failing") == 0


async def test_a_restart_between_two_saves_is_not_noticed(postgres: Postgres, postgresql: str) -> None:
    async with Records.open(postgresql) as records:
        await records.save(full_record("a"))
        await records.flush()
        with postgres.down("immediate"):
            pass
        with structlog.testing.capture_logs() as logs:
            assert [r.id for r in await records.list()] == ["a"]
            await records.save(full_record("b"))
            await records.flush(timeout=30)
    assert logs == []


async def test_a_server_that_refuses_connections_delays_records_and_loses_none(
    postgres: Postgres, postgresql: str
) -> None:
    """Too many connections, or a server that is starting up, is an answer of the server and no broken connection."""
    name = str(make_url(postgresql).database)
    async with Records.open(postgresql) as records:
        with structlog.testing.capture_logs() as logs:
            postgres.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            await records.save(full_record("a"))
            await said(logs)
            with pytest.raises(RecordsError, match="not currently accepting connections"):
                await records.list()
            postgres.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await records.flush(timeout=30)
        assert [r.id for r in await records.list()] == ["a"]
    assert "not currently accepting connections" in logs[0]["reason"]
    assert [entry["log_level"] for entry in logs] == ["error", "info"]


async def test_a_connection_lost_in_mid_operation_costs_no_record(postgres: Postgres, postgresql: str) -> None:
    name = str(make_url(postgresql).database)
    async with Records.open(postgresql) as records:
        await records.save(full_record("a", outcome="live"))
        await records.flush()
        async with locked(postgresql):
            with structlog.testing.capture_logs() as logs:
                await records.save(full_record("a", outcome="completed"))
                await waiting(postgres, name)
                postgres.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    f"WHERE datname = '{name}' AND wait_event_type = 'Lock'"
                )
                await said(logs)
        await records.flush(timeout=30)
        assert await records.get("a") == full_record("a", outcome="completed")


async def test_a_server_that_stands_still_delays_records_and_loses_none(
    postgres: Postgres, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Records.open(postgresql) as records:
        await records.save(full_record("a"))
        await records.flush()
        monkeypatch.setattr("engine.records.store.WRITE_TIMEOUT", 0.3)
        with structlog.testing.capture_logs() as logs:
            with postgres.frozen():
                await records.save(full_record("b"))
                await said(logs)
                started = time.perf_counter()
                with pytest.raises(RecordsError, match="cannot read postgresql"):
                    await records.list()
                assert time.perf_counter() - started < 10
            monkeypatch.setattr("engine.records.store.WRITE_TIMEOUT", 30.0)
            await records.flush(timeout=60)
        assert {r.id for r in await records.list()} == {"a", "b"}


async def test_a_server_that_stands_still_does_not_hold_up_the_end(
    postgres: Postgres, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.records.store.CLOSE_TIMEOUT", 0.2)
    with structlog.testing.capture_logs() as logs:
        async with Records.open(postgresql) as records:
            await records.save(full_record("a"))
            await records.flush()
            frozen = postgres.frozen()
            frozen.__enter__()
            await records.save(full_record("b"))
            started = time.perf_counter()
        took = time.perf_counter() - started
        frozen.__exit__(None, None, None)
    assert took < 10
    assert logs[-1]["calls"] == ["b"]


async def test_calls_left_live_by_an_engine_are_lost_though_the_server_crashed(
    postgres: Postgres, postgresql: str
) -> None:
    async with Records.open(postgresql, engine="one") as records:
        await records.save(full_record("a", engine="one", outcome="live"))
        await records.flush()
        with postgres.down("immediate"):
            pass
    async with Records.open(postgresql, engine="one") as records:
        assert (await records.get("a")).outcome == "lost"


async def test_a_server_replaced_by_an_empty_one_gets_its_tables(postgres: Postgres, postgresql: str) -> None:
    name = str(make_url(postgresql).database)
    async with Records.open(postgresql) as records:
        await records.save(full_record("a"))
        await records.flush()
        postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
        await records.save(full_record("b"))
        await records.flush(timeout=30)
        assert [r.id for r in await records.list()] == ["b"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (":tulips@", ":roses@", "password authentication failed"),
        ("/calls", "/nothing", "does not exist"),
        ("host=", "host=/nowhere", "cannot open the database postgresql"),
    ],
)
async def test_a_server_that_cannot_be_used_is_said_clearly(postgresql: str, old: str, new: str, says: str) -> None:
    with pytest.raises(RecordsError, match=says) as caught:
        async with Records.open(postgresql.replace(old, new)):
            pass
    assert "roses" not in str(caught.value)
    assert "tulips" not in str(caught.value)


async def test_two_engines_write_at_once(postgresql: str) -> None:
    async with Records.open(postgresql, engine="one") as one, Records.open(postgresql, engine="two") as two:
        for n in range(40):
            await one.save(full_record(f"one{n}", engine="one"))
            await two.save(full_record(f"two{n}", engine="two"))
        await asyncio.gather(one.flush(30), two.flush(30))
        assert len(await one.list(limit=200)) == 80
        assert await two.list(limit=200) == await one.list(limit=200)
