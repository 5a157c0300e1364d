"""One 20 ms clock for all media legs whose audio we have to pace ourselves (AudioSocket, RTP).

Deadlines are absolute: a late tick does not delay the next, so that the rate over a call is exact. After a stall longer
than `STALL_S` the clock starts afresh, for a burst of old frames helps nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asterisk.media.playout import FRAME_MS

TICK_S = FRAME_MS / 1000
STALL_S = 0.1

Tick = Callable[[float], None]


class Pacer:
    """Calls every joined leg each 20 ms with the loop's time. Runs one task, while legs are joined."""

    def __init__(self) -> None:
        self.lateness = 0.0  # seconds, of the last tick
        self.worst_lateness = 0.0
        self._ticks: set[Tick] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self, tick: Tick) -> None:
        """Call ``tick`` each 20 ms from now on. It must not block."""
        self._ticks.add(tick)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="media pacer")

    def leave(self, tick: Tick) -> None:
        """Call it no more. Idempotent."""
        self._ticks.discard(tick)

    async def close(self) -> None:
        """Stop the clock for all."""
        self._ticks.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time()
        while self._ticks:
            now = loop.time()
            for tick in tuple(self._ticks):
                try:
                    tick(now)
                except Exception as error:  # one leg's fault must not silence the others
                    self._ticks.discard(tick)
                    loop.call_exception_handler({"message": "a media leg failed in its tick", "exception": error})
            deadline = next_deadline(deadline, loop.time())
            await asyncio.sleep(deadline - loop.time())
            self.lateness = max(0.0, loop.time() - deadline)
            self.worst_lateness = max(self.worst_lateness, self.lateness)


def next_deadline(deadline: float, now: float) -> float:
    """The deadline after ``deadline``: on the grid, or from now on when the grid was missed by too much."""
    following = deadline + TICK_S
    return now if now - following > STALL_S else following
