"""While something is really waited for, virtual time stands still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from engine.virtual import Outside, OutsideClosed, VirtualTimeError, run

T = TypeVar("T")
SLOW = 0.05  # real seconds


async def virtually(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Under a virtual clock, in a thread of its own."""
    return await asyncio.to_thread(lambda: run(work()))


async def slowly() -> str:
    await asyncio.sleep(SLOW)
    return "answer"


async def test_a_slow_answer_takes_no_virtual_time_and_fires_no_timeout() -> None:
    outside = Outside()

    async def call() -> tuple[str, float]:
        async with asyncio.timeout(0.001):  # virtual
            answer = await outside.run(slowly)
        return answer, asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert await virtually(call) == ("answer", 0.0)
    assert time.perf_counter() - began >= SLOW


async def test_time_goes_on_afterwards() -> None:
    outside = Outside()

    async def call() -> list[tuple[str, float]]:
        clock, seen = asyncio.get_running_loop().time, []

        async def ticks() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append(("tick", clock()))

        async def asks() -> None:
            await asyncio.sleep(1.5)
            seen.append((await outside.run(slowly), clock()))

        async with asyncio.TaskGroup() as group:
            group.create_task(ticks())
            group.create_task(asks())
        return seen

    assert await virtually(call) == [("tick", 1.0), ("answer", 1.5), ("tick", 2.0), ("tick", 3.0)]


async def test_what_is_ready_runs_meanwhile_and_two_answers_are_awaited_side_by_side() -> None:
    outside = Outside()
    both = asyncio.Barrier(2)  # neither answer comes before both were asked for

    async def together() -> int:
        await both.wait()
        return 1

    async def call() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(outside.run(together)) for _ in range(2)]
        return sum(task.result() for task in tasks)

    assert await virtually(call) == 2


async def test_many_virtual_calls_share_one_world() -> None:
    outside = Outside()
    all_four = asyncio.Barrier(4)  # no answer comes before all calls have asked: they wait side by side

    async def call() -> float:
        for _ in range(5):
            await outside.run(all_four.wait)
            await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    async with asyncio.timeout(20):
        assert await asyncio.gather(*(virtually(call) for _ in range(4))) == [50.0] * 4


async def test_an_error_comes_through() -> None:
    outside = Outside()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await virtually(lambda: outside.run(fails))


async def test_cancelling_it_cancels_the_work_and_leaves_nothing() -> None:
    outside = Outside()
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def call() -> str:
        task = asyncio.create_task(outside.run(endless))
        await outside.run(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(3600)  # the clock is free again
        return "over"

    async with asyncio.timeout(10):
        assert await virtually(call) == "over"
        await cancelled.wait()


async def test_closing_ends_what_waits_and_refuses_the_rest() -> None:
    outside = Outside()
    began = asyncio.Event()

    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    async def call() -> list[str]:
        said = []
        for _ in range(2):
            try:
                await outside.run(endless)
            except OutsideClosed:
                said.append("closed")
        return said

    async with asyncio.timeout(10):
        running = asyncio.create_task(virtually(call))
        await began.wait()
        outside.close()
        assert await running == ["closed", "closed"]


async def test_it_is_for_virtual_clocks_only() -> None:
    with pytest.raises(VirtualTimeError, match="await the work itself"):
        await Outside().run(slowly)
