"""Events that a call is told: kept, taken once, bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.inbox import MOST_BYTES, MOST_KEPT, Inbox, Source, Told


def fits(data: Any) -> list[str]:
    return [] if data != "bad" else ["it is bad"]


async def take(inbox: Inbox, name: str = "payment", source: Source = "webhook") -> Any:
    async with asyncio.timeout(1):
        return await inbox.take(source, name, fits)


async def test_what_came_before_is_taken_at_once_oldest_first() -> None:
    inbox = Inbox()
    assert [inbox.tell("webhook", "payment", n).fate for n in (1, 2)] == ["kept", "kept"]
    assert inbox.tell("webhook", "other", 3).fate == "kept"
    assert inbox.tell("supervisor", "payment", 4).fate == "kept"
    assert [await take(inbox), await take(inbox), await take(inbox, source="supervisor")] == [1, 2, 4]


async def test_who_waits_is_given_the_first_that_fits_and_the_sender_learns_of_the_others() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(take(inbox))
    await asyncio.sleep(0)
    assert inbox.tell("webhook", "other", 1).fate == "kept"
    assert inbox.tell("webhook", "payment", "bad") == Told("unfit", ("it is bad",))
    assert inbox.tell("webhook", "payment", 2).fate == "taken"
    assert inbox.tell("webhook", "payment", 3).fate == "kept"
    assert await waiting == 2


async def test_what_was_kept_and_does_not_fit_is_dropped() -> None:
    inbox = Inbox()
    inbox.tell("webhook", "payment", "bad")
    inbox.tell("webhook", "payment", "good")
    assert await take(inbox) == "good"
    assert inbox.kept("webhook", "payment", fits) == []


async def test_the_same_key_counts_once_whether_kept_or_taken() -> None:
    inbox = Inbox()
    assert inbox.tell("webhook", "payment", 1, "a").fate == "kept"
    assert inbox.tell("webhook", "payment", 1, "a").fate == "known"
    assert inbox.tell("webhook", "refund", 1, "a").fate == "kept", "of another event"
    assert await take(inbox) == 1
    assert inbox.tell("webhook", "payment", 1, "a").fate == "known"


async def test_what_was_refused_may_be_sent_again_with_its_key() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(take(inbox))
    await asyncio.sleep(0)
    assert inbox.tell("webhook", "payment", "bad", "a").fate == "unfit"
    assert inbox.tell("webhook", "payment", "good", "a").fate == "taken"
    assert await waiting == "good"


@pytest.mark.parametrize(("data", "fit_in"), [("x", MOST_KEPT), ("x" * (MOST_BYTES // 4), 3)])
async def test_what_is_kept_is_bounded(data: str, fit_in: int) -> None:
    inbox = Inbox()
    fates = [inbox.tell("webhook", "payment", data).fate for _ in range(fit_in + 1)]
    assert fates == ["kept"] * fit_in + ["full"]
    assert await take(inbox) == data
    assert inbox.tell("webhook", "payment", data).fate == "kept"


async def test_an_event_of_the_moment_in_which_the_wait_is_given_up_is_not_lost() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.take("webhook", "payment", fits))
    await asyncio.sleep(0)
    assert inbox.tell("webhook", "payment", 1).fate == "taken"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert inbox.tell("webhook", "payment", 2).fate == "kept", "nobody waits any more"
    assert [await take(inbox), await take(inbox)] == [1, 2]
