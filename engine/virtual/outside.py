"""The world outside of virtual clocks: what really takes time (a language model) runs on a real event loop.

Under the virtual clock it takes none: the clock stands still until the work is done, so that no timeout of a flow fires
because a model thought for three seconds, and the same answers give the same call however fast they come.

The real loop runs in one thread, each virtual loop in another (`asyncio.to_thread(engine.virtual.run, …)`):

    outside = Outside()                        # on the real loop
    answer = await outside.run(ask)            # on a virtual one; `ask` is an async function and runs on the real one
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from engine.virtual.clock import VirtualLoop, VirtualTimeError

T = TypeVar("T")


class OutsideClosed(Exception):  # noqa: N818 - what it says
    """Nothing more is waited for: whoever started the virtual calls has ended them."""


class Outside:
    """Runs work on the real loop in which it is made, for virtual loops in other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``work`` returns or raises, in no virtual time. It must have a bound of its own, in real seconds.

        Cancelling it cancels the work and does not wait for that. Raises `OutsideClosed`.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise VirtualTimeError("only what runs under a virtual clock needs Outside.run: await the work itself")
        if self._closed:
            raise OutsideClosed
        with loop.held():
            try:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._kept(work), self._loop))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._closed and task is not None and not task.cancelling():
                    raise OutsideClosed from None  # the work was cancelled, not we
                raise

    def close(self) -> None:
        """Cancel what runs, and take nothing more. To be called on the real loop. Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def _kept(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._closed:
                raise OutsideClosed
            return await work()
        finally:
            self._tasks.discard(task)
