"""Hand-off: rings people until one answers, keeps the caller company meanwhile, and connects them.

The clocks are absolute: the step's and each attempt's time box runs on whatever a single target does. Several targets
that ring at the same time are separate legs; the first that answers wins, the others are cancelled. Early media of
targets is never played: the caller hears `caller_hears`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from engine.beside import beside, first_of
from engine.comfort import Comfort, keep_company
from engine.line import DialOptions, Leg, LineError, LineGone
from engine.record import Attempt
from engine.record import Leg as LegRecord

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

GRACE = 2.0  # seconds that a line may take beyond the ringing time to say that nobody answered


@dataclass(frozen=True, slots=True)
class Round:
    """Targets that are rung together, or one after the other."""

    targets: tuple[str, ...]
    ring: Literal["serial", "simultaneous"] = "simultaneous"
    timeout: float = 30.0  # simultaneous: all of them; serial: each


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole hand-off, with every expression already evaluated."""

    rounds: Sequence[Round]
    timeout: float | None = None  # all rounds together
    caller_hears: Comfort = "ringback"
    music: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    caller_id: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended: `connected` with the leg, or why nobody could be reached, with every attempt."""

    status: str
    leg: Leg | None = None
    attempts: Sequence[Attempt] = ()


async def hand_off(call: Call, plan: Plan, step: str) -> Result:
    """Ring until somebody answers. On `connected` the caller and the leg hear each other already.

    Nothing that was rung and did not win is left behind, whether this returns, raises or is cancelled.
    """
    attempts: list[Attempt] = []
    loop = asyncio.get_running_loop()
    ends = None if plan.timeout is None else loop.time() + plan.timeout
    leg = await _first_connected(call, plan, step, attempts, ends)
    if leg is None:
        return Result(_status(attempts, timed_out=ends is not None and loop.time() >= ends), None, attempts)
    call.with_person = True
    return Result("connected", leg, attempts)


async def _first_connected(
    call: Call, plan: Plan, step: str, attempts: list[Attempt], ends: float | None
) -> Leg | None:
    """Go through the rounds within the time box; the leg that answered and was connected first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(ends):
            for turn in plan.rounds:
                groups = [turn.targets] if turn.ring == "simultaneous" else [(target,) for target in turn.targets]
                for targets in groups:
                    leg = await _reach(call, plan, targets, turn.timeout, step, attempts)
                    if leg is not None:
                        return leg
    return None


async def _reach(
    call: Call, plan: Plan, targets: Sequence[str], timeout: float, step: str, attempts: list[Attempt]
) -> Leg | None:
    """Ring targets and connect the first that answers, in company until then; None when nobody could be reached."""
    leg: Leg | None = None
    try:
        async with beside(*await _company(call, plan)):
            leg = await _ring(call, plan, targets, timeout, step, attempts)
        return leg if leg is not None and await _connected(call, leg) else None
    except BaseException:
        if leg is not None:
            await asyncio.shield(_drop(call, leg))
        raise


async def _connected(call: Call, leg: Leg) -> bool:
    """Let both hear each other; False when the target is gone already: then the next one is rung."""
    try:
        await call.line.connect(leg)
    except LineGone:
        raise
    except LineError as error:
        await asyncio.shield(_drop(call, leg))
        log.warning("the target answered but could not be connected", target=leg.target, error=str(error))
        return False
    return True


async def _company(call: Call, plan: Plan) -> list[Coroutine[Any, Any, None]]:
    """What the caller hears meanwhile. Without any audio of ours they can still be put through."""
    try:
        return [keep_company(await call.playout(), plan.caller_hears, plan.music)]
    except LineGone:
        raise
    except LineError as error:
        log.warning("the caller hears nothing while targets are rung", error=str(error))
        return []


async def _ring(
    call: Call, plan: Plan, targets: Sequence[str], timeout: float, step: str, attempts: list[Attempt]
) -> Leg | None:
    """Ring targets at the same time; the first that answers, or None when all failed."""
    won: asyncio.Future[Leg] = asyncio.get_running_loop().create_future()

    async def ring_all() -> None:
        async with asyncio.TaskGroup() as group:
            for target in targets:
                group.create_task(_ring_one(call, plan, target, timeout, step, attempts, won))

    try:
        await first_of(ring_all(), _settled(won))
    except BaseException:
        if won.done() and not won.cancelled():
            await asyncio.shield(_drop(call, won.result()))
        raise
    return won.result() if won.done() else None


async def _settled(won: asyncio.Future[Leg]) -> None:
    await asyncio.shield(won)


async def _ring_one(
    call: Call, plan: Plan, target: str, timeout: float, step: str, attempts: list[Attempt], won: asyncio.Future[Leg]
) -> None:
    """Ring one target and note what became of it. Drops the leg unless it won."""
    clock = asyncio.get_running_loop().time
    started, now = clock(), call.services.clock.now()
    attempt = Attempt(step=step, target=target, status="cancelled", started=now)
    attempts.append(attempt)
    call.record.attempts.append(attempt)
    options = DialOptions(timeout, plan.caller_id or call.services.caller_id, None, plan.headers)
    leg: Leg | None = None
    try:
        async with asyncio.timeout(timeout + GRACE):
            leg = await call.line.dial(target, options)
            entry = LegRecord(id=leg.channel, kind="target", party=target, started=now)
            call.record.legs.append(entry)
            result = await leg.answered()
        attempt.status, attempt.sip_code, attempt.q850 = result.status, result.sip_code, result.q850
        if result.status == "answered":
            if won.done():
                attempt.status = "cancelled"  # another was first
            else:
                entry.answered = call.services.clock.now()
                won.set_result(leg)
    except TimeoutError:
        attempt.status = "no_answer"
    except LineError as error:
        attempt.status = "unavailable"
        log.warning("a target could not be dialled", target=target, error=str(error))
    finally:
        attempt.ring_ms = int((clock() - started) * 1000)
        call.services.metrics.handoff_attempt(attempt.status, attempt.ring_ms)
        if leg is not None and not (won.done() and not won.cancelled() and won.result() is leg):
            await asyncio.shield(_drop(call, leg))


async def _drop(call: Call, leg: Leg) -> None:
    """Hang a leg up and write down how it ended."""
    try:
        await leg.hangup()
    except LineError as error:
        log.warning("a target could not be hung up", target=leg.target, error=str(error))
    for entry in call.record.legs:
        if entry.id == leg.channel and leg.ended.done():
            ending = leg.ended.result()
            entry.ended, entry.cause, entry.sip_code = call.services.clock.now(), ending.cause, ending.sip_code


def _status(attempts: Sequence[Attempt], *, timed_out: bool) -> str:
    """The outcome of a hand-off that reached nobody: the reason of whoever was nearest to answering."""
    if timed_out:
        return "timeout"
    reasons = {attempt.status for attempt in attempts}
    return next((reason for reason in ("declined", "busy", "no_answer", "unavailable") if reason in reasons), "failed")


async def stay_connected(call: Call, leg: Leg) -> None:
    """Until the person hangs up. (When the caller does, the call's own watch cancels this.) Leaves no leg behind."""
    try:
        await asyncio.shield(leg.ended)
    finally:
        call.line.drop_digits()  # they were meant for the person
        await asyncio.shield(_drop(call, leg))
