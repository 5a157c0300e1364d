from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from engine.virtual import (
    Deadlock,
    VirtualTimeError,
    run,
    virtual_clock,
    virtual_time,
)  # fmt: skip

# ── The clock ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_hour_takes_no_time() -> None:
    async def ladder() -> list[float]:
        clock = asyncio.get_running_loop().time
        ends = []
        for _ in range(30):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(120):
                    await asyncio.Event().wait()
            ends.append(clock())
        return ends

    began = time.perf_counter()
    assert run(ladder()) == [120.0 * number for number in range(1, 31)]
    assert time.perf_counter() - began < 1.0


@virtual_time
async def test_timers_fire_in_order_and_at_their_time() -> None:
    clock = asyncio.get_running_loop().time
    seen: list[tuple[str, float]] = []

    async def after(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, clock()))

    async with asyncio.TaskGroup() as group:
        for seconds, name in ((3.3, "c"), (0.1, "a"), (1.0, "b")):
            group.create_task(after(seconds, name))
    assert seen == [("a", 0.1), ("b", 1.0), ("c", 3.3)]


@virtual_time
async def test_a_queue_with_a_timeout() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    asyncio.get_running_loop().call_later(5, queue.put_nowait, 7)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 4.999)
    assert await asyncio.wait_for(queue.get(), 0.002) == 7
    assert asyncio.get_running_loop().time() == 5


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_a_word(), name="secretary")

    async def waits_for_a_word() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"secretary: .*waits_for_a_word \(test_virtual_clock.py:\d+\)"):
        run(main())


def test_a_loop_without_end_is_stopped() -> None:
    async def forever() -> None:
        while True:  # noqa: ASYNC110 - that is the mistake
            await asyncio.sleep(10)

    with pytest.raises(VirtualTimeError, match="more than 100 virtual seconds"):
        run(forever(), limit=100)


def test_a_task_left_behind_is_an_error() -> None:
    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(1), name="orphan")

    with pytest.raises(VirtualTimeError, match="orphan"):
        run(main())


def test_sockets_names_and_programs_are_refused() -> None:
    async def socket() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    async def name() -> None:
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    async def program() -> None:
        await asyncio.create_subprocess_exec("true")

    for outside in (socket, name, program):
        with pytest.raises(VirtualTimeError, match="world outside"):
            run(outside())


def test_a_failing_coroutine_fails_as_it_is() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        run(main())


@virtual_time
async def test_work_for_a_thread_is_done_at_once() -> None:
    assert await asyncio.to_thread(sum, [1, 2]) == 3


@virtual_time(start=datetime(2026, 12, 25, 22, 10, tzinfo=UTC))
async def test_the_date_goes_with_the_clock() -> None:
    clock = virtual_clock()
    await asyncio.sleep(3600)
    assert clock.now() == datetime(2026, 12, 25, 23, 10, tzinfo=UTC) == virtual_clock().now()


def test_there_is_no_virtual_date_on_a_real_loop() -> None:
    async def main() -> None:
        virtual_clock()

    with pytest.raises(VirtualTimeError, match="virtual_time"):
        asyncio.run(main())
