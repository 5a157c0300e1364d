"""A supervisor's hand on a live call: hang it up, or hand it to a person.

While somebody is rung for a supervisor the call goes on as it is, so that a caller for whom nobody answers has lost
nothing. The first who answers takes the call: only then the flow ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from engine.handoff import Plan, Round, drop, ring_beside, stay_connected
from engine.line import LineError, LineGone
from engine.outcome import Stop
from engine.safety import rescue
from engine.whom import dialled

if TYPE_CHECKING:
    from engine.call import Call
    from engine.callee import Callee

log = structlog.get_logger()

BY_SUPERVISOR: Final = "(supervisor)"  # stands for the step in attempts that no step made; no step has this id
RING_FOR: Final = 30.0  # seconds
HANG_UP_WITHIN: Final = 5.0  # seconds


class NotPossible(Exception):  # noqa: N818 - what it says
    """The call is not in a state for that; ``reasons`` in words."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Steering:
    """What a supervisor can do to one call. One hand-off at a time."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.hangs_up = False  # a supervisor does, or did: whatever comes of it, that is how the call ends
        self._ringing = ""  # who is rung now
        self._answered: asyncio.Future[Callee] = asyncio.get_running_loop().create_future()
        self._taken = asyncio.Event()

    def obstacles(self) -> list[str]:
        """Why the call cannot be handed off now, in words; empty when it can be."""
        call = self._call
        if call.is_over or call.line.ended.done():
            return ["the call is over"]
        if not call.has_begun:
            return ["the call has not begun yet"]
        if call.with_person or self._answered.done():
            answered = next((a.target for a in reversed(call.record.attempts) if a.status == "answered"), "a person")
            return [f"the caller talks to {answered} already"]
        if self._ringing:
            return [f"{self._ringing} is being rung already"]
        rung = [attempt.target for attempt in call.record.attempts if attempt.status == "ringing"]
        return [f"the flow rings {', '.join(rung)} now"] if rung else []

    def hand_off(self, name: str) -> None:
        """Ring a destination or a group of `resources.yaml`, beside the call. Raises `NotPossible`, `StepError`."""
        if reasons := self.obstacles():
            raise NotPossible(reasons)
        resources = self._call.library.resources
        targets = tuple(dialled([f"group:{name}" if name in resources.groups else name], resources))
        plan = Plan(rounds=[Round(targets, timeout=RING_FOR)], timeout=RING_FOR, dialling=resources.dialling)
        self._ringing = name
        self._call.said("system", f"a supervisor has {name} rung")
        self._call.beside(self._ring(plan, name), f"hand-off of {self._call.record.id} to {name}")

    async def hang_up(self) -> None:
        """End the call. Raises `NotPossible` also when it lives on, and may be ended by another try."""
        call = self._call
        if call.line.ended.done():
            raise NotPossible(["the call is over"])
        call.said("system", "a supervisor hung up")
        self.hangs_up = True
        try:
            async with asyncio.timeout(HANG_UP_WITHIN):
                await call.line.hangup()
                await asyncio.shield(call.line.ended)  # a line tells nobody that Asterisk did not do it
        except (LineError, TimeoutError) as error:
            if call.line.ended.done():
                return
            log.warning("a call that a supervisor hung up lives on", error=str(error))
            call.said("system", "the call could not be hung up, and goes on")
            raise NotPossible(["Asterisk did not end the call: try again"]) from error
        finally:
            self.hangs_up = call.line.ended.done()

    async def _ring(self, plan: Plan, name: str) -> None:
        """Beside the call: ring, and offer who answers. Cancelled with the call, it leaves nobody behind."""
        call = self._call
        try:
            callee = await ring_beside(call, plan, BY_SUPERVISOR)
        except Exception as error:  # whatever fails here, the call goes on
            log.warning("a supervisor's hand-off failed", target=name, error=f"{type(error).__name__}: {error}")
            callee = None
        finally:
            self._ringing = ""
            call.changed()
        if callee is None:
            call.said("system", f"{name} did not take the call; the talk goes on")
        elif call.with_person:
            call.said("system", f"{name} answered, but the caller talks to a person already")
            await drop(call, callee.leg)
        else:
            await self._offer(callee)

    async def _offer(self, callee: Callee) -> None:
        self._answered.set_result(callee)
        try:
            await self._taken.wait()
        finally:
            if not self._taken.is_set():  # the call ended in this moment
                await asyncio.shield(drop(self._call, callee.leg))

    # ── For the call ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def answered(self) -> None:
        """Until somebody whom a supervisor had rung takes the call."""
        await asyncio.shield(self._answered)

    async def talk(self) -> Stop:
        """The flow has ended for it: connect the person and wait for the end of the talk; how the call then ends."""
        call, leg = self._call, self._answered.result().leg
        self._taken.set()
        try:
            await call.answer()
            await call.line.connect(leg)
            call.with_person = True
            await call.save()
        except BaseException as error:  # also when the caller hangs up meanwhile
            await asyncio.shield(drop(call, leg))
            if isinstance(error, LineGone) or not isinstance(error, LineError):
                raise
            call.record.error = call.record.error or f"a supervisor's hand-off to {leg.target} failed: {error}"
            log.error("who answered for a supervisor could not be connected", target=leg.target, error=str(error))
            return await rescue(call)
        await stay_connected(call, leg)
        return Stop(by="target")
