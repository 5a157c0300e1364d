"""The walker: runs the steps of one flow for one call, and decides what happens when a step ends.

A flow that is called by another runs under a walker of its own, with its own variables; the two share the call and
nothing else. Handlers of the inner flow come first, then those of the flows that called it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import structlog

from engine.beside import first_of
from engine.limits import day_is_spent, limits_of
from engine.line import LineError, LineGone
from engine.outcome import Endless, Failed, Goto, Leave, Outcome, Return, StepError, Unhandled
from engine.record import StepTrace
from engine.recording import unrecorded
from engine.step_time import counted
from engine.values import declare, fit
from flows.expressions import ExpressionError
from flows.flow import Flow, Handler, Step

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

T = TypeVar("T")

UNTIL_GONE = "until the caller hung up"
MAX_STEPS = 1000  # a call that runs more steps than this loops
UNREAD = 32  # keys that may wait to be read; a caller who leans on the keypad shall not hide a handler's key
MAX_DEPTH = 16  # sections and flows that were called and have not come back
LONGEST_PAUSE = 60.0  # seconds between two tries of a step
MAX_JUMPS = 32  # jumps with no word or key from the caller in between
BREATH = 32  # steps, and looks at steps that do not run, until other calls have their turn

# Which handler answers for an outcome that no step handled; every other one goes to `error`.
HANDLER_OF = {"silence": "silence", "provider_error": "provider_down"}


class HandlerFired(Leave):
    """An event outside the step's own doing took the call elsewhere (a key, the time limit)."""

    def __init__(self, owner: Walker, handler: Handler) -> None:
        super().__init__(handler.event)
        self.owner = owner
        self.handler = handler


class Walker:
    """Runs one flow. ``parent`` is the walker of the flow that called it."""

    def __init__(self, call: Call, flow: Flow, given: Mapping[str, Any], parent: Walker | None = None) -> None:
        self.call = call
        self.flow = flow
        self.parent = parent
        self.input = dict(given)
        self.vars = declare(flow.vars)
        self.secret = call.library.secret.get(flow.revision, frozenset())  # names of what must not be written down
        self.step: Step | None = None  # the innermost that runs
        self.trace: StepTrace | None = None  # its own, whatever runs beside it
        self.steps: dict[str, dict[str, Any]] = {}
        self._inside = 0  # sections that were called
        self._spent: set[str] = set()  # handlers that ran: each answers for one failure
        self._root: Walker = parent._root if parent else self
        self._count = 0
        self._jumps = 0
        self._circles = 0  # how often the call ran too many steps, or jumped too often
        self._looks = 0

    # ── For verbs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def context(self) -> dict[str, Any]:
        """What expressions see."""
        return {**self.call.facts(), "vars": self.vars, "input": self.input, "steps": self.steps}

    def jump(self, section: str) -> NoReturn:
        """Go on with a section and do not come back. Raises `StepError` when the flow goes in circles on its own."""
        self._root._jumps += 1
        if self._root._jumps > MAX_JUMPS:
            self._root._jumps = 0  # whatever answers for it may jump, too
            assert self.step is not None, "only steps jump"
            raise StepError(self._circle(self.step, f"{MAX_JUMPS} jumps without a word from the caller"))
        raise Goto(section)

    def _circle(self, step: Step, why: str) -> str:
        """What is wrong, in words. Raises `Endless` the next time: what answers may lead into the circle again."""
        self._root._circles += 1
        if self._root._circles > 1:
            raise Endless(step, Outcome("error", detail=f"loop: {why}"))
        return f"loop: {why}"

    def heard_caller(self) -> None:
        """The caller said or pressed something: the flow is not looping on its own."""
        self._root._jumps = 0

    def set(self, name: str, value: Any) -> None:
        """Give a declared variable a value. Raises `StepError` when it does not fit the declaration."""
        self.vars[name] = fit(value, self.flow.vars[name].type, f"vars.{name}")
        self.call.changed(keep=True)

    def keep(self, step: Step, outcome: Outcome) -> None:
        """Let expressions see how a step ended. A step that the caller ends by hanging up may do it itself."""
        if step.id is not None:
            self.steps[step.id] = {"outcome": outcome.name, **outcome.data}

    async def section(self, name: str) -> Mapping[str, Any]:
        """Run a section as a subroutine; what its `return` gives."""
        if self._depth() >= MAX_DEPTH:
            raise StepError(f"loop: sections are called {MAX_DEPTH} deep; does '{name}' call itself?")
        self._inside += 1
        try:
            await self.run_steps(self.flow.sections[name])
        except Return as back:
            return back.values
        finally:
            self._inside -= 1
        return {}

    async def subflow(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run another flow and come back; what its `return` gives. Raises `Unhandled` when it fails, `StepError` when
        it lies too deep: the check finds circles, but not those of flows that a plugin brings.
        """
        if self._depth() >= MAX_DEPTH:
            raise StepError(f"loop: flows are called {MAX_DEPTH} deep; does '{name}' call itself?")
        inner = Walker(self.call, self.call.library.flows[name], given, parent=self)
        self.call.walker = inner
        try:
            await inner.run()
        except Return as back:
            return back.values
        finally:
            self.call.walker = self
        return {}

    def _depth(self) -> int:
        """How many sections and flows were called and have not come back, here and around this flow."""
        return self._inside + (0 if self.parent is None else self.parent._depth() + 1)

    # ── Running ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, section: str | None = None) -> None:
        """The whole flow, or from a section on. Raises what ends it: `Stop`, `Return`, `Unhandled`; returns when its
        last step has run."""
        limits = [] if self.parent is not None else limits_of(self.call, self.flow)
        limit = None if self.parent is not None else day_is_spent(self.call)
        steps: Sequence[Step] = self.flow.steps if section is None else self.flow.sections[section]
        while limits or limit is not None:
            if limit is None:
                ended = await first_of(self._walk(steps), *(limit.reached() for limit in limits))
                if ended == 0:
                    return None
                limit = limits.pop(ended - 1)
            handler = self._handler(limit.event) or self._handler("error")
            self.call.record.error = self.call.record.error or limit.why()
            log.warning("a limit of the call was reached", limit=limit.why())
            if handler is None:
                return await limit.give_up(self.call)
            steps, limit = self._steps_of(handler), None
        return await self._walk(steps)

    async def after_hangup(self) -> None:
        """The `hangup` handler, if the flow has one."""
        for handler in self.flow.handlers:
            if handler.event == "hangup":
                await self._and_onwards(self._steps_of(handler))

    async def _and_onwards(self, steps: Sequence[Step]) -> None:
        """Run steps and follow their jumps, and nothing else: after the call no handler answers for anything."""
        while True:
            try:
                return await self.run_steps(steps)
            except Goto as way_out:
                steps = self.flow.sections[way_out.section]

    async def _walk(self, steps: Sequence[Step]) -> None:
        """Run steps and follow jumps and handlers until there is nothing left to run."""
        while True:
            try:
                return await self.run_steps(steps)
            except (Goto, HandlerFired, Failed) as way_out:
                steps = self._behind(way_out)

    def _behind(self, way_out: Goto | HandlerFired | Failed) -> Sequence[Step]:
        """The steps to which a way out leads. Raises it when this flow has none for it."""
        if isinstance(way_out, HandlerFired):
            if way_out.owner is not self:
                raise way_out
            return self._steps_of(way_out.handler)
        if isinstance(way_out, Goto):
            return self.flow.sections[way_out.section]
        if isinstance(way_out, Endless) and self.parent is not None:  # this flow may be what is called in circles
            raise way_out
        handler = self._answer_for(way_out)
        if handler is None:
            raise way_out
        return self._steps_of(handler)

    async def run_steps(self, steps: Sequence[Step]) -> None:
        """Run a list of steps, each with what its outcome leads to. Other calls have their turn now and then: nothing
        that a step does need ever wait.
        """
        await self._breathe()
        for step in steps:
            await self._breathe()
            if step.disabled or (step.when is not None and not self._holds(step)):
                continue
            try:
                outcome = await self._attempt(step)
            except Unhandled:  # of a step inside the verb's own fields: a `catch` answers for it, too
                if step.catch is None:
                    raise
                await self.run_steps(step.catch)
            else:
                await self._follow(step, outcome)

    async def _breathe(self) -> None:
        self._root._looks += 1
        if self._root._looks % BREATH == 0:
            await asyncio.sleep(0)

    def _holds(self, step: Step) -> bool:
        assert step.when is not None
        try:
            return bool(step.when.evaluate(self.context()))
        except ExpressionError as error:
            raise Unhandled(step, Outcome("error", detail=str(error))) from error

    async def _follow(self, step: Step, outcome: Outcome) -> None:
        """Go where an outcome leads: its own steps, those that stand for any failure, a `catch`, or the next step."""
        known = step.possible
        bad = outcome.name in known.bad or outcome.name == "error"
        for name in (outcome.name, known.any_bad if bad else None):
            if name is not None and name in step.outcomes:
                return await self._guarded(step, step.outcomes[name])
        if not bad:
            return None
        if step.catch is not None:
            return await self.run_steps(step.catch)
        raise Unhandled(step, outcome)

    async def _guarded(self, step: Step, steps: Sequence[Step]) -> None:
        """Steps below a step that has a `catch`: it answers for them, too."""
        try:
            await self.run_steps(steps)
        except Unhandled:
            if step.catch is None:
                raise
            await self.run_steps(step.catch)

    async def _attempt(self, step: Step) -> Outcome:
        """Run a step, again when it has `retry` and ended badly; note every run in the trace."""
        retry = step.retry
        tries = 1 + (retry.max if retry else 0)
        outcome = Outcome()
        for attempt in range(tries):
            outcome = await self._traced(step)
            if outcome.name not in (*step.possible.bad, "error"):
                break
            if retry is not None and attempt + 1 < tries:
                pause = min(retry.delay * retry.backoff**attempt, LONGEST_PAUSE)
                await self._interruptible(step, partial(asyncio.sleep, pause))
        self.keep(step, outcome)
        return outcome

    async def _traced(self, step: Step) -> Outcome:
        self._need_caller(step)
        self._root._count += 1
        if self._root._count > MAX_STEPS:
            self._root._count = 0  # whatever answers for it may run its own steps
            raise Unhandled(step, Outcome("error", detail=self._circle(step, f"the call ran {MAX_STEPS} steps")))
        record = self.call.record
        trace = StepTrace(
            id=step.id,
            path=step.path,
            verb=step.verb.name,
            where=str(step.where),
            started=self.call.services.clock.now(),
        )
        record.steps.append(trace)
        around = self.step, self.trace
        self.step, self.trace = step, trace
        await self.call.save()
        clock = asyncio.get_running_loop().time
        started, cost = clock(), record.cost
        outcome = Outcome("cancelled")
        try:
            with unrecorded(self.call, step):
                ended = await self._timed(step)
            self._need_caller(step)  # what it waited for may have ended because the caller went
            outcome = ended
        except Leave as way_out:
            name = {Unhandled: "error", Endless: "error", HandlerFired: "cancelled"}.get(type(way_out), "done")
            outcome = Outcome(name, detail=str(way_out) or type(way_out).__name__.lower())
            raise
        except asyncio.CancelledError:
            if self.call.was_cut_off:
                outcome = Outcome("connected", detail=UNTIL_GONE)
            raise
        finally:
            self.step, self.trace = around
            trace.ms = int((clock() - started) * 1000)
            trace.outcome, trace.detail = outcome.name, trace.detail or outcome.detail
            if record.cost > cost:
                trace.data["cost"] = float(record.cost - cost)
            self.call.changed()
            self.call.services.metrics.step(self.flow.name, step.verb.name, outcome.name)
        if getattr(step.verb, "interactive", False):
            self.heard_caller()
        return outcome

    def _need_caller(self, step: Step) -> None:
        if step.verb.needs_caller and (self.call.is_over or self.call.line.ended.done()):
            raise LineGone("the caller is not there any more")

    async def _timed(self, step: Step) -> Outcome:
        """Run a step under its own time limit; whatever goes wrong in it becomes its failure outcome."""
        failure = getattr(step.verb, "failure", "error")
        if failure not in step.possible.names:  # a step that does not wait has fewer outcomes than its verb
            failure = "error"
        try:
            async with asyncio.timeout(step.timeout) as limit:
                run: Callable[[Step, Call], Awaitable[Outcome]] = step.verb.run  # type: ignore[attr-defined]
                with counted(limit):
                    return await self._interruptible(step, lambda: run(step, self.call))
        except (Leave, LineGone):
            raise
        except TimeoutError:
            if not limit.expired():
                return Outcome(failure, detail="a wait inside the step took too long")
            ways = ("timeout", "max_duration")  # what a verb calls it
            name = next((name for name in ways if name in step.possible.names), failure)
            return Outcome(name, detail=f"longer than {step.timeout} s")
        except StepError as error:
            known = (*step.possible.names, "error")
            return Outcome(error.outcome if error.outcome in known else failure, detail=str(error))
        except (ExpressionError, LineError) as error:
            return Outcome(failure, detail=str(error))
        except Exception as error:  # a mistake in a verb, perhaps a plugin's: the flow decides, and no call ends by it
            log.exception("a verb failed in a way that it does not know", verb=step.verb.name, where=str(step.where))
            return Outcome(failure, detail=f"{type(error).__name__}: {error}")

    async def _interruptible(self, step: Step, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work of a step; a key that a `dtmf` handler waits for takes the call there, unless the step reads
        keys itself."""
        handlers = self._digit_handlers()
        reads: bool = step.verb.reads_keys(step.fields)  # type: ignore[attr-defined]
        if not handlers or reads or self.call.line.ended.done():
            return await work()
        done: list[T] = []

        async def run() -> None:
            done.append(await work())

        await first_of(run(), self._watch_digits(handlers))
        return done[0]

    async def _watch_digits(self, handlers: Mapping[str, HandlerFired]) -> None:
        number, unread = -1, 0  # keys of no handler stay for the step that reads keys next
        while True:
            number, digit = await self.call.line.peek_digit(number + 1)
            self.heard_caller()
            if digit in handlers and not self.call.with_person:  # keys are the person's while one is connected
                self.call.pressed(digit, secret=False)
                self.call.line.drop_digits()
                raise handlers[digit]
            unread += 1
            if unread == UNREAD:
                self.call.line.drop_digits()
                unread = 0

    # ── Handlers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _digit_handlers(self) -> dict[str, HandlerFired]:
        found = self.parent._digit_handlers() if self.parent is not None else {}
        for handler in self.flow.handlers:
            if handler.event == "dtmf" and handler.digits:
                found.update({digit: HandlerFired(self, handler) for digit in handler.digits})
        return found

    def _handler(self, event: str) -> Handler | None:
        """The flow's handler of an event, once."""
        for handler in self.flow.handlers:
            if handler.event == event and event not in self._spent:
                self._spent.add(event)
                return handler
        return None

    def _answer_for(self, failure: Failed) -> Handler | None:
        self.call.record.error = self.call.record.error or str(failure)
        log.warning("a step failed and the flow's handler takes over", step=str(failure))
        special = HANDLER_OF.get(failure.outcome.name)
        return (self._handler(special) if special else None) or self._handler("error")

    def _steps_of(self, handler: Handler) -> Sequence[Step]:
        return self.flow.sections[handler.goto] if handler.goto is not None else handler.steps or ()
