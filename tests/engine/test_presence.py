"""Engines that say in the database that they live."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from asterisk.janitor import here
from engine.records import Records
from engine.records import presence as module
from engine.records.database import connect
from engine.records.presence import FORGOTTEN, SILENT, Presence
from engine.records.tables import engines


async def died(records: Records, *, place: str, pid: int, ago: float, id: str = "dead") -> None:
    """What an engine left that could not say goodbye."""
    seen = datetime.now(UTC) - timedelta(seconds=ago)
    async with records._engine.begin() as connection:
        await connection.execute(
            insert(engines).values(id=id, name="one", app="hookflash", place=place, pid=pid, seen=seen)
        )


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_another_engine_of_the_name_and_application_lives_until_it_ends(url: str) -> None:
    async with Records.open(url) as records, records.presence("one", "hookflash") as first:
        assert not await first.others()
        async with (
            records.presence("two", "hookflash") as another_name,
            records.presence("one", "sales") as another_application,
        ):
            assert not await first.others()
            assert not await another_name.others()
            assert not await another_application.others()
        async with Records.open(url) as elsewhere, elsewhere.presence("one", "hookflash") as second:
            assert await first.others()
            assert await second.others()
        assert not await first.others()
    found = connect(url)
    async with found.connect() as connection:
        assert (await connection.execute(select(engines))).all() == []
    await found.dispose()


async def test_here_an_engine_is_dead_as_soon_as_its_process_is(url: str) -> None:
    async with Records.open(url) as records, records.presence("one", "hookflash") as presence:
        await died(records, place=here(), pid=ended_process(), ago=0)
        assert not await presence.others()
        await died(records, place=here(), pid=os.getpid(), ago=0, id="alive")
        assert await presence.others()


async def test_a_process_of_the_same_number_is_not_the_engine_that_has_been_silent(url: str) -> None:
    async with Records.open(url) as records, records.presence("one", "hookflash") as presence:
        await died(records, place=here(), pid=os.getpid(), ago=SILENT + 1)
        assert not await presence.others()


@pytest.mark.parametrize(("ago", "lives"), [(0.0, True), (SILENT + 2, False)])
async def test_elsewhere_an_engine_is_dead_when_it_is_silent(url: str, ago: float, lives: bool) -> None:
    async with Records.open(url) as records, records.presence("one", "hookflash") as presence:
        await died(records, place="elsewhere", pid=ended_process(), ago=ago)
        assert await presence.others() is lives


async def test_it_says_so_again_and_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when somebody has emptied the database."""
    monkeypatch.setattr(module, "EVERY", 0.01)
    async with (
        Records.open(url) as records,
        records.presence("one", "hookflash"),
        records.presence("one", "hookflash") as looks,
    ):
        async with records._engine.begin() as connection:
            await connection.execute(engines.delete())
        async with asyncio.timeout(10):
            while not await looks.others():
                pass


async def test_no_answer_is_not_a_death(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an engine of which nothing was known before counts as dead then: callers cannot wait for the database."""
    async with Records.open(sqlite) as records, records.presence("one", "hookflash") as presence:
        broken = connect("sqlite:////nowhere/at/all.db")
        with capture_logs() as logs:
            monkeypatch.setattr(presence, "_database", broken)
            assert not await presence.others()
            monkeypatch.setattr(presence, "_database", records._engine)
            await died(records, place="elsewhere", pid=1, ago=0)
            assert await presence.others()
            monkeypatch.setattr(presence, "_database", broken)
            assert await presence.others()
            monkeypatch.setattr(presence, "_doubt_until", asyncio.get_running_loop().time())
            assert not await presence.others()
            monkeypatch.setattr(presence, "_database", records._engine)
        await broken.dispose()
    assert {entry["event"] for entry in logs} == {"cannot tell whether another engine of this name lives"}


async def test_signs_of_long_ago_are_deleted(url: str) -> None:
    async with Records.open(url) as records:
        await died(records, place="elsewhere", pid=1, ago=FORGOTTEN.total_seconds() + 60)
        async with records.presence("one", "hookflash") as presence:
            async with records._engine.connect() as connection:
                found = (await connection.execute(select(engines.c.id))).scalars().all()
            assert isinstance(presence, Presence)
            assert found == [presence._row["id"]]
