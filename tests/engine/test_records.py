from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, MutableMapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert

from engine.discretion import HIDDEN, WORDS
from engine.metrics import metrics
from engine.record import Attempt, CallRecord, KeyPress, Leg, Request, Spoken, StepTrace, Tokens, ToolUse, Written
from engine.records import Records, RecordsError
from engine.records.database import connect, migrate, sqlite_file, upgrade_to
from engine.records.tables import PARTS, calls, metadata, rows
from tests.engine.sample_record import START, full_record


@contextmanager
def held(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process's write that does not end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


async def test_a_whole_record_comes_back_as_it_was(url: str) -> None:
    record = full_record()
    async with Records.open(url) as records:
        await records.save(record)
        await records.flush()
        assert await records.get("call-1") == record


async def test_records_outlive_the_process_that_wrote_them(url: str) -> None:
    async with Records.open(url) as records:
        await records.save(full_record())
    async with Records.open(url) as records:
        assert (await records.get("call-1")).steps[1].data["deep"] == [1, None, {"é": 1.5}]


async def test_a_later_save_replaces_what_was_stored(url: str) -> None:
    record = full_record(outcome="live", ended=None)
    async with Records.open(url) as records:
        await records.save(record)
        await records.flush()
        record.outcome, record.legs = "completed", record.legs[:1]
        record.steps.append(StepTrace(path="steps/2", verb="hangup", where="a.flow.yaml:9", started=START))
        await records.save(record)
        await records.flush()
        assert await records.get("call-1") == record


async def test_saves_of_one_call_become_one(url: str) -> None:
    async with Records.open(url) as records:
        for _ in range(500):
            await records.save(full_record())
        assert records.pending == 1


async def test_an_id_may_be_shortened_while_it_is_unique(url: str) -> None:
    async with Records.open(url) as records:
        for call_id in ("abc1", "abd2", "100%x"):
            await records.save(full_record(call_id))
        await records.flush()
        assert (await records.get("abd")).id == "abd2"
        assert (await records.get("100%")).id == "100%x"
        with pytest.raises(RecordsError, match=r"several calls begin with 'ab'"):
            await records.get("ab")
        for unknown in ("zzz", "%"):
            with pytest.raises(RecordsError, match="no call"):
                await records.get(unknown)


async def test_a_whole_id_is_found_though_a_longer_one_begins_so(url: str) -> None:
    async with Records.open(url) as records:
        await records.save(full_record("call-1"))
        await records.save(full_record("call-10"))
        await records.flush()
        assert (await records.get("call-1")).id == "call-1"


async def test_list_filters_and_shows_the_newest_first(url: str) -> None:
    async with Records.open(url) as records:
        for n in range(5):
            await records.save(full_record(f"c{n}", started=START + timedelta(hours=n), flow=f"flow{n % 2}"))
        await records.save(
            full_record("other", started=START - timedelta(days=1), caller="+442071838750", outcome="lost", error="x")
        )
        await records.flush()

        assert [r.id for r in await records.list(limit=2)] == ["c4", "c3"]
        assert [r.id for r in await records.list(flow="flow1")] == ["c3", "c1"]
        assert [r.id for r in await records.list(outcome="lost")] == ["other"]
        assert [r.id for r in await records.list(caller="7183")] == ["other"]
        assert [r.id for r in await records.list(errors=True)] == ["other"]
        assert [r.id for r in await records.list(since=START + timedelta(hours=3))] == ["c4", "c3"]
        assert [len(r.steps) for r in await records.list()] == [2] * 6
        assert await records.list(caller="%") == []


async def test_calls_that_a_dead_engine_left_live_are_lost(url: str) -> None:
    async with Records.open(url, engine="a") as records:
        await records.save(full_record("mine", engine="a", outcome="live"))
        await records.save(full_record("ended", engine="a", outcome="completed"))
        await records.save(full_record("other", engine="b", outcome="live"))
    async with Records.open(url) as records:
        assert (await records.get("mine")).outcome == "live"  # a reader changes nothing
    async with Records.open(url, engine="a") as records:
        assert {r.id: r.outcome for r in await records.list()} == {
            "mine": "lost",
            "ended": "completed",
            "other": "live",
        }
        assert "ended while the call was live" in (await records.get("mine")).error


async def test_without_transcripts_nothing_said_is_stored(sqlite: str, file: Path) -> None:
    async with Records.open(sqlite, transcripts=False) as records:
        await records.save(full_record())
        await records.flush()
        kept = await records.get("call-1")
    assert kept.transcript == []
    assert [step.data for step in kept.steps] == [{}, {}]
    assert (kept.tools[0].arguments, kept.requests[0].answer, kept.presses[0].key) == ({}, None, HIDDEN)
    assert kept.written[0].answer == WORDS
    assert sum(b"Bonjour" in left.read_bytes() for left in file.parent.iterdir()) == 0


async def test_text_that_no_database_takes_costs_no_record(url: str) -> None:
    record = full_record(error="nul\0 and half \ud83d")
    record.steps[0].data = {"x": "\ud83d", "nan": float("nan"), "when": START, "what": object}
    record.transcript[0].text = "\ud83d\0"
    async with Records.open(url) as records:
        await records.save(record)
        await records.flush()
        stored = await records.get("call-1")
    assert stored.error == "nul\ufffd and half ?"
    assert stored.transcript[0].text == "?\ufffd"


async def test_a_record_that_is_refused_takes_no_other_with_it(url: str) -> None:
    bad = full_record("bad")
    bad.tokens[0].input_text = 10**40
    before = _value("hookflash_records_dropped_total", reason="refused")
    async with Records.open(url) as records:
        for record in (full_record("a"), bad, full_record("b")):
            await records.save(record)
        with structlog.testing.capture_logs() as logs:
            await records.flush()
        assert {r.id for r in await records.list()} == {"a", "b"}
    assert [entry["call_id"] for entry in logs] == ["bad"]
    assert _value("hookflash_records_dropped_total", reason="refused") == before + 1


async def test_a_locked_database_delays_records_and_loses_none(
    sqlite: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.records.database.BUSY_TIMEOUT_MS", 50)
    async with Records.open(sqlite) as records:
        with structlog.testing.capture_logs() as logs, held(file) as other:
            started = time.perf_counter()
            await records.save(full_record("a", outcome="live"))
            assert time.perf_counter() - started < 0.05  # a call never waits for the disk
            await _said(logs)
            await records.save(full_record("a", outcome="completed"))
            await records.save(full_record("b"))
            assert _value("hookflash_records_failing") == 1
            assert _value("hookflash_records_pending") == 2
            with pytest.raises(RecordsError, match="did not take 2 call records"):
                await records.flush(timeout=0.05)
            other.execute("COMMIT")
            await records.flush(timeout=20)
        assert {r.id: r.outcome for r in await records.list()} == {"a": "completed", "b": "handed_off"}
    assert [entry["log_level"] for entry in logs] == ["error", "info"]  # said once, and when it is over
    assert "locked" in logs[0]["reason"]
    assert _value("hookflash_records_failing") == 0


async def test_a_database_removed_under_the_engine_is_made_anew(sqlite: str, file: Path) -> None:
    async with Records.open(sqlite) as records:
        await records.save(full_record("a"))
        await records.flush()
        for left in file.parent.iterdir():
            left.unlink()
        file.parent.rmdir()
        await records.save(full_record("b"))
        await records.flush(timeout=20)
    async with Records.open(sqlite) as records:
        assert [r.id for r in await records.list()] == ["b"]


async def test_what_waits_in_memory_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.records.store.MAX_PENDING", 5)
    before = _value("hookflash_records_dropped_total", reason="full")
    template = full_record(legs=[], attempts=[], steps=[], transcript=[], tools=[], tokens=[])
    async with Records.open(url) as records:
        for n in range(8):
            await records.save(template.model_copy(update={"id": f"c{n}"}))
        assert records.pending == 5
        assert _value("hookflash_records_dropped_total", reason="full") == before + 3
        await records.flush(timeout=60)
        assert {r.id for r in await records.list()} == {"c3", "c4", "c5", "c6", "c7"}


async def test_a_database_still_down_at_the_end_is_said_and_does_not_hang(
    sqlite: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.records.database.BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr("engine.records.store.CLOSE_TIMEOUT", 0.2)
    with structlog.testing.capture_logs() as logs:
        async with Records.open(sqlite) as records:
            await records.save(full_record("stored"))
            await records.flush()
            blocker = held(file)
            blocker.__enter__()
            await records.save(full_record("a"))
            started = time.perf_counter()
        assert time.perf_counter() - started < 2
        blocker.__exit__(None, None, None)
    last = logs[-1]
    assert "did not take 1 call records" in last["event"]
    assert last["calls"] == ["a"]


async def test_a_fault_in_the_writer_does_not_go_unnoticed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("a fault of ours")

    monkeypatch.setattr(Records, "_write", broken)

    async def save() -> None:
        async with Records.open(url) as records:
            await records.save(full_record())
            await _said(logs)

    with structlog.testing.capture_logs() as logs, pytest.raises(LookupError):
        await save()
    assert logs[0]["log_level"] == "critical"
    metrics.records_failing.set(0)


async def test_the_body_of_open_may_raise_and_be_cancelled(url: str) -> None:
    async def fail() -> None:
        async with Records.open(url) as records:
            await records.save(full_record())
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with Records.open(url) as records:
        assert (await records.get("call-1")).id == "call-1"
    before = asyncio.all_tasks()
    opened = asyncio.Event()

    async def hold() -> None:
        async with Records.open(url) as records:
            await records.save(full_record("call-2"))
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    async with Records.open(url) as records:
        assert (await records.get("call-2")).id == "call-2"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "not a URL"),
        ("postgresql+nodriver://u:secret@h/d", "driver"),
        ("sqlite:////proc/nowhere/calls.db", "cannot open the database sqlite"),
        ("sqlite:////dev/full", "cannot open the database sqlite"),
        ("postgresql://u:secret@127.0.0.1:1/d", "cannot open the database postgresql"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_said_clearly(url: str, says: str) -> None:
    with pytest.raises(RecordsError, match=says) as caught:
        async with Records.open(url):
            pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_migrations_and_tables_agree(url: str) -> None:
    engine = connect(url)
    await migrate(engine)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), metadata)
        )
    await engine.dispose()
    assert differences == []


async def test_records_of_the_first_version_can_still_be_read(url: str) -> None:
    """A database that an engine of the first tables wrote is changed when it is opened, and keeps what it holds."""
    if file := sqlite_file(url):
        file.parent.mkdir(parents=True)
    engine = connect(url)
    old = {table.name: {column.name for column in table.columns} for table in metadata.sorted_tables}
    seconds = {"seconds_heard", "seconds_spoken", "seconds_session"}
    added_since = {
        "calls": {"caller_name", "headers", "input", "cost", "currency"},
        "attempts": {"reason", "key", "key_ms"},
        "transcript": {"improvised"},
        "tools": {"arguments"},
        "tokens": {"cached_audio", *seconds, "characters", "items", "cost", "costs", "unpriced"},
    }
    for table, added in added_since.items():
        old[table] -= added
    async with engine.begin() as connection:
        await connection.run_sync(upgrade_to, "0001")
        for table, found in rows(full_record()).items():
            kept = [{key: value for key, value in row.items() if key in old[table.name]} for row in found]
            if kept and table.name not in ("presses", "requests", "written"):
                await connection.execute(insert(table), kept)
    await engine.dispose()
    async with Records.open(url) as records:
        record = await records.get("call-1")
    assert record.transcript[0].text == "Bonjour, ça va ?"
    assert (record.attempts[0].reason, record.tools[0].arguments, record.presses, record.headers) == ("", {}, [], {})
    assert (record.cost, record.currency, record.tokens[0].cost, record.tokens[0].unpriced) == (0, "", 0, [])


async def test_engines_may_open_an_empty_database_at_once(url: str) -> None:
    engines = [connect(url) for _ in range(4)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    for engine in engines:
        await engine.dispose()


def test_every_field_of_the_record_has_a_column() -> None:
    models = {
        "legs": Leg,
        "attempts": Attempt,
        "steps": StepTrace,
        "transcript": Spoken,
        "tools": ToolUse,
        "presses": KeyPress,
        "requests": Request,
        "written": Written,
        "tokens": Tokens,
    }
    assert set(models) == set(PARTS)
    assert set(CallRecord.model_fields) == set(calls.columns.keys()) | set(PARTS)
    for name, model in models.items():
        assert set(model.model_fields) | {"call_id", "position"} == set(PARTS[name].columns.keys()), name


async def test_a_thousand_saves_are_stored_in_seconds(url: str) -> None:
    async with Records.open(url) as records:
        for n in range(1000):
            await records.save(full_record(f"c{n}"))
        await records.flush(timeout=30)
        assert len(await records.list(limit=2000)) == 1000


async def _said(logs: list[MutableMapping[str, Any]]) -> None:
    async with asyncio.timeout(20):
        while not logs:  # noqa: ASYNC110 the log has no event
            await asyncio.sleep(0.01)


def _value(name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0
