"""The time limits of the steps that run. They stand still while the caller talks to a person, who is not cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class StepTime:
    """The time limit of one step, as far as it has not run."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._clock = asyncio.get_running_loop().time
        self._left: float | None = None  # seconds, while it stands still
        self.over = False

    def stop(self) -> None:
        """It stands still, unless it has run out in this moment."""
        when = self._limit.when()
        if when is not None and not self.over and not self._limit.expired():
            self._left = when - self._clock()
            self._limit.reschedule(None)

    def go_on(self) -> None:
        """It runs again, with the time that was left."""
        if self._left is not None and not self.over:
            self._limit.reschedule(self._clock() + self._left)
        self._left = None


_RUNNING: ContextVar[tuple[StepTime, ...]] = ContextVar("step_time", default=())  # the outermost first


@contextmanager
def counted(limit: asyncio.Timeout) -> Iterator[None]:
    """A step runs under this limit, in the block and in the tasks that it starts."""
    time = StepTime(limit)
    token = _RUNNING.set((*_RUNNING.get(), time))
    try:
        yield
    finally:
        time.over = True
        _RUNNING.reset(token)


def stop_clocks() -> None:
    """No step that runs here loses time, until `clocks_go_on`."""
    for time in _RUNNING.get():
        time.stop()


def clocks_go_on() -> None:
    """They lose time again."""
    for time in _RUNNING.get():
        time.go_on()


def done_in_time() -> None:
    """The innermost step has done its work: what follows within it has no time limit of its own."""
    for time in _RUNNING.get()[-1:]:
        time.stop()
