from __future__ import annotations

import asyncio

import pytest

from engine.beside import beside, first_of
from engine.outcome import Stop
from engine.virtual import virtual_time


async def forever(ended: list[str], name: str = "forever") -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def fails(after: float, error: Exception) -> None:
    await asyncio.sleep(after)
    raise error


async def gives(after: float) -> None:
    await asyncio.sleep(after)


@virtual_time
async def test_the_work_ends_with_the_block() -> None:
    ended: list[str] = []
    async with beside(forever(ended, "given")) as group:
        group.create_task(forever(ended, "added"))
        await asyncio.sleep(1)
        assert ended == []
    assert sorted(ended) == ["added", "given"]


@virtual_time
async def test_a_way_out_passes_as_it_is() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with beside(forever(ended)):
            await asyncio.sleep(1)
            raise Stop

    with pytest.raises(Stop):
        await block()
    assert ended == ["forever"]


@virtual_time
async def test_work_that_fails_ends_the_block() -> None:
    ended: list[str] = []
    with pytest.raises(KeyError, match="gone"):
        async with beside(fails(1, KeyError("gone")), forever(ended, "other")):
            await forever(ended, "block")
    assert sorted(ended) == ["block", "other"]


@virtual_time
async def test_work_that_ends_leaves_the_block_alone() -> None:
    async with beside(gives(1)):
        await asyncio.sleep(2)
    assert asyncio.get_running_loop().time() == 2


@virtual_time
async def test_cancelling_the_block_is_a_cancellation() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with beside(forever(ended)):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(block(), 1)
    assert ended == ["forever"]


@virtual_time
async def test_groups_inside_groups_raise_the_one_error() -> None:
    async def deep() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(1, ValueError("deep")))

    with pytest.raises(ValueError, match="deep"):
        async with beside(deep()):
            await asyncio.sleep(5)


@virtual_time
async def test_the_first_to_end_wins_and_the_rest_is_cancelled() -> None:
    ended: list[str] = []
    assert await first_of(forever(ended, "a"), gives(2), forever(ended, "c"), gives(3)) == 1
    assert ended == ["a", "c"]
    assert asyncio.get_running_loop().time() == 2


@virtual_time
async def test_the_first_of_two_that_end_together_counts() -> None:
    assert await first_of(gives(1), gives(1)) == 0
    assert await first_of(gives(0), fails(0, KeyError("x"))) == 0


@virtual_time
async def test_a_failure_of_the_first_is_raised() -> None:
    ended: list[str] = []
    with pytest.raises(KeyError):
        await first_of(forever(ended), fails(1, KeyError("x")))
    assert ended == ["forever"]


@virtual_time
async def test_cancelling_first_of_cancels_all() -> None:
    ended: list[str] = []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first_of(forever(ended, "a"), forever(ended, "b")), 1)
    assert ended == ["a", "b"]


@virtual_time
async def test_who_cleans_up_is_not_cancelled_again() -> None:
    """A caller who hangs up often ends several waits at once, one around the other."""
    cleaned: list[float] = []

    async def session() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            cleaned.append(asyncio.get_running_loop().time())

    async def inner() -> None:
        await first_of(session(), gives(2))

    async def outer() -> None:
        await first_of(inner(), gives(2.5))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outer(), 2.7)
    assert cleaned == [3]
