"""The history's pages: `Records.page`, on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.records import Records, RecordsError
from tests.engine.sample_record import START, full_record

HOUR = timedelta(hours=1)


@pytest.fixture
async def records(url: str) -> AsyncIterator[Records]:
    """Seven calls: six that are over, of which three began in the same moment, and a live one."""
    async with Records.open(url) as opened:
        for id_, hours, more in (
            ("e", 0, {"caller": "+4930100%5"}),
            ("a", 1, {"flow": "clinic"}),
            ("C", 1, {"outcome": "error"}),
            ("é", 1, {"did": "+441632960_01"}),
            ("d", 2, {}),
            ("b", 3, {"flow": "clinic", "outcome": "error"}),
            ("live", 4, {"outcome": "live", "ended": None}),
        ):
            await opened.save(full_record(id_, started=START + hours * HOUR, **more))
        await opened.flush()
        yield opened


async def test_pages_hold_every_call_once_the_newest_first(records: Records) -> None:
    for size in (1, 2, 3, 6, 50):
        found: list[str] = []
        after: tuple[datetime, str] | None = None
        while page := await records.page(size, after=after):
            assert len(page) <= size
            found += [call.id for call in page]
            after = page[-1].started, page[-1].id
        assert found == ["b", "d", "C", "a", "é", "e"]


async def test_a_call_that_began_meanwhile_moves_no_page(records: Records) -> None:
    first = await records.page(2)
    await records.save(full_record("new", started=START + 9 * HOUR))
    await records.flush()
    second = await records.page(2, after=(first[-1].started, first[-1].id))
    assert [call.id for call in second] == ["C", "a"]


async def test_filters(records: Records) -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"number": "100%"}, ["e"]),
        ({"number": "0_0"}, ["é"]),
        ({"number": "%%"}, []),
        ({"flow": "clinic"}, ["b", "a"]),
        ({"outcome": "error"}, ["b", "C"]),
        ({"outcome": "live"}, []),
        ({"flow": "clinic", "outcome": "error"}, ["b"]),
        ({"since": START + 2 * HOUR}, ["b", "d"]),
        ({"until": START + HOUR}, ["e"]),
        ({"since": START + HOUR, "until": START + 2 * HOUR}, ["C", "a", "é"]),
        ({"since": START + HOUR + timedelta(microseconds=1), "until": START + 3 * HOUR}, ["d"]),
        ({"outcome": "error", "after": (START + 3 * HOUR, "b")}, ["C"]),
    ]
    for filters, ids in cases:
        assert [call.id for call in await records.page(50, **filters)] == ids, filters


async def test_the_ends_of_time_are_no_error(records: Records) -> None:
    for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        assert len(await records.page(50, since=moment)) + len(await records.page(50, until=moment)) == 6


async def test_letters_that_no_database_takes_find_nothing(records: Records) -> None:
    for odd in ("\0", "\ud83d", "\\", "'"):
        assert await records.page(50, number=odd) == []
        assert await records.page(50, flow=odd, outcome=odd, after=(START, odd)) == []
        assert await records.list(caller=odd, flow=odd, outcome=odd) == []
        with pytest.raises(RecordsError, match="no call"):
            await records.get(odd)
