"""Conversation: joins a line and a voice, and obeys `turn.py`.

Three things run while it lasts: the ear (the playout's own task hands caller audio to the voice), the mouth
(`engine.mouth`: voice events; audio goes straight to the line) and the control loop, the only place where turn-taking
is decided. Audio never waits for control.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from engine.audio import BYTES_PER_MS, Heard
from engine.beside import beside
from engine.comfort import Hold, music
from engine.ear import listen
from engine.minutes import Minutes
from engine.mouth import Mouth
from engine.outcome import Outcome
from engine.playout import Playout
from engine.succession import Broken, Seat, Succession
from engine.tool_calls import ToolCalls
from engine.toolbox import Toolbox
from engine.turn import Turn, TurnOptions
from engine.turn_events import (
    Action,
    CallerSounds,
    Comfort,
    End,
    Fill,
    Hush,
    Nudge,
    Replaced,
    Reprompt,
    Tick,
    TurnEvent,
    VoiceAsked,
)  # fmt: skip
from providers.voice import ToolCall, VoiceError

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

DEAF_AFTER = 3.0  # seconds in which a provider takes no audio or no command: it is gone
AFTER_BRIDGE = 1.0  # seconds between the bridge and the music, when nobody has taken over yet


class Conversation:
    """One `converse` step: `run` talks until there is an outcome, and closes the voices.

    ``seat`` is the voice that begins, connected; ``succession`` knows who goes on when it fails. ``bridge``: what the
    caller hears while another voice takes over, as soon as it is spoken; it raises nothing.
    """

    def __init__(
        self, call: Call, playout: Playout, seat: Seat, succession: Succession, toolbox: Toolbox, options: TurnOptions,
        *, greeting: str | None, reprompt: str, bridge: asyncio.Future[bytes] | None = None,
        waiting_since: float | None = None,
    ) -> None:  # fmt: skip
        self.call = call
        self.playout = playout
        self.toolbox = toolbox
        self.clock = asyncio.get_running_loop().time
        self.minutes = Minutes(call)
        self.hold = Hold(playout)
        self.tool_calls = ToolCalls(self, toolbox, succession, self.hold)
        self.succession = succession
        self._greeting = greeting
        self._reprompt = reprompt
        self._bridge = bridge
        self._turn = Turn(options, self.clock(), waiting_since=waiting_since)
        self._inbox: asyncio.Queue[TurnEvent | Broken] = asyncio.Queue()
        self._tasks: asyncio.TaskGroup | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._sit(seat)

    @property
    def interruptible(self) -> bool:
        """Whether the caller may speak over the voice."""
        return self._turn.options.allow_interruptions

    def _sit(self, seat: Seat) -> None:
        """This voice talks from now on."""
        self.seat = seat
        self._voice = seat.voice
        self._turn.options = replace(self._turn.options, duplex=seat.capabilities.duplex)
        self._mouth = Mouth(self, seat)
        self.call.live.voice = seat.name

    async def run(self) -> Outcome:
        """Talk until the model finishes, a limit is reached, the provider fails or the step is cancelled."""
        self.toolbox.leaving = finished = False
        self.call.live.turn = self._turn
        try:
            async with beside(self._watch_ear(), self._watch_line(), listen(self.playout, self._sounds)) as tasks:
                self._tasks = tasks
                self._begin_to_talk()
                if self._greeting:
                    await self._say(self._greeting)
                outcome = await self._control()
                finished = True
                return outcome
        finally:
            self.playout.listener = self.playout.on_drained = self.playout.on_failed = self._tasks = None
            self.call.live.turn = None
            self.call.live.caller_says = self.call.live.voice_says = ""
            self.call.line.drop_digits()  # they were meant for this talk
            self.succession.end()
            if not finished and not self.playout.closed.is_set():
                await asyncio.shield(asyncio.ensure_future(self._silence()))

    def _begin_to_talk(self) -> None:
        assert self._tasks is not None
        self._speaking = self._tasks.create_task(self._mouth.run(), name=f"voice {self.seat.name}")
        self.playout.listener, self.playout.on_drained = self._voice.send_audio, self._mouth.drained
        self.playout.on_failed = partial(self.broke, self.seat)

    # ── Another voice ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take_over(self, reason: str, code: str) -> Outcome | None:
        """The next voice goes on with the talk. The outcome of the step when there is none.

        What was received of the broken one is still played; after it the caller hears the bridge while the next one
        connects.
        """
        old = self.seat
        self.succession.failed(old.name, code)
        if self._turn.leaving is not None:  # the way out is known: what was received of the farewell is still heard
            await self._mouth.breaks_off()
            self._leave_the_seat(old)
            return None
        if not self.succession.goes_on(old, code):
            return Outcome("provider_error", detail=f"{old.name}: {reason}")
        self._leave_the_seat(old)
        assert self._tasks is not None
        await self.hold.stop()
        bridge = self._bridge.result() if self._bridge is not None and self._bridge.done() else b""
        await self.playout.send(self.playout.name("bridge"), bridge)
        self._keep_company(len(bridge) / BYTES_PER_MS / 1000 + AFTER_BRIDGE)
        try:
            seat = await self.succession.next(old, reason)
        except VoiceError as error:
            return Outcome("provider_error", detail=f"{old.name}: {reason}; {error}")
        finally:
            await self.hold.stop()
        await self._go_on(seat)
        return None

    def renew_between_turns(self) -> None:
        """The provider will end the session: a new one of the same is connected beside the talk."""
        since, mouth = self._turn.quiet_since, self._mouth
        if mouth.expiring and since is not None and self._renewing is None and self._tasks is not None:
            self._renewing = self._tasks.create_task(self._renew(mouth, since), name="renewal")

    async def _renew(self, mouth: Mouth, quiet_since: float) -> None:
        """It takes the seat, unheard, if nobody has spoken since; else another one is tried when nobody speaks again.

        Between the look and the change nothing can happen: what is said belongs to the one session or to the other.
        """
        old = self.seat
        try:
            seat = await self.succession.again(old.name)
        except VoiceError:
            mouth.expiring = False  # it talks on as long as it may
            return
        finally:
            self._renewing = None
        if self._turn.quiet_since != quiet_since or self._turn.leaving is not None or not self._inbox.empty():
            self.succession.leave(seat)
            self.renew_between_turns()
        else:
            self._leave_the_seat(old)
            self._sit(seat)
            self._begin_to_talk()

    def _leave_the_seat(self, old: Seat) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        self.playout.listener = None
        if self._speaking is not None:
            self._speaking.cancel()
        self._mouth.leave()
        self.succession.leave(old)

    async def _go_on(self, seat: Seat) -> None:
        """A voice that knows what was said answers what is open; one that comes before the first word greets."""
        heard_nothing = "first_audio_ms" not in self.call.record.timings and self._greeting
        self._sit(seat)
        self._begin_to_talk()
        for action in self._turn.handle(Replaced(), self.clock()):
            await self._do(action)
        if self.succession.has_news:  # a tool has answered while it was connected
            await self.tell(self._voice.update(instructions=self.succession.instructions(seat.name)))
        if heard_nothing and self._greeting:
            await self._say(self._greeting)
        else:
            await self.tell(self._voice.answer())

    # ── The line and the ear ──────────────────────────────────────────────────────────────────────────────────────────

    async def _watch_line(self) -> None:
        """The line's audio may break while the call lives: then the flow decides. (It also ends with the call.)"""
        await self.playout.lost()
        self.post(Broken("the audio of the call was lost", None))

    async def _watch_ear(self) -> None:
        """A provider that takes no audio blocks the ear, and with it everything that the leg reports."""
        while True:
            await self.playout.keep_fed(lambda quiet: self.tell(self._voice.send_audio(quiet), "audio"), DEAF_AFTER)
            self._deaf()

    def _sounds(self, loud: bool) -> None:
        if loud or self._turn.awaits_silence:
            self.post(CallerSounds(loud))

    def _keep_company(self, after: float = 0.0) -> None:
        """Music, from so many seconds on, until somebody speaks."""

        async def sound() -> bytes:
            await asyncio.sleep(after)
            return music(self.playout.law)

        if self._tasks is not None:
            self.hold.start(sound, self._tasks)

    async def use_tool(self, call: ToolCall) -> None:
        """The voice asks for a tool, which runs beside the talk."""
        assert self._tasks is not None
        await self.tool_calls.take(call, self._tasks)

    def _deaf(self, what: str = "audio") -> None:
        self.post(Broken(f"it took no {what} for {DEAF_AFTER:.0f} s", self.seat.number, "deaf"))

    # ── Control: turn-taking ──────────────────────────────────────────────────────────────────────────────────────────

    def post(self, event: TurnEvent | Broken) -> None:
        """Let the control loop decide about it."""
        self._inbox.put_nowait(event)

    async def _control(self) -> Outcome:
        while True:
            event = await self._next()
            outcome: Outcome | None = None
            if isinstance(event, Broken):
                if event.voice is None:
                    outcome = Outcome("provider_error", detail=f"{self.seat.name}: {event.reason}")
                elif event.voice == self.seat.number and self.succession.talks(self.seat):
                    outcome = await self._take_over(event.reason, event.code)
                if outcome is not None:
                    return outcome
                continue
            comforted, actions = self._turn.comforting, self._turn.handle(event, self.clock())
            self.call.changed()
            for action in actions:
                outcome = await self._do(action)
                if outcome is not None:
                    return outcome
            if comforted and not self._turn.comforting:
                await self.hold.stop()
            self.renew_between_turns()

    async def _next(self) -> TurnEvent | Broken:
        try:
            async with asyncio.timeout_at(self._turn.deadline()):
                return await self._inbox.get()
        except TimeoutError:
            return Tick()

    async def _do(self, action: Action) -> Outcome | None:
        match action:
            case Hush():
                await self._hush()
            case Reprompt():
                await self._say(self._reprompt)
            case Comfort():
                if self._mouth.item is None:  # else it begins to speak just now
                    self._keep_company()
            case Nudge():
                await self.tell(self._voice.answer())
            case Fill(tool):
                used = self.toolbox.tools[tool.split(" ", 1)[0]]
                if used.filler:
                    await self._say(used.filler)
                elif used.sound is not None and self._tasks is not None:
                    if self._turn.comforting:
                        await self.hold.stop()
                    self.hold.start(used.sound, self._tasks)
            case End("exit", exit):
                return Outcome(exit)
            case End("stalled"):
                return await self._take_over(f"no audio for {self._turn.options.answer_within:g} s", "stalled")
            case End("failed"):
                return await self._take_over(f"{self._turn.failures} answers failed", "turn")
            case End("max_turns"):
                return Outcome("max_duration", detail=f"{self._turn.turns} turns")
            case End(reason):
                return Outcome(reason)
        return None

    async def _hush(self) -> None:
        """Silence the line first; then tell the voice what was heard, in milliseconds really played."""
        cut = await self._silence()
        mouth = self._mouth
        if mouth.speech_at is not None:  # else nobody spoke: a farewell was too long
            took = time.perf_counter() - mouth.speech_at  # finer than the loop's clock
            self.call.services.metrics.barge_in.inc()
            self.call.services.metrics.barge_in_stop.observe(took)
            self.call.record.timings["barge_in_ms"] = round(took * 1000, 2)
            mouth.speech_at = None
        if not self.seat.capabilities.turn_detection:
            await self.tell(self._voice.interrupt())
        await mouth.told_what_was_heard(cut)

    async def _silence(self) -> list[Heard]:
        """Silence the line; what was cut off, which is noted."""
        cut = await self.playout.flush()
        for heard in cut:
            self.minutes.note(heard.item, interrupted=True)
        return cut

    async def _say(self, text: str) -> None:
        self.minutes.asked(text)
        self.post(VoiceAsked())  # first: the audio may come before the command is confirmed
        await self.tell(self._voice.say(text))

    async def tell(self, command: Awaitable[None], what: str = "command") -> None:
        """Give the voice something. A provider that does not take it in time is gone."""
        try:
            async with asyncio.timeout(DEAF_AFTER):
                await command
        except TimeoutError:
            self._deaf(what)
        except Exception as error:
            self.broke(self.seat, error)

    def broke(self, seat: Seat, error: Exception) -> None:
        """A voice, perhaps a plugin's, failed in a way of its own: the next one goes on."""
        if isinstance(error, VoiceError):
            self.post(Broken(str(error), seat.number, error.code or "error"))
        else:
            log.error("a voice failed in a way that it does not know", provider=seat.name, exc_info=error)
            self.post(Broken(f"{type(error).__name__}: {error}", seat.number, "error"))
