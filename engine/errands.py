"""What a step sends off without waiting: the flow goes on, the record is told of a failure, and the call ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from engine.outcome import DONE, Outcome

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()


class Errands:
    """What the flow of one call does not wait for."""

    def __init__(self) -> None:
        self._left: dict[asyncio.Task[None], float] = {}  # seconds that each has when the call is over

    def __bool__(self) -> bool:
        """Whether one is under way."""
        return bool(self._left)

    def run(self, work: Coroutine[Any, Any, None], name: str, within: float) -> None:
        """Begin one, which has ``within`` seconds left when the call is over."""
        task = asyncio.create_task(work, name=name)
        self._left[task] = within
        task.add_done_callback(self._left.pop)

    async def end(self, longest: float) -> None:
        """The call is over: they come to their end, within ``longest`` seconds at most, or are cancelled."""
        clock = asyncio.get_running_loop().time
        began = clock()
        patience = {task: min(seconds, longest) for task, seconds in self._left.items()}
        try:
            for seconds in sorted({*patience.values()}):
                due = [task for task in patience if patience[task] <= seconds]
                await asyncio.wait(due, timeout=max(0.0, began + seconds - clock()))
                await _give_up(due)
        finally:
            await _give_up(list(patience))


def without_waiting(call: Call, work: Coroutine[Any, Any, Outcome], name: str) -> Outcome:
    """Begin ``work`` and go on. How it failed stands in the trace of the step that began it, and in the log."""
    trace = call.walker.trace
    assert trace is not None, "a step begins it"
    trace.detail = "not waited for"

    async def run() -> None:
        trace.detail = "given up when the call was over"
        try:
            outcome = await work
        except Exception as error:  # nobody waits for it: without this nobody would learn of it
            log.exception("an errand failed in a way that it does not know", errand=name)
            outcome = Outcome("error", detail=f"{type(error).__name__}: {error}")
        trace.detail = "not waited for"
        if outcome.name != "done":
            trace.detail = f"{outcome.name}: {outcome.detail}"
            log.warning("what a step did not wait for has failed", errand=name, reason=trace.detail)

    call.errand(run(), name)
    return DONE


async def _give_up(errands: Sequence[asyncio.Task[None]]) -> None:
    left = [task for task in errands if task.cancel()]
    if left:
        log.warning("errands of the call were not done in time", errands=[task.get_name() for task in left])
        await asyncio.gather(*left, return_exceptions=True)
