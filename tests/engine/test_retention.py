"""What calls leave is kept as long as the settings say, and then deleted: all of it, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select
from structlog.testing import capture_logs

from engine import retention, serve
from engine.checkpoint import Checkpoint
from engine.console.audit import Audit
from engine.metrics import Metrics, metrics
from engine.record import CallRecord, StepTrace
from engine.recording import keep, new_file
from engine.records import Records
from engine.records.database import connect
from engine.records.retention import BATCH, OldRecords
from engine.records.tables import PARTS, calls, checkpoint_row, checkpoints, rows
from engine.retention import EVERY, FIRST, Disk, Retention
from engine.settings import KeepSettings, Settings
from engine.virtual import run, virtual_clock
from tests.engine.sample_record import full_record
from tests.engine.verbs.phone import flow

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=91), NOW - timedelta(days=89)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE", 0)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "storage").mkdir()
    return tmp_path / "storage"


class House:
    """An engine's house in which it is always the same moment."""

    def __init__(self, now: datetime = NOW) -> None:
        self.clock: Any = SimpleNamespace(now=lambda: now)
        self.metrics = Metrics(CollectorRegistry())

    def count(self, kind: str) -> float:
        return self.metrics.registry.get_sample_value("hookflash_kept_deleted_total", {"kind": kind}) or 0


def made(
    storage: Path, database: str = "sqlite://", *, house: House | None = None, live: tuple[str, ...] = (), **ages: str
) -> Retention:
    audit = Audit(storage / "audit.jsonl")
    board: Any = SimpleNamespace(calls=dict.fromkeys(live))
    return Retention(KeepSettings.model_validate(ages), storage, database, audit, board, house or House())


def sound(folder: Path, call: str, at: datetime, number: int = 1) -> Path:
    """A sound as calls leave it, last written when it was made."""
    path = new_file(folder, at, call, number)
    keep(path, b"\xff" * 800, "ulaw")
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


@asynccontextmanager
async def stored(url: str, *records: CallRecord) -> Any:
    async with Records.open(url) as open_:
        for record in records:
            await open_.save(record)
        await open_.flush()
        yield open_


# ── Records ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_old_records_go_with_all_their_parts_and_no_other_does(url: str, storage: Path) -> None:
    old = [full_record(f"old-{number}", started=OLD - timedelta(minutes=number)) for number in range(2 * BATCH + 5)]
    lost = full_record("lost", started=OLD, outcome="lost", ended=None)
    live = full_record("live", started=OLD, outcome="live", ended=None)
    young = full_record("young", started=YOUNG)
    house = House()
    async with stored(url, *old, lost, live, young) as records:
        with capture_logs() as logs:
            assert await made(storage, url, house=house, records="90d").once() == {"records": len(old) + 1}
        assert {record.id for record in await records.list(100)} == {"live", "young"}
        assert await records.get("young") == young
    assert house.count("records") == len(old) + 1
    assert logs == [{"event": "deleted what was kept long enough", "records": len(old) + 1, "log_level": "info"}]
    database = connect(url)
    async with database.connect() as connection:
        for name, table in PARTS.items():
            ids = set(await connection.scalars(select(table.c.call_id)))
            assert ids == {"live", "young"}, name
    await database.dispose()


async def test_what_was_kept_of_a_dead_engines_call_goes_with_it(url: str, storage: Path) -> None:
    state = Checkpoint(channel="c", at=OLD, vars={}, with_person=False, account=None, fallback=None, resumed=0)
    async with stored(url):
        database = connect(url)
        async with database.begin() as connection:
            for table, found in rows(full_record("lost", started=OLD, outcome="lost")).items():
                if found:
                    await connection.execute(insert(table), found)
            await connection.execute(insert(checkpoints), [checkpoint_row("lost", state, without_words=False)])
        await made(storage, url, records="90d").once()
        async with database.connect() as connection:
            for table in (calls, checkpoints):
                assert await connection.scalar(select(func.count()).select_from(table)) == 0
        await database.dispose()


async def test_a_transaction_is_small(url: str) -> None:
    every = [full_record(f"c{number}", started=OLD) for number in range(BATCH + 1)]
    async with stored(url, *every), OldRecords.open(url) as old:
        assert [await old.delete(NOW), await old.delete(NOW), await old.delete(NOW)] == [BATCH, 1, 0]


async def test_engines_that_share_a_database_delete_each_call_once(url: str, storage: Path) -> None:
    count = 3 * BATCH
    async with stored(url, *(full_record(f"c{number}", started=OLD) for number in range(count))):
        found = await asyncio.gather(*(made(storage, url, records="90d").once() for _ in range(3)))
    assert sum(each.get("records", 0) for each in found) == count


async def test_calls_are_stored_meanwhile(url: str, storage: Path) -> None:
    async with stored(url, *(full_record(f"old-{number}", started=OLD) for number in range(3 * BATCH))) as records:
        async with asyncio.TaskGroup() as group:
            group.create_task(made(storage, url, records="90d").once())
            for number in range(50):
                await records.save(full_record(f"new-{number}", started=NOW))
                await asyncio.sleep(0)
        await records.flush(30)
        assert {record.id for record in await records.list(200)} == {f"new-{number}" for number in range(50)}


async def test_nothing_is_deleted_unless_somebody_says_so(url: str, storage: Path) -> None:
    kept = sound(storage / "recordings", "c", OLD)
    async with stored(url, full_record("old", started=OLD)) as records:
        with capture_logs() as logs:
            assert await made(storage, url).once() == {}
        assert [record.id for record in await records.list()] == ["old"]
    assert kept.exists()
    assert logs == []
    assert Settings().keep == KeepSettings(records=None, recordings=None, voicemail=None, audit=None)


# ── Sounds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def recorded(call: str, started: datetime, path: Path, **fields: Any) -> CallRecord:
    """A call whose second step kept this sound."""
    steps = [
        StepTrace(path="steps/0", verb="say", where="a:1", started=started, detail="said"),
        StepTrace(path="steps/1", verb="record", where="a:2", started=started, detail=f"12.0 s in {path}"),
    ]
    return full_record(call, started=started - timedelta(minutes=2), steps=steps, **fields)


async def test_the_record_says_that_its_recording_was_deleted(url: str, storage: Path) -> None:
    folder, house = storage / "recordings", House()
    gone, stays = sound(folder, "100%_gone.1", OLD, 2), sound(folder, "stays.2", YOUNG, 2)
    like_it = recorded("100--gone.1", OLD - timedelta(minutes=1), folder / "another.wav")
    records_ = recorded("100%_gone.1", OLD, gone), recorded("stays.2", YOUNG, stays), like_it
    async with stored(url, *records_) as records:
        assert await made(storage, url, house=house, recordings="90d").once() == {"recordings": 1}
        told = [[step.detail for step in (await records.get(each.id)).steps] for each in records_]
    said = f"12.0 s in {gone}; deleted when it had been kept for 90 days"
    assert told == [["said", said], ["said", f"12.0 s in {stays}"], ["said", like_it.steps[1].detail]]
    assert left(folder) == [stays.name]
    assert house.count("recordings") == 1


async def test_messages_of_every_box(url: str, storage: Path) -> None:
    gone = sound(storage / "voicemail" / "sales", "a", OLD, 2)
    sound(storage / "voicemail" / "support", "b", OLD)
    sound(storage / "voicemail" / "support", "c", YOUNG)
    sound(storage / "recordings", "d", OLD)
    async with stored(url, recorded("a", OLD, gone)) as records:
        assert await made(storage, url, voicemail="90d").once() == {"voicemail": 2}
        assert (await records.get("a")).steps[1].detail.endswith("; deleted when it had been kept for 90 days")
    assert [name.split("-")[1] for name in left(storage)] == ["d", "c"]


async def test_only_old_sounds_of_calls_that_are_over_are_deleted(sqlite: str, storage: Path, tmp_path: Path) -> None:
    folder = storage / "recordings"
    of_live = sound(folder, "1772616600.7", OLD)
    written = sound(folder, "written", OLD)
    os.utime(written, (YOUNG.timestamp(), YOUNG.timestamp()))  # somebody still writes it
    copied = sound(folder, "copied", YOUNG)
    os.utime(copied, (OLD.timestamp(), OLD.timestamp()))
    for name in ("notes.txt", "20260101T000000Z.wav", "99999999T000000Z-a-1.wav", "20260101T000000Z-a-1.wav.gz"):
        (folder / name).write_text("not ours")
        os.utime(folder / name, (OLD.timestamp(), OLD.timestamp()))
    (folder / "20260101T000000Z-folder-1.wav").mkdir()
    os.utime(folder / "20260101T000000Z-folder-1.wav", (OLD.timestamp(), OLD.timestamp()))
    outside = sound(tmp_path / "outside", "a", OLD)
    (folder / "20260101T000000Z-link-1.wav").symlink_to(outside)
    os.utime(folder / "20260101T000000Z-link-1.wav", (OLD.timestamp(), OLD.timestamp()), follow_symlinks=False)
    before = left(storage)
    half = sound(folder, "half", OLD)
    half.rename(half.with_suffix(".part"))  # of an engine that died
    async with stored(sqlite):
        assert await made(storage, sqlite, live=("1772616600.7",), recordings="90d").once() == {"recordings": 1}
    assert left(storage) == before
    assert {of_live.name, written.name, copied.name} <= {path.name for path in folder.iterdir()}
    assert outside.exists()


@pytest.mark.parametrize("kind", ["recordings", "voicemail", "box"])
async def test_a_folder_that_is_a_link_is_left_alone(kind: str, sqlite: str, storage: Path, tmp_path: Path) -> None:
    boxed = tmp_path / "outside" / ("sales" if kind == "voicemail" else "")
    outside = sound(boxed, "a", OLD)
    place = storage / {"recordings": "recordings", "voicemail": "voicemail", "box": "voicemail/sales"}[kind]
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "outside", target_is_directory=True)
    async with stored(sqlite):
        with capture_logs() as logs:
            assert await made(storage, sqlite, recordings="90d", voicemail="90d").once() == {}
    assert outside.exists()
    if kind != "box":
        assert [each["log_level"] for each in logs] == ["error"]
        assert "a link is not followed" in logs[0]["problems"][0]
        assert str(place) in logs[0]["problems"][0]


async def test_sounds_are_deleted_though_the_database_is_away(storage: Path) -> None:
    """It is the sounds that fill a disk, and a database on a full disk takes nothing."""
    sound(storage / "recordings", "a", OLD)
    nowhere = "postgresql+asyncpg://u:tulips@127.0.0.1:9/none"
    with capture_logs() as logs:
        found = await made(storage, nowhere, recordings="90d", records="90d").once()
    assert found == {"recordings": 1}
    assert left(storage) == []
    error = logs[-1]
    assert error["count"] == 2
    assert "the records do not say that 1 sounds were deleted" in error["problems"][0]
    assert "records: " in error["problems"][1]
    assert "tulips" not in str(logs)


async def test_a_sound_that_cannot_be_deleted_keeps_no_other(
    sqlite: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = sound(storage / "recordings", "bad", OLD), sound(storage / "recordings", "good", OLD)
    unlink = os.unlink

    def refuse(name: str, **options: Any) -> None:
        if "bad" in name:
            raise PermissionError(1, "Operation not permitted")
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    async with stored(sqlite):
        with capture_logs() as logs:
            assert await made(storage, sqlite, recordings="90d").once() == {"recordings": 1}
    assert bad.exists()
    assert not good.exists()
    assert logs[-1]["problems"] == [f"{bad}: Operation not permitted"]


async def test_a_full_folder_is_read_in_parts(sqlite: str, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.expired_files.LOOKED_AT", 3)
    for number in range(10):
        sound(storage / "recordings", f"c{number}", OLD)
    house = House()
    steps: list[int] = []
    sweep = made(storage, sqlite, house=house, recordings="90d")
    counted = sweep._counted

    async def told(kind: str, count: int) -> None:
        steps.append(count)
        await counted(kind, count)

    monkeypatch.setattr(sweep, "_counted", told)
    async with stored(sqlite):
        await sweep.once()
    assert sum(steps) == 10
    assert max(steps) <= 3
    assert left(storage) == []


# ── The audit log ─────────────────────────────────────────────────────────────────────────────────────────────────────


def lines(path: Path) -> list[str]:
    return [json.loads(line).get("action", "") for line in path.read_text().splitlines() if line.startswith("{")]


async def test_old_lines_of_the_audit_log_go_and_new_ones_are_written(storage: Path) -> None:
    audit = Audit(storage / "audit.jsonl")
    await audit.note(OLD, "ada", "admin", "10.0.0.1", "login")
    with audit.file.open("a") as file:
        file.write("half a li\n")  # of a disk that was full
    await audit.note(OLD, "ada", "admin", "10.0.0.1", "listen")
    with audit.file.open("a") as file:
        file.write('{"half": "a line"}\n')  # nobody knows when: it stays
    await audit.note(YOUNG, "ada", "admin", "10.0.0.1", "hangup")
    inode = audit.file.stat().st_ino
    assert await made(storage, audit="90d").once() == {"audit": 3}
    assert lines(audit.file) == ["", "hangup"]
    assert audit.file.stat().st_ino != inode
    assert audit.file.stat().st_mode & 0o777 == 0o600
    await audit.note(NOW, "ada", "admin", "10.0.0.1", "handoff")
    inode = audit.file.stat().st_ino
    assert await made(storage, audit="90d").once() == {}
    assert audit.file.stat().st_ino == inode  # nothing to delete: not written anew
    assert [entry.action for entry in await audit.newest(9)] == ["handoff", "hangup"]
    assert left(storage) == ["audit.jsonl"]


async def test_lines_that_are_written_meanwhile_stay(storage: Path) -> None:
    audit = Audit(storage / "audit.jsonl")
    for _ in range(500):
        await audit.note(OLD, "ada", "admin", "10.0.0.1", "login")
    notes = [audit.note(NOW, "ada", "admin", "10.0.0.1", f"n{number}") for number in range(50)]
    results = await asyncio.gather(*notes[:25], audit.trim(YOUNG), *notes[25:])
    assert results[25] == 500
    assert sorted(lines(audit.file)) == sorted(f"n{number}" for number in range(50))


async def test_no_audit_log_is_nothing_to_delete(storage: Path) -> None:
    with capture_logs() as logs:
        assert await made(storage, audit="1d").once() == {}
    assert logs == []


# ── When ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_day_what_has_come_of_age_is_deleted(storage: Path) -> None:
    async def days() -> list[list[str]]:
        house, clock = House(), virtual_clock()
        house.clock = clock
        keeping = made(storage, house=house, audit="90d")
        audit = Audit(storage / "audit.jsonl")
        for day in range(5):
            at = clock.now() - timedelta(days=90) + timedelta(days=day - 0.5)
            await audit.note(at, "ada", "admin", "10.0.0.1", f"day {day}")
        found = []
        task = asyncio.create_task(keeping.run())
        for seconds in (FIRST - 1, 2, 86_400 - 2 * EVERY, 4 * EVERY, 86_400):
            await asyncio.sleep(seconds)
            found.append(lines(audit.file))
        task.cancel()
        await asyncio.wait([task])
        return found

    every = [f"day {day}" for day in range(5)]
    assert run(days(), limit=10 * 86_400) == [every, every[1:], every[1:], every[2:], every[3:]]


def test_a_fault_is_told_and_the_next_run_comes(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0

    async def broken() -> Mapping[str, int]:
        nonlocal runs
        runs += 1
        raise LookupError("a fault of ours")

    async def hours() -> None:
        keeping = made(storage, audit="90d")
        monkeypatch.setattr(keeping, "once", broken)
        task = asyncio.create_task(keeping.run())
        await asyncio.sleep(FIRST + 2.5 * EVERY)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    with capture_logs() as logs:
        run(hours())
    assert runs == 3
    assert [each["log_level"] for each in logs] == ["error"] * 3


async def test_a_serving_engine_deletes_while_it_waits_for_asterisk(
    tmp_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retention, "FIRST", 0)
    (tmp_path / "a.flow.yaml").write_text(flow("- say: Hello.\n"))
    now = datetime.now(UTC)
    old, young = (sound(storage / "recordings", "a", now - timedelta(days=days)) for days in (8, 6))
    settings = Settings.model_validate(
        {"flows": "a.flow.yaml", "storage": storage, "keep": {"recordings": "7d"}, "http": {"port": 0},
         "asterisk": {"url": "http://127.0.0.1:9"}, "database": {"url": f"sqlite+aiosqlite:///{tmp_path}/h.db"}}
    )  # fmt: skip

    async def engine() -> None:
        async with serve.running(settings):
            raise AssertionError("there is no Asterisk")

    task = asyncio.create_task(engine())
    async with asyncio.timeout(30):
        while old.exists() and not task.done():  # noqa: ASYNC110 a file has no event
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert young.exists()
    size = metrics.registry.get_sample_value("hookflash_storage_size_bytes")
    assert size == os.statvfs(storage).f_blocks * os.statvfs(storage).f_frsize


# ── The disk ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_free_space_is_told_also_before_the_folder_is_made(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, house = [900, 100], House()
    monkeypatch.setattr(
        os, "statvfs", lambda folder: SimpleNamespace(f_bavail=free.pop(0), f_frsize=4096, f_blocks=1000)
    )

    async def minute() -> list[float | None]:
        task, found = asyncio.create_task(Disk(storage / "not" / "yet", house.metrics).watch()), []
        for seconds in (1, retention.LOOK_EVERY):
            await asyncio.sleep(seconds)
            found.append(house.metrics.registry.get_sample_value("hookflash_storage_free_bytes"))
        task.cancel()
        await asyncio.wait([task])
        return found

    assert run(minute()) == [900 * 4096, 100 * 4096]
    assert house.metrics.registry.get_sample_value("hookflash_storage_size_bytes") == 1000 * 4096
