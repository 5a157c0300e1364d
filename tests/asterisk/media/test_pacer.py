"""The shared 20 ms clock."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk.media.pacer import STALL_S, TICK_S, Pacer, next_deadline


async def ticks(pacer: Pacer, count: int) -> list[float]:
    times: list[float] = []
    done = asyncio.Event()

    def tick(now: float) -> None:
        times.append(now)
        if len(times) == count:
            done.set()

    pacer.join(tick)
    await asyncio.wait_for(done.wait(), 5)
    pacer.leave(tick)
    return times


async def test_the_rate_is_exact_over_many_ticks() -> None:
    pacer = Pacer()
    times = await ticks(pacer, 26)
    assert times[-1] - times[0] == pytest.approx(0.5, abs=0.015)
    assert pacer.worst_lateness >= pacer.lateness >= 0
    await pacer.close()


async def test_one_task_while_legs_are_joined_and_none_after() -> None:
    before = asyncio.all_tasks()
    pacer = Pacer()
    await asyncio.gather(ticks(pacer, 3), ticks(pacer, 4))
    assert len({task for task in asyncio.all_tasks() - before if task.get_name() == "media pacer"}) == 1
    await pacer.close()
    assert asyncio.all_tasks() == before
    assert len(await ticks(pacer, 2)) == 2
    await pacer.close()


async def test_a_leg_that_fails_does_not_silence_the_others() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    pacer = Pacer()

    def broken(now: float) -> None:
        raise OSError("gone")

    pacer.join(broken)
    assert len(await ticks(pacer, 3)) == 3
    assert [str(context["exception"]) for context in reported] == ["gone"]
    await pacer.close()


@given(st.floats(0, 1e6), st.floats(0, 10))
def test_deadlines_stay_on_the_grid_unless_the_stall_was_long(deadline: float, late: float) -> None:
    now = deadline + late
    following = next_deadline(deadline, now)
    if late <= STALL_S:
        assert following == deadline + TICK_S
    else:
        assert now - following <= STALL_S
