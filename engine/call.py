"""Call: one live call. It owns the line, the variables and the record; the walker runs its flow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import structlog

from engine.accounts import using
from engine.arrived import known_of
from engine.beside import beside, first_of, unfailing
from engine.checkpoint import keep
from engine.discretion import HIDDEN, is_secret, on_record, outline, told_in
from engine.errands import Errands
from engine.inbox import Inbox, Source, Told
from engine.line import Ending, Line, LineError, LineGone
from engine.outcome import Leave, Return, Stop
from engine.playout import Playout
from engine.record import CallRecord, KeyPress, Leg, Spoken, written
from engine.recording import Recording
from engine.run import Walker
from engine.safety import rescue
from engine.services import Services
from engine.sides import Sides
from engine.spending import Spending, lowest
from engine.steering import Steering
from engine.usage import count
from engine.watch import Live
from flows.flow import Flow
from flows.library import Library

if TYPE_CHECKING:
    from engine.listening import Ear
    from providers.voice import Session, Usage

log = structlog.get_logger()

_WALKER: ContextVar[Walker | None] = ContextVar("walker", default=None)  # of this task, and of those that it starts

MEDIA_WITHIN = 5.0  # seconds for the media leg to come up
LEAVE_WITHIN = 2.0  # seconds to give a call back when the engine stops


class Call:
    """One call on a line, under a flow. `run` does everything and leaves nothing behind."""

    def __init__(
        self, line: Line, flow: Flow, library: Library, services: Services, *, fallback: str | None = None,
        account: str | None = None, record: CallRecord | None = None,
    ) -> None:  # fmt: skip
        self.line = line
        self.account = account or flow.account  # whose keys and limits count at the providers; None: the engine's own
        self.fallback = fallback or services.safety_destination  # who is rung when the flow fails
        self.library = library
        self.services = services
        self.is_over = False  # what still runs does so without the caller
        self.live = Live()
        self.steering = Steering(self)
        self._with_person = False
        self.handed_off = False  # a person took the call: that is how it ends, if the flow does not go on
        self.was_cut_off = False  # in the middle of the talk with a person, with whom the call ends
        self.root = Walker(self, flow, {})  # who walks the flow that took the call
        self.record = self._new_record(flow) if record is None else record  # of a call that an earlier engine had
        self.spending = Spending(lowest((flow.max_cost, services.max_cost)), self.record.cost)
        self.course: Callable[[], Awaitable[None]] = self.root.run  # what the call does until it ends
        self._known = known_of(line.facts)
        self.inbox = Inbox()
        self.unkept = asyncio.Event()  # something changed since the call was last saved
        self.recording: Recording | None = None  # the latest, which may be over
        self.taps: tuple[Sides, ...] = ()  # who hears the call: a recording, who listens
        self.is_private = False  # a sensitive step runs: nobody hears the call
        self.ear: Ear | None = None  # who writes down what the caller says, while a step asks for it
        self.talk: tuple[str, Session] | None = None  # the latest: with which voice, and how it was opened
        self._playout: Playout | None = None
        self._early = False  # prompts are heard before the answer
        self._group: asyncio.TaskGroup | None = None
        self._opening = asyncio.Lock()
        self._errands = Errands()
        self._stopped = False  # by the engine, which waits for nothing long

    def _new_record(self, flow: Flow) -> CallRecord:
        facts, now = self.line.facts, self.services.clock.now()
        caller = Leg(id=facts.channel or facts.id, kind="caller", party=facts.caller, started=now)
        return CallRecord(
            id=facts.id, engine=self.services.engine, flow=flow.name, revision=flow.revision,
            direction=facts.direction, did=facts.did, caller=facts.caller, caller_name=facts.caller_name,
            trunk=facts.trunk, started=now, currency=self.services.prices.currency, legs=[caller],
            headers=told_in(facts.headers, secret="call.headers" in self.root.secret),
        )  # fmt: skip

    @property
    def walker(self) -> Walker:
        """Who walks the flow here: in a flow that a tool runs beside the talk another than in the talk itself."""
        walker = _WALKER.get()
        return walker if walker is not None and walker.call is self else self.root

    @walker.setter
    def walker(self, walker: Walker) -> None:
        _WALKER.set(walker)
        self.live.walker = walker

    @property
    def with_person(self) -> bool:
        """A person is connected: the AI's time limits do not count."""
        return self._with_person

    @with_person.setter
    def with_person(self, connected: bool) -> None:
        self._with_person = connected
        self.handed_off = self.handed_off or connected
        self.changed()

    # ── What verbs use ────────────────────────────────────────────────────────────────────────────────────────────────

    def facts(self) -> dict[str, Any]:
        """The read-only part of what expressions see: ``call``, ``caller``, ``tenant``, ``now``."""
        call = self._known["call"] | {"started": self.record.started, "cost": float(self.record.cost)}
        tenant = {"id": self.tenant, **self.services.tenant}
        return {"call": call, "caller": self._known["caller"], "tenant": tenant, "now": self.services.clock.now()}

    @property
    def tenant(self) -> str:
        """Whose call it is: the account's, or the engine's own (empty)."""
        return self.account or str(self.services.tenant.get("id", ""))

    def spent(self, provider: str, usage: Usage) -> None:
        """Something was used beside the answers of a voice: a text model, a prompt that was spoken."""
        count(self, provider, usage)

    def charge(self, amount: Decimal) -> None:
        """Something cost this: it counts towards what the call may cost, and the day."""
        self.record.cost += amount
        self.unkept.set()
        self.services.days.add(self.tenant, amount, self.services.clock.now())
        if self.spending.add(amount):
            told = f"the call cost {written(self.record.cost)} of {written(self.spending.most or amount)} that it may"
            self.said("system", f"{told} ({self.record.currency})")
            log.warning("a call has spent most of what it may cost", cost=str(self.record.cost))

    async def answer(self) -> None:
        """Answer the call, if it is not yet. Raises `LineGone`."""
        if not self.line.is_answered:
            await self.line.answer()
            self.record.answered = self.record.legs[0].answered = self.services.clock.now()

    @property
    def law(self) -> str:
        """The G.711 law of its audio."""
        return self.services.law if self._playout is None else self._playout.law

    @property
    def has_audio(self) -> bool:
        """The engine hears the caller, and can speak."""
        return self._playout is not None and not self._playout.closed.is_set()

    @property
    def has_begun(self) -> bool:
        """Its flow runs, or ran."""
        return self._group is not None

    async def progress(self) -> None:
        """From now on the caller hears prompts although the call is not answered. Raises `LineError`, `LineGone`."""
        if not self.line.is_answered:
            await self.line.progress()
            self._early = True

    async def playout(self, *, early: bool = False) -> Playout:
        """The audio to and from the caller, who is answered; opens the media leg where there is none.

        ``early``: who only speaks need not answer after `progress`. Raises `LineError`, `LineGone`.
        """
        async with self._opening:
            if not (early and self._early):
                await self.answer()
            if self._playout is None or self._playout.closed.is_set():
                try:
                    async with asyncio.timeout(MEDIA_WITHIN):
                        media = await self.line.open_media()
                except TimeoutError:
                    raise LineError(f"no media connection within {MEDIA_WITHIN:.0f} s") from None
                assert self._group is not None, "a call has audio only while it runs"
                self._playout = Playout(media)
                for tap in self.taps:
                    self._playout.tapped(tap)
                unfailing(self._playout.run(), f"playout {self.record.id}", self._group)
            return self._playout

    def tap(self, sides: Sides) -> None:
        """Let somebody hear the call: its audio now, and that of every media leg to come, until `untap`."""
        self.taps = (*self.taps, sides)
        if self.is_private:
            sides.pause()
        if self._playout is not None and self.has_audio:
            self._playout.tapped(sides)

    def untap(self, sides: Sides) -> None:
        """They hear no more."""
        self.taps = tuple(tap for tap in self.taps if tap is not sides)
        if self._playout is not None:
            self._playout.taps = self.taps

    def tell(self, source: Source, name: str, data: Any, *, key: str | None = None) -> Told:
        """Somebody outside tells the call that something happened: for a step that waits for it, now or later.

        ``data`` is a JSON value. Never raises and never waits; what became of it is in the answer.
        """
        return Told("over") if self.is_over or self.line.ended.done() else self.inbox.tell(source, name, data, key)

    def beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside the flow; it is cancelled when the call ends. A mistake in it does not end the call."""
        assert self._group is not None, "a call has company only while it runs"
        unfailing(work, name, self._group)

    def errand(self, work: Coroutine[Any, Any, None], name: str, within: float | None = None) -> None:
        """Run something that the flow does not wait for. When the call is over it has ``within`` seconds left, the time
        of a wind-up if nothing is said; the engine's drain waits for it, its stop does not.
        """
        self._errands.run(work, name, self.services.wind_up if within is None else within)

    def said(self, role: Literal["caller", "voice", "system"], text: str, *, interrupted: bool = False) -> Spoken:
        """Write down something that was said."""
        step, now = self.record.steps[-1].path if self.record.steps else "", self.services.clock.now()
        spoken = Spoken(role=role, text=on_record(text), at=now, step=step, interrupted=interrupted)
        self.record.transcript.append(spoken)
        self.changed(keep=True)
        return spoken

    def changed(self, *, keep: bool = False) -> None:
        """Tell whoever watches that the call is another than before. Costs next to nothing.

        ``keep``: the next engine must know it, should this one die before the step ends.
        """
        if keep:
            self.unkept.set()
        self.services.watch.changed(self)

    def pressed(self, key: str, *, secret: bool | None = None) -> None:
        """Write down a key that a step has read, as hidden when it is part of a secret."""
        step = self.walker.step
        if secret is None:
            secret = step is not None and is_secret(self.walker, step)
        now = self.services.clock.now()
        entry = KeyPress(key=HIDDEN if secret else key, at=now, step="" if step is None else step.path)
        self.record.presses.append(entry)
        self.changed(keep=True)

    async def save(self) -> None:
        """Keep the record as it is now."""
        self.unkept.clear()
        self.changed()
        await self.services.records.save(self.record)

    # ── Its life ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> CallRecord:
        """Run the flow until the call ends. Never raises but on cancellation, and leaves no channel, task or socket."""
        structlog.contextvars.bind_contextvars(call_id=self.record.id, flow=self.record.flow)
        if self.account is not None:
            structlog.contextvars.bind_contextvars(account=self.account)
        with using(self.account):
            return await self._run()

    async def _run(self) -> CallRecord:
        await self.save()
        try:
            await self._live()
        except asyncio.CancelledError:
            self._stopped = True
            self._ended("lost", by="engine", error="the engine was stopped")
            await self._leave_to_dialplan()
            raise
        finally:
            await self._release()
        return self.record

    async def _live(self) -> None:
        try:
            async with beside() as group:
                self._group = group
                group.create_task(keep(self), name=f"keep {self.record.id}")
                if await first_of(self._walk(), self._hung_up(), self.steering.answered()) == 2:
                    await first_of(self._handed_off(), self._hung_up())
        except LineGone:
            self._ended("caller_hung_up", by="caller")
        except Exception as error:
            log.exception("call failed", error=str(error))
            self._ended("failed", by="engine", error=f"{type(error).__name__}: {error}")
        if self.line.ended.done():
            self._ended("caller_hung_up", by="caller", ending=self.line.ended.result())
        await self._wind_up()

    async def _walk(self) -> None:
        """The flow from its first step to its end, whatever that is."""
        try:
            await self.course()
            stop = Stop()
        except Return:
            stop = Stop()
        except Stop as reason:
            stop = reason.with_traceback(None)  # which keeps this frame, and that it: a cycle
        except LineGone:
            raise
        except Exception as error:
            self.record.error = self.record.error or str(error) or type(error).__name__
            log.error(
                "the flow failed and does not say what then", error=str(error), exc_info=not isinstance(error, Leave)
            )
            stop = await rescue(self)
        await self._end(stop)

    async def _end(self, stop: Stop) -> None:
        if self.line.ended.done():
            raise LineGone("the caller hung up while the flow was ending")
        self.record.result = stop.result or self.record.result
        self._ended("handed_off" if self.handed_off else "failed" if stop.failed else "completed", by=stop.by)
        with contextlib.suppress(LineError):
            await self.line.hangup(stop.cause)

    async def _handed_off(self) -> None:
        """What the flow did is over: a supervisor gave the call to a person."""
        await self._end(await self.steering.talk())

    async def _hung_up(self) -> None:
        await asyncio.shield(self.line.ended)

    async def _wind_up(self) -> None:
        """The flow's `hangup` handler: steps that need no caller, in bounded time."""
        self.is_over = True
        try:
            async with asyncio.timeout(self.services.wind_up):
                await self.walker.after_hangup()
        except TimeoutError:
            log.warning("the hangup handler took too long and was stopped", seconds=self.services.wind_up)
        except (Return, Stop):
            pass  # a way out of a handler that has nothing behind it
        except Exception as error:
            log.warning("the hangup handler failed", error=str(error))

    async def _leave_to_dialplan(self) -> None:
        """The engine stops in the middle of the call: what stands behind it takes the caller, not a dead line."""
        if self.was_cut_off or self.line.ended.done():
            return
        with contextlib.suppress(LineError, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN):
                if await self.line.give_back():
                    self.record.result = "given back to the dialplan"

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(self.services.wind_up):
                await asyncio.shield(asyncio.ensure_future(self.line.close()))
        except Exception as error:
            log.error("the line could not be released", error=f"{type(error).__name__}: {error}")
        self._ended("completed", by="flow")
        self.record.input = {
            name: outline(value, secret=True) if f"input.{name}" in self.root.secret else value
            for name, value in self.root.input.items()
        }
        if self.line.ended.done():
            ending, caller = self.line.ended.result(), self.record.legs[0]
            caller.ended, caller.cause, caller.sip_code = self.record.ended, ending.cause, ending.sip_code
            self.record.cause = ending.cause if self.record.cause is None else self.record.cause
        if self._errands:
            await self.save()  # the call is over, whatever is still written about it
            await self._errands.end(self.services.wind_up if self._stopped else float("inf"))
        await self.save()
        structlog.contextvars.unbind_contextvars("call_id", "flow")

    def _ended(self, outcome: str, *, by: str, error: str = "", ending: Ending | None = None) -> None:
        """Note how the call ended; the first to say so is right, but a cause may come later."""
        record = self.record
        if self.steering.hangs_up and outcome != "lost":
            outcome, by = "handed_off" if self.handed_off else "completed", "supervisor"
        if ending is not None and record.cause is None:
            record.cause = ending.cause
        if record.ended is None:
            record.ended = self.services.clock.now()
            record.outcome = "handed_off" if self.handed_off and outcome == "caller_hung_up" else outcome
            record.hangup_by = by  # type: ignore[assignment]
            record.error = record.error or error
            self.changed()
