"""Hand-off: rings people until one answers, keeps the caller company meanwhile, and connects them.

The clocks are absolute: the step's and each attempt's time box runs on whatever a single target does. Several targets
that ring at the same time are separate legs; the first that answers wins, or with `accept` the first that presses the
key, and the others are let go. Early media of targets is never played: the caller hears `caller_hears`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from engine.beside import beside, first_of
from engine.callee import HUNG_UP, MOVED_ON, TAKEN, Accept, Answered, Callee
from engine.company import Comfort, Company
from engine.line import DialOptions, Leg, LineError, LineGone
from engine.record import Attempt
from engine.record import Leg as LegRecord
from engine.step_time import clocks_go_on, stop_clocks
from flows.dialling import Dialling

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

_MARK = "brief.text"  # stands for the brief to see whether a question holds it

GRACE = 2.0  # seconds that a line may take beyond the ringing time to say that nobody answered


@dataclass(frozen=True, slots=True)
class Before:
    """What happens before targets ring. ``aloud``: the caller is spoken to, and hears no other company meanwhile."""

    run: Callable[[], Awaitable[None]]
    aloud: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """Targets that are rung together, or one after the other."""

    targets: tuple[str, ...]
    ring: Literal["serial", "simultaneous"] = "simultaneous"
    timeout: float = 30.0  # simultaneous: all of them; serial: each
    accept: Accept | None = None  # the call is theirs when they press a key, not when they answer
    machine: Literal["accept", "reject"] = "accept"
    before: Before | None = None  # has the time of `timeout`; then it rings all the same


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole hand-off, with every expression already evaluated."""

    rounds: Sequence[Round]
    timeout: float | None = None  # all rounds together
    caller_hears: Comfort = "ringback"
    music: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    caller_id: str | None = None
    dtmf_after_answer: str = ""
    brief: Callable[[], Awaitable[str]] | None = None  # what the person is told; asked for while it rings
    brief_max: float = 12.0  # seconds
    dialling: Dialling = field(default_factory=Dialling)  # which numbers may be rung


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended: `connected` with the leg, or why nobody could be reached, with every attempt."""

    status: str
    leg: Leg | None = None
    attempts: Sequence[Attempt] = ()


async def ring_beside(call: Call, plan: Plan, step: str) -> Callee | None:
    """Ring the targets of the plan's first round while the call goes on as it is; who took it, not connected yet.

    Whoever did not win is gone; who won is the caller's to connect, or to `drop`.
    """
    turn = plan.rounds[0]
    return await HandOff(call, plan, step).ring(turn, turn.targets)


async def hand_off(call: Call, plan: Plan, step: str) -> Result:
    """Ring until somebody answers, or accepts. On `connected` the caller and the leg hear each other already.

    Nothing that was rung and did not win is left behind, whether this returns, raises or is cancelled.
    """
    return await HandOff(call, plan, step).run()


class HandOff:
    """One hand-off under way."""

    def __init__(self, call: Call, plan: Plan, step: str) -> None:
        self._call = call
        self._plan = plan
        self._step = step
        self._attempts: list[Attempt] = []
        self._clock = asyncio.get_running_loop().time
        self._ends = None if plan.timeout is None else self._clock() + plan.timeout
        self._brief: asyncio.Future[str] | None = None

    async def run(self) -> Result:
        """Ring, ask, tell, connect."""
        try:
            if self._plan.brief is not None:
                self._brief = asyncio.ensure_future(self._plan.brief())
            async with beside() as tasks:
                leg = await self._first_connected(Company(self._call, tasks, self._plan.caller_hears, self._plan.music))
        finally:
            if self._brief is not None:
                self._brief.cancel()
        if leg is None:
            late = self._ends is not None and self._clock() >= self._ends
            return Result(_status(self._attempts, timed_out=late), None, self._attempts)
        stop_clocks()
        self._call.with_person = True
        try:
            await self._call.save()
        except BaseException:  # the caller hung up, or a clock had run out, in this moment
            self._call.handed_off = self._call.line.ended.done()
            await asyncio.shield(_parted(self._call, leg))
            raise
        return Result("connected", leg, self._attempts)

    async def _first_connected(self, company: Company) -> Leg | None:
        """Go through the rounds within the time box; the leg that was connected first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._ends) as limit:
                for turn in self._plan.rounds:
                    await self._prepare(turn, company)
                    groups = [turn.targets] if turn.ring == "simultaneous" else [(target,) for target in turn.targets]
                    for targets in groups:
                        leg = await self._reach_one_of(turn, targets, limit, company)
                        if leg is not None:
                            return leg
        return None

    async def _prepare(self, turn: Round, company: Company) -> None:
        """The steps before an attempt, no longer than the attempt may ring."""
        if turn.before is None:
            return
        if turn.before.aloud:
            await company.end()
        else:
            await company.begin()
        try:
            async with asyncio.timeout(turn.timeout) as limit:
                await turn.before.run()
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning("the steps before an attempt took too long and were stopped", seconds=turn.timeout)

    async def _reach_one_of(
        self, turn: Round, targets: Sequence[str], limit: asyncio.Timeout, company: Company
    ) -> Leg | None:
        """Ring targets together; again, as long as they may ring, when who took the call is gone before the caller
        hears them: those who rang on until then."""
        ends = self._clock() + turn.timeout
        while targets and (left := ends - self._clock()) > 0:
            before = len(self._attempts)
            leg = await self._reach(replace(turn, timeout=left), targets, limit, company)
            if leg is not None:
                return leg
            targets = [attempt.target for attempt in self._attempts[before:] if attempt.status == "cancelled"]
        return None

    async def _reach(self, turn: Round, targets: Sequence[str], limit: asyncio.Timeout, company: Company) -> Leg | None:
        """Ring targets and connect the winner, in company until then; None when nobody could be reached."""
        callee: Callee | None = None
        try:
            await company.begin()
            callee = await self.ring(turn, targets)
            if not limit.expired():
                limit.reschedule(None)  # who won before the clock has won
            connected = callee is not None and await self._join(turn, callee, company)
            if not connected:
                limit.reschedule(self._ends)
            return callee.leg if callee is not None and connected else None
        except BaseException:
            if callee is not None:
                await asyncio.shield(self._leave(callee, None if turn.accept is None else MOVED_ON))
            raise

    async def _join(self, turn: Round, callee: Callee, company: Company) -> bool:
        """Tell the winner what it is about, then let both hear each other; False when the winner is gone."""
        if self._brief is not None and not _says_brief(turn):
            await self._tell(callee)
        await company.end()
        return await self._connected(callee.leg)

    async def _tell(self, callee: Callee) -> None:
        """The brief, to the person alone; a person who hangs up meanwhile is not connected."""
        assert self._brief is not None
        with contextlib.suppress(LineError):
            text = await self._brief
            if text:
                await callee.hears(text, within=self._plan.brief_max)

    async def _connected(self, leg: Leg) -> bool:
        """Let both hear each other; False when the target is gone already: then the next one is rung."""
        try:
            await self._call.line.connect(leg)
        except LineGone:
            raise
        except LineError as error:
            for attempt in self._attempts:
                if attempt.target == leg.target and attempt.status == "answered":
                    attempt.status, attempt.reason = ("declined", "") if leg.ended.done() else ("failed", str(error))
            self._call.beside(drop(self._call, leg), f"end of {leg.target}")
            log.warning("the target answered but could not be connected", target=leg.target, error=str(error))
            return False
        return True

    async def ring(self, turn: Round, targets: Sequence[str]) -> Callee | None:
        """Ring targets at the same time; the first that takes the call, or None when all failed."""
        won: asyncio.Future[Callee] = asyncio.get_running_loop().create_future()

        async def ring_all() -> None:
            async with asyncio.TaskGroup() as group:
                for target in targets:
                    group.create_task(self._ring_one(turn, target, won))

        try:
            await first_of(ring_all(), _settled(won))
        except BaseException:
            if won.done() and not won.cancelled():
                await asyncio.shield(self._leave(won.result()))
            raise
        return won.result() if won.done() else None

    async def _ring_one(self, turn: Round, target: str, won: asyncio.Future[Callee]) -> None:
        """Ring one target and note what became of it. Drops the leg unless it won."""
        call, started, now = self._call, self._clock(), self._call.services.clock.now()
        attempt = Attempt(step=self._step, target=target, status="ringing", started=now)
        self._attempts.append(attempt)
        call.record.attempts.append(attempt)
        call.changed()
        options = DialOptions(turn.timeout, self._plan.caller_id or call.services.caller_id, None, self._plan.headers)
        callee: Callee | None = None
        asking = _Asking()
        try:
            if refusal := self._plan.dialling.refusal(target):
                raise LineError(refusal)
            async with asyncio.timeout(turn.timeout + GRACE):
                callee = Callee(call, await call.line.dial(target, options))
                entry = LegRecord(id=callee.leg.channel, kind="target", party=target, started=now)
                call.record.legs.append(entry)
                result = await callee.leg.answered()
            attempt.sip_code, attempt.q850 = result.sip_code, result.q850
            if result.status == "answered":
                attempt.ring_ms = int((self._clock() - started) * 1000)
                entry.answered = call.services.clock.now()
                status = await self._take(turn, callee, started + turn.timeout, asking)
                if not won.done():  # else another was first
                    attempt.status = status
                    if status == "answered":
                        won.set_result(callee)
            else:
                attempt.status = result.status
        except TimeoutError:
            attempt.status = "no_answer"
        except LineError as error:
            attempt.status, attempt.reason = "unavailable", str(error)
            log.warning("a target could not be dialled", target=target, error=str(error))
        finally:
            attempt.status = "cancelled" if attempt.status == "ringing" else attempt.status
            call.changed()
            attempt.ring_ms = attempt.ring_ms or int((self._clock() - started) * 1000)
            if callee is not None and callee.key:
                attempt.key = callee.key
                attempt.key_ms = max(0, int((callee.key_at - started) * 1000) - attempt.ring_ms)
            call.services.metrics.handoff_attempt(attempt.status, attempt.ring_ms)
            if callee is not None and not (won.done() and not won.cancelled() and won.result() is callee):
                lost = won.done() and not won.cancelled()  # the caller is not to wait for who was too late
                words = (TAKEN if lost else MOVED_ON) if asking.under_way else None
                await asyncio.shield(self._leave(callee, words, waits=not lost))

    async def _take(self, turn: Round, callee: Callee, ends: float, asking: _Asking) -> Answered:
        """Whether who answered takes the call: at once, or by the key; the attempt's clock goes on meanwhile.

        Who hangs up before it is theirs has declined it.
        """
        try:
            status = await self._asked(turn, callee, ends, asking)
        except LineError:
            if not callee.leg.ended.done():
                raise
            status = "declined"
        return "declined" if callee.leg.ended.done() else status

    async def _asked(self, turn: Round, callee: Callee, ends: float, asking: _Asking) -> Answered:
        if self._plan.dtmf_after_answer:
            await callee.dials(self._plan.dtmf_after_answer)
        if turn.machine == "reject" and await callee.is_machine():
            return "machine"
        if turn.accept is None:
            return "answered"
        asking.under_way = True
        async with asyncio.timeout_at(ends):
            brief = "" if self._brief is None else await asyncio.shield(self._brief)
            status = await callee.accepts(turn.accept, brief)
        asking.under_way = status == "answered"
        return status

    async def _leave(self, callee: Callee, words: str | None = None, *, waits: bool = True) -> None:
        """Let somebody go who did not get the call; with words, if they were asked to take it.

        The caller does not wait for the words, unless they are gone; without ``waits`` nor for the end of the leg.
        """
        if self._call.line.ended.done():
            await self._dismiss(callee, words and HUNG_UP)
        elif words is not None or not waits:
            self._call.beside(self._dismiss(callee, words), f"end of {callee.leg.target}")
        else:
            await drop(self._call, callee.leg)

    async def _dismiss(self, callee: Callee, words: str | None) -> None:
        try:
            if words is not None:
                await callee.last_words(words)
        finally:
            await asyncio.shield(drop(self._call, callee.leg))


@dataclass(slots=True)
class _Asking:
    """Whether somebody was asked to take the call, and would like to know what became of it."""

    under_way: bool = False


async def _settled(won: asyncio.Future[Callee]) -> None:
    await asyncio.shield(won)


def _says_brief(turn: Round) -> bool:
    """Whether the question already holds the brief."""
    return turn.accept is not None and turn.accept.say(_MARK) != turn.accept.say("")


async def drop(call: Call, leg: Leg) -> None:
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
    nearest = ("declined", "busy", "no_answer", "machine", "unavailable")
    reasons = {attempt.status for attempt in attempts}
    return next((reason for reason in nearest if reason in reasons), "failed")


async def stay_connected(call: Call, leg: Leg) -> None:
    """Until the person hangs up. (When the caller does, the call's own watch cancels this.) Leaves no leg behind.

    The limits of the steps around it stand still; afterwards they, and those of the call, count again.
    """
    try:
        await asyncio.shield(leg.ended)
    except asyncio.CancelledError:
        call.was_cut_off = True
        raise
    finally:
        call.line.drop_digits()  # they were meant for the person
        await asyncio.shield(_parted(call, leg))


async def _parted(call: Call, leg: Leg) -> None:
    try:
        await drop(call, leg)
    finally:
        call.with_person = False
        clocks_go_on()
