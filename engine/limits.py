"""What ends the straight path of a whole call: its time, what it may cost, and what calls may cost in a day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.outcome import Stop
from engine.record import written
from engine.safety import TIME_IS_UP, rescue, tell

if TYPE_CHECKING:
    from engine.call import Call
    from flows.flow import Flow, HandlerEvent

LOOK_EVERY = 1.0  # seconds; it hardly ever happens that a limit has to wait


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the whole call: ``reached`` waits for it, ``why`` tells it.

    Without a handler, a caller is told that the time is over, or handed to whoever can be rung (``hands_off``).
    """

    event: HandlerEvent
    reached: Callable[[], Coroutine[None, None, None]]
    why: Callable[[], str]
    hands_off: bool = False

    async def give_up(self, call: Call) -> None:
        """End the call decently, because its flow does not say what then. Raises `Stop`, `LineGone`."""
        if call.line.ended.done():
            return
        if self.hands_off:
            raise await rescue(call)
        await tell(call, TIME_IS_UP)
        raise Stop(failed=True)


def limits_of(call: Call, flow: Flow) -> list[Limit]:
    """The limits that may be reached while the call lives."""
    limits = []
    if (seconds := flow.max_call) is not None:
        began = asyncio.get_running_loop().time() - (call.services.clock.now() - call.record.started).total_seconds()
        until = began + seconds  # a call that goes on after its engine died has had some of it
        why = f"max_call: the call lasted {seconds:.0f} s"
        limits.append(Limit("max_call", lambda: _time(call, until), lambda: why))
    if call.spending.most is not None:
        limits.append(Limit("cost", lambda: _cost(call), lambda: _costs(call), hands_off=call.fallback is not None))
    return limits


def day_is_spent(call: Call) -> Limit | None:
    """The limit that a call has reached before its first step, because calls before it cost so much today."""
    days, now = call.services.days, call.services.clock.now()
    if not days.over(call.tenant, now):
        return None
    spent, currency = days.spent(call.tenant, now), call.record.currency
    why = f"cost: today's calls cost {written(spent)} {currency}, of {written(days.most or spent)} that they may"
    return Limit("cost", _at_once, lambda: why, hands_off=True)


async def _at_once() -> None:
    pass


async def _time(call: Call, until: float) -> None:
    await asyncio.sleep(until - asyncio.get_running_loop().time())
    while call.with_person:  # noqa: ASYNC110 - it matters to the second, and hardly ever happens
        await asyncio.sleep(LOOK_EVERY)


async def _cost(call: Call) -> None:
    """A call that is being handed over, or was, costs no more: what it is told on the way ends nothing."""
    await call.spending.over.wait()
    while call.with_person or _is_handing_over(call):  # noqa: ASYNC110 - as above
        await asyncio.sleep(LOOK_EVERY)


def _is_handing_over(call: Call) -> bool:
    return not call.handed_off and any(step.verb == "transfer" and step.ms is None for step in call.record.steps)


def _costs(call: Call) -> str:
    most = call.spending.most
    assert most is not None
    return f"cost: the call cost {written(call.record.cost)} {call.record.currency}, of {written(most)} that it may"
