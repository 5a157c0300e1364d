"""The switchboard: takes calls as they come, up to the engine's limit, and gives each its flow.

What it does not take (no route, no capacity, draining) goes back to the dialplan's fallback at once: live calls are
never muted by one call too many.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

import structlog

from engine.arrived import told_by
from engine.beside import to_its_end
from engine.call import Call
from engine.checkpoint import Left, state_of
from engine.errors import UserError
from engine.health import Readiness
from engine.line import Line
from engine.record import CallRecord
from engine.resume import LeftLine, resumed
from engine.services import Services
from engine.trials import Trials
from flows.library import Library
from flows.routes import Route

log = structlog.get_logger()

REFUSE_WITHIN = 5.0  # seconds to give a call back
CLAIM_WITHIN = 10.0  # seconds for the database to tell of a call whose engine died; 10 ms each (measured with 200)
REMEMBERED = 10_000  # calls that are over and known to have been


class Exchange(Protocol):
    """Where calls come from (see `asterisk.exchange`)."""

    def lines(self) -> AsyncIterator[Any]:
        """Every new call."""


class Switchboard:
    """Runs calls. ``library`` is the flows in use: calls that live keep theirs, new calls take the newest."""

    def __init__(self, library: Library, services: Services, readiness: Readiness) -> None:
        self.library = library
        self.calls: dict[str, Call] = {}
        self.over: dict[str, None] = {}  # ids of calls that are over, oldest first
        self.trials = Trials(services.metrics)
        self._services = services
        self._readiness = readiness
        self._returning = 0  # callers of a dead engine of whom it is not known yet whether their call goes on here
        self._claiming = asyncio.Lock()  # one after the other: many at once would keep each other from writing
        self._empty = asyncio.Event()
        self._empty.set()

    async def run(self, exchange: Exchange) -> None:
        """Take calls until the exchange ends and the last of them is over. Cancelling cancels them, so drain first."""
        async with asyncio.TaskGroup() as group:
            async for line in exchange.lines():
                group.create_task(self._answer_for(line), name=f"call {line.facts.id}")

    async def drain(self, timeout: float) -> int:
        """Take no new call and wait for the live ones; how many were still live when the time was over."""
        self._readiness.draining = True
        log.info("draining", calls=self._live, seconds=timeout)
        try:
            async with asyncio.timeout(timeout):
                while self._live:
                    await self._empty.wait()
        except TimeoutError:
            log.warning("calls are still live at the end of the drain", calls=self._live)
        return self._live

    async def _answer_for(self, line: LeftLine) -> None:
        """One call, whatever becomes of it: what fails here must not end the calls beside it."""
        try:
            if line.facts.left_over:
                return await self._take_back(line)
            decision = self._decide(line)
            await (self._refuse(line, decision) if isinstance(decision, str) else self._take(line, decision))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            log.exception("a call failed outside of its flow", call_id=line.facts.id, error=said)
            await (self._let_be(line) if line.facts.left_over else self._give_back(line))

    def _decide(self, line: Line) -> Route | str:
        """The route of a call, or why it is not taken."""
        if self._readiness.draining:
            return "draining"
        if len(self.calls) >= self._readiness.capacity:
            return "capacity"
        return self.library.route(_facts(line), self._services.clock.now()) or "no_route"

    async def _take(self, line: Line, route: Route) -> None:
        library = self.library
        flow = self.trials.choose(library, route, line)
        call = Call(line, flow, library, self._services, fallback=route.fallback, account=route.account)
        self._services.metrics.call_started(flow.name, line.facts.direction)
        try:
            await self._run(call)
        finally:
            if route.versions and route.versions.roll_back and flow is library.next.get(route.flow):
                self.trials.ended(flow, route.versions.roll_back, call.record)

    async def _take_back(self, line: LeftLine) -> None:
        """A caller whose engine died. The call goes on when it is known, however full it is here: it had its place."""
        self._returning += 1
        self._count()
        try:
            found = await self._recalled(line)
        finally:
            self._returning -= 1
            self._count()
        if found is not None:
            await self._run(*found)

    async def _recalled(self, line: LeftLine) -> tuple[Call, int] | None:
        """The call that goes on here, and how often it has gone on; None: it does not, and nothing is held of it."""
        try:
            left = await self._claim(line)
        except asyncio.CancelledError:  # the engine stops: what it has not taken yet it must not hang up
            await self._let_be(line)
            raise
        if not isinstance(left, str):
            return resumed(line, left, self.library, self._services), left.checkpoint.resumed
        log.warning(
            "the call of an engine that died does not go on here", reason=left, did=line.facts.did,
            channel=line.facts.channel, then="the two talk on" if line.peer else "the dialplan takes the caller",
        )  # fmt: skip
        await self._let_be(line)
        return None

    async def _claim(self, line: LeftLine) -> Left | str:
        """What was kept of this caller's call, or why it does not go on here."""
        checkpoints = self._services.checkpoints
        if self._readiness.draining:
            return "this engine stops"
        if checkpoints is None:
            return "nothing is kept of calls"
        try:
            async with asyncio.timeout(CLAIM_WITHIN), self._claiming:
                left = await checkpoints.claim(self._services.engine, line.facts.channel)
        except TimeoutError:
            return f"the database did not tell of it within {CLAIM_WITHIN:g} s"
        except UserError as error:
            return str(error)
        if left is None:
            return "nobody knows it"
        if left.record.id in self.calls or left.record.id in self.over:
            return "it has gone on here before"
        return left

    async def _let_be(self, line: LeftLine) -> None:
        """It does not go on here: two who talk talk on, a caller alone goes back to the dialplan."""
        if line.peer is not None:
            line.let_be()
        else:
            await self._give_back(line)

    async def _run(self, call: Call, times: int = 0) -> None:
        """From here to its end. ``times``: how often it went on after its engine had died."""
        record, services = call.record, self._services
        self.calls[record.id] = call
        self._count()
        clock = asyncio.get_running_loop().time
        started = clock()
        if services.checkpoints is not None:
            services.checkpoints.follow(record.id, partial(state_of, call, times))
        try:
            await call.run()
        finally:
            if services.checkpoints is not None:
                services.checkpoints.forget(record.id)
            del self.calls[record.id]
            self.over[record.id] = None
            if len(self.over) > REMEMBERED:
                del self.over[next(iter(self.over))]
            self._count()
            services.metrics.call_ended(record.flow, record.outcome, clock() - started, error=bool(record.error))
            log.info("call over", call_id=record.id, flow=record.flow, outcome=record.outcome, by=record.hangup_by)

    async def _refuse(self, line: Line, reason: str) -> None:
        """Give a call back to the dialplan; when that is not possible, refuse it as congested. It is on record."""
        facts = line.facts
        log.warning("call refused", reason=reason, did=facts.did, call_id=facts.id)
        self._services.metrics.calls_refused.labels(reason).inc()
        now = self._services.clock.now()
        await self._services.records.save(
            CallRecord(
                id=facts.id, engine=self._services.engine, did=facts.did, caller=facts.caller, trunk=facts.trunk,
                started=now, ended=now, outcome="refused", hangup_by="engine", error=reason,
            )
        )  # fmt: skip
        await self._give_back(line)

    @staticmethod
    async def _give_back(line: Line) -> None:
        """To the dialplan, or congestion; also when the engine is stopped meanwhile. Leaves nothing of the line."""
        await to_its_end(_given_back(line))

    @property
    def _live(self) -> int:
        """Calls that a drain waits for."""
        return len(self.calls) + self._returning

    def _count(self) -> None:
        self._readiness.active = len(self.calls)
        if self._live:
            self._empty.clear()
        else:
            self._empty.set()


async def _given_back(line: Line) -> None:
    """Never raises."""
    try:
        async with asyncio.timeout(REFUSE_WITHIN):
            if not await line.give_back():
                await line.hangup(42)  # Q.850: switching equipment congestion
    except Exception as error:
        log.error("a call could not be given back", call_id=line.facts.id, error=f"{type(error).__name__}: {error}")
    try:
        async with asyncio.timeout(REFUSE_WITHIN):
            await line.close()
    except Exception as error:
        log.error("a line could not be released", call_id=line.facts.id, error=f"{type(error).__name__}: {error}")


def _facts(line: Line) -> dict[str, Any]:
    facts = line.facts
    return {
        "did": facts.did, "caller": facts.caller, "trunk": facts.trunk, "headers": dict(facts.headers),
        "direction": facts.direction, "attestation": told_by(facts.headers)["attestation"],
    }  # fmt: skip
