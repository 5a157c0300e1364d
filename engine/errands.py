"""What a step sends off without waiting: the flow goes on, and the record is told when it failed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from engine.outcome import DONE, Outcome

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()


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
