"""Run tasks beside a block of code: they are cancelled when the block ends, and the block when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any


def _sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _sole(first) if isinstance(first, BaseExceptionGroup) else first


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.TaskGroup]:
    """A task group with ``work`` already running in it.

    Unlike a bare `asyncio.TaskGroup` it does not wait for its tasks at the end of the block but cancels them, and it
    raises the exception that ended the block itself, not a group: the ways out of a flow (`engine.outcome.Leave`) pass.
    """
    tasks: list[asyncio.Task[Any]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(item) for item in work]
            create = group.create_task

            def remember(*args: Any, **options: Any) -> asyncio.Task[Any]:
                task = create(*args, **options)
                tasks.append(task)
                return task

            group.create_task = remember  # type: ignore[method-assign]
            try:
                yield group
            finally:
                del group.create_task
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        raise _sole(errors) from None
    finally:
        tasks.clear()  # their tracebacks hold frames that hold the group: nothing shall wait for the collector


async def first_of(*work: Coroutine[Any, Any, Any]) -> int:
    """Run all, wait for the first to end, cancel the rest; returns its index, or raises its exception."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        index = next(i for i, task in enumerate(tasks) if task.done())
        tasks[index].result()
        return index
    finally:
        for task in tasks:
            task.cancel()
        await _cleaned_up(tasks)


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Run something, which has a bound of its own, to its end. Being cancelled meanwhile is raised only then."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _cleaned_up([task])
        raise


async def _cleaned_up(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Until cancelled tasks have ended. Being cancelled meanwhile does not cancel them again: they are cleaning up."""
    cancelled: asyncio.CancelledError | None = None
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            cancelled = error
    await asyncio.gather(*tasks, return_exceptions=True)  # what they raised has been seen
    if cancelled is not None:
        raise cancelled
