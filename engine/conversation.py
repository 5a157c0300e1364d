"""Conversation: joins a line and a voice, and obeys `turn.py`.

Three things run while it lasts: the ear (the playout's own task hands caller audio to the voice), the mouth (voice
events; audio goes straight to the line) and the control loop, the only place where turn-taking is decided. Audio never
waits for control.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from engine.audio import Heard
from engine.beside import beside
from engine.comfort import Hold
from engine.minutes import Minutes
from engine.outcome import Outcome
from engine.playout import Playout
from engine.succession import LOST, Seat, Succession
from engine.toolbox import FINISH, LEAVES, Toolbox
from engine.turn import (
    Action,
    CallerPauses,
    CallerSpeaks,
    End,
    Fill,
    FinishAsked,
    Hush,
    PlayedOut,
    RanDry,
    Replaced,
    Reprompt,
    Tick,
    ToolClosed,
    ToolOpened,
    Turn,
    TurnEvent,
    TurnOptions,
    VoiceAsked,
    VoiceCut,
    VoiceEnded,
    VoiceSpeaks,
)  # fmt: skip
from engine.usage import count, settle
from providers.voice import (
    Audio,
    Expiring,
    Failed,
    Interrupted,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolCancelled,
    TurnDone,
    Used,
    UserText,
    VoiceError,
    VoiceEvent,
    VoiceText,
    Warned,
)  # fmt: skip

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

DEAF_AFTER = 3.0  # seconds in which a provider takes no audio or no command: it is gone


@dataclass(frozen=True, slots=True)
class Broken:
    """A voice is gone or useless. ``voice``: which of them; None: the call's own audio is gone."""

    reason: str
    voice: int | None
    code: str = LOST


class Conversation:
    """One `converse` step: `run` talks until there is an outcome, and closes the voices.

    ``seat`` is the voice that begins, connected; ``succession`` knows who goes on when it fails.
    """

    def __init__(
        self, call: Call, playout: Playout, seat: Seat, succession: Succession, toolbox: Toolbox, options: TurnOptions,
        *, greeting: str | None, reprompt: str, bridge: bytes = b"",
    ) -> None:  # fmt: skip
        self._call = call
        self._playout = playout
        self._succession = succession
        self._toolbox = toolbox
        self._greeting = greeting
        self._reprompt = reprompt
        self._bridge = bridge  # what the caller hears while another voice takes over
        self._clock = asyncio.get_running_loop().time
        self._turn = Turn(options, self._clock())
        self._minutes = Minutes(call)
        self._inbox: asyncio.Queue[TurnEvent | Broken] = asyncio.Queue()
        self._item: str | None = None  # the utterance whose audio is arriving
        self._latest: str | None = None  # the utterance that was begun last
        self._cut: str | None = None  # an utterance that was interrupted: the rest of it is dropped
        self._expiring = False  # the provider will end the session soon
        self._open: set[str] = set()  # utterances that were begun and are not ended
        self._paused_at: float | None = None
        self._speech_at: float | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._hold = Hold(playout)
        self._tasks: asyncio.TaskGroup | None = None
        self._speaking: asyncio.Task[None] | None = None  # the mouth
        self._sit(seat)

    def _sit(self, seat: Seat) -> None:
        """This voice talks from now on."""
        self._seat, self._seated = seat, True
        self._voice, self._name, self._capabilities = seat.voice, seat.name, seat.capabilities
        self._turn.options = replace(self._turn.options, duplex=seat.capabilities.duplex)
        self._prefix = f"{seat.number}." if seat.number else ""  # voices may call their utterances alike
        self._metrics = self._call.services.metrics.voice(seat.name)
        self._metrics.sessions.inc()
        self._item = self._latest = self._cut = self._paused_at = self._speech_at = None
        self._open.clear()

    async def run(self) -> Outcome:
        """Talk until the model finishes, a limit is reached, the provider fails or the step is cancelled."""
        self._toolbox.leaving = finished = False
        try:
            async with beside(self._watch_ear(), self._watch_line()) as tasks:
                self._tasks = tasks
                self._begin_to_talk()
                self._playout.on_drained = self._drained
                if self._greeting:
                    await self._say(self._greeting)
                outcome = await self._control()
                finished = True
                return outcome
        finally:
            self._playout.listener = self._playout.on_drained = self._tasks = None
            self._call.line.drop_digits()  # they were meant for this talk
            if self._seated:
                self._close(self._seat)
            if not finished and not self._playout.closed.is_set():
                await asyncio.shield(asyncio.ensure_future(self._silence()))

    def _begin_to_talk(self) -> None:
        assert self._tasks is not None
        self._speaking = self._tasks.create_task(self._mouth(self._seat), name=f"voice {self._name}")
        self._playout.listener = self._voice.send_audio

    def _close(self, seat: Seat) -> None:
        """What comes next does not wait for it."""
        self._call.services.metrics.voice(seat.name).sessions.dec()
        self._call.errand(settle(self._call, seat.voice, seat.name), f"close of {seat.name}")

    # ── Another voice ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take_over(self, reason: str, code: str) -> Outcome | None:
        """The next voice goes on with the talk. The outcome of the step when there is none.

        What was received of the broken one is still played; after it the caller hears the bridge while the next one
        connects.
        """
        old = self._seat
        self._succession.failed(old.name, code)
        if self._turn.leaving is not None or not self._succession.goes_on(old, code):
            return Outcome("provider_error", detail=f"{old.name}: {reason}")
        self._leave_the_seat(old)
        assert self._tasks is not None
        bridging = self._tasks.create_task(self._play_bridge())
        try:
            seat = await self._succession.next()
        except VoiceError as error:
            log.warning("nobody could take over", provider=old.name, reason=reason, error=str(error))
            return Outcome("provider_error", detail=f"{old.name}: {reason}; {error}")
        self._call.said("system", f"{seat.name} took over from {old.name}: {reason}")
        self._call.services.metrics.take_overs.labels(old.name, seat.name).inc()
        log.warning(
            "another voice took over", provider=seat.name, before=old.name, reason=reason, call=self._call.record.id
        )
        await self._go_on(seat)
        await bridging
        return None

    async def _renew(self) -> None:
        """The provider will end the session: a new one of the same goes on, between two turns, unheard."""
        old = self._seat
        try:
            seat = await self._succession.again(old.name)
        except VoiceError as error:
            log.warning(
                "a session could not be renewed", provider=old.name, error=str(error), call=self._call.record.id
            )
            return
        self._leave_the_seat(old)
        self._sit(seat)
        self._begin_to_talk()

    def _leave_the_seat(self, old: Seat) -> None:
        self._playout.listener = None
        if self._speaking is not None:
            self._speaking.cancel()
        for item in self._open:
            self._minutes.note(item, interrupted=True)
        self._seated = False
        self._close(old)

    async def _go_on(self, seat: Seat) -> None:
        """A voice that knows what was said answers what is open; one that comes before the first word greets."""
        heard_nothing = "first_audio_ms" not in self._call.record.timings and self._greeting
        self._sit(seat)
        self._begin_to_talk()
        for action in self._turn.handle(Replaced(), self._clock()):
            await self._do(action)
        if heard_nothing and self._greeting:
            await self._say(self._greeting)
        else:
            await self._tell(self._voice.answer())

    async def _play_bridge(self) -> None:
        if self._bridge and not self._playout.closed.is_set():
            await self._playout.send(self._playout.name("bridge"), self._bridge)

    # ── The mouth: what the voice does ────────────────────────────────────────────────────────────────────────────────

    async def _mouth(self, seat: Seat) -> None:
        send, prefix = self._playout.send, self._prefix
        async for event in seat.voice.events():
            if prefix and isinstance(event, Audio | VoiceText | TurnDone) and event.item is not None:
                event = replace(event, item=prefix + event.item)
            if type(event) is Audio:
                if event.item == self._cut:
                    continue
                if event.item != self._item:
                    self._begin(event.item)
                    await self._hold.stop()
                await send(event.item, event.data)
            else:
                await self._on_event(event)
        self._post(Broken("the session ended", seat.number))

    def _begin(self, item: str) -> None:
        """The first audio of an utterance (or of its rest, after it ran dry)."""
        self._item = self._latest = item
        self._open.add(item)
        self._speech_at = None  # whoever spoke had spoken into silence
        if self._paused_at is not None:
            self._metrics.turn_response.observe(self._clock() - self._paused_at)
            self._paused_at = None
        self._call.record.timings.setdefault("first_audio_ms", self._since_start())
        self._post(VoiceSpeaks(item))

    async def _on_event(self, event: VoiceEvent) -> None:
        match event:
            case SpeechStarted():
                await self._hold.stop()
                if not self._capabilities.duplex:
                    self._speech_at = time.perf_counter()
                if self._turn.options.allow_interruptions and not self._capabilities.duplex:
                    self._cut, self._item = self._latest, None
                self._post(CallerSpeaks())
            case SpeechStopped():
                self._paused_at, self._speech_at = None if self._capabilities.duplex else self._clock(), None
                self._toolbox.turns += 1
                self._post(CallerPauses())
            case Interrupted():
                self._speech_at = self._speech_at or time.perf_counter()
                self._cut, self._item = self._latest, None
                self._post(VoiceCut())
            case VoiceText(text, item, final):
                self._minutes.add(item, text, final=final)
            case UserText(text, final, _):
                if final and text.strip():
                    self._call.said("caller", text.strip())
                    if not self._capabilities.turn_detection:
                        self._toolbox.turns += 1
            case TurnDone():
                await self._turn_done(event)
            case Used(usage):
                count(self._call, self._name, usage, turn=False)
            case ToolCall():
                await self._tool_call(event)
            case ToolCancelled(id):
                if (task := self._running.get(id)) is not None:
                    task.cancel()
            case Failed(message, code, recoverable):
                self._failed(message, code, recoverable)
            case Warned(message, code):
                log.warning("the provider warns", provider=self._name, code=code, message=message)
            case Expiring(seconds):
                log.info("the provider will end the session", provider=self._name, seconds=seconds)
                self._expiring = True

    async def _turn_done(self, event: TurnDone) -> None:
        count(self._call, self._name, event.usage)
        item = event.item
        failed = event.status == "failed"
        if failed:
            log.warning("the provider failed to answer", provider=self._name, detail=event.detail)
            self._call.services.metrics.provider_errors.labels(self._name, "turn").inc()
        if item is None or item not in self._open:
            self._post(VoiceEnded(spoke=False, failed=failed))
            return
        self._open.discard(item)
        if not failed:
            self._succession.spoke(self._name)
        self._minutes.note(item, interrupted=event.status == "interrupted")
        if self._item == item:
            self._item = None
        if item != self._cut:
            ended = await self._playout.finish(item)
            ended.add_done_callback(lambda _: self._post(PlayedOut(item)))
        self._post(VoiceEnded(spoke=True, failed=failed))

    def _failed(self, message: str, code: str, recoverable: bool) -> None:
        log.warning("the provider reports an error", provider=self._name, code=code, message=message)
        if not recoverable:
            self._post(Broken(f"{code}: {message}" if code else message, self._seat.number, code or "error"))
        else:
            self._call.services.metrics.provider_errors.labels(self._name, code or "error").inc()

    def _drained(self) -> None:
        """Nothing is left to play; if an utterance is still open, its voice owes the rest."""
        if self._item is not None and self._item in self._open:
            self._item = None  # more audio of it counts as a beginning
            self._post(RanDry())

    async def _watch_line(self) -> None:
        """The line's audio may break while the call lives: then the flow decides. (It also ends with the call.)"""
        await self._playout.lost()
        self._post(Broken("the audio of the call was lost", None))

    async def _watch_ear(self) -> None:
        """A provider that takes no audio blocks the ear, and with it everything that the leg reports."""
        while True:
            await self._playout.keep_fed(lambda quiet: self._tell(self._voice.send_audio(quiet), "audio"), DEAF_AFTER)
            self._post(Broken(f"it took no audio for {DEAF_AFTER:.0f} s", self._seat.number, "deaf"))

    # ── Control: turn-taking ──────────────────────────────────────────────────────────────────────────────────────────

    def _post(self, event: TurnEvent | Broken) -> None:
        self._inbox.put_nowait(event)

    async def _control(self) -> Outcome:
        while True:
            event = await self._next()
            outcome: Outcome | None = None
            if isinstance(event, Broken):
                if event.voice is None:
                    outcome = Outcome("provider_error", detail=f"{self._name}: {event.reason}")
                elif event.voice == self._seat.number:
                    outcome = await self._take_over(event.reason, event.code)
                if outcome is not None:
                    return outcome
                continue
            for action in self._turn.handle(event, self._clock()):
                outcome = await self._do(action)
                if outcome is not None:
                    return outcome
            if self._expiring and self._turn.quiet_since is not None:
                self._expiring = False
                await self._renew()

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
            case Fill(tool):
                used = self._toolbox.tools[tool.split(" ", 1)[0]]
                if used.filler:
                    await self._say(used.filler)
                elif used.sound is not None and self._tasks is not None:
                    self._hold.start(used.sound, self._tasks)
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
        if self._speech_at is not None:  # else nobody spoke: a farewell was too long
            took = time.perf_counter() - self._speech_at  # finer than the loop's clock
            self._call.services.metrics.barge_in.inc()
            self._call.services.metrics.barge_in_stop.observe(took)
            self._call.record.timings["barge_in_ms"] = round(took * 1000, 2)
            self._speech_at = None
        if not self._capabilities.turn_detection:
            await self._tell(self._voice.interrupt())
        for heard in cut:
            if self._capabilities.truncation and heard.item.startswith(self._prefix):
                await self._tell(self._voice.truncate(heard.item.removeprefix(self._prefix), heard.played_ms))

    async def _silence(self) -> list[Heard]:
        """Silence the line; what was cut off, which is noted."""
        cut = await self._playout.flush()
        for heard in cut:
            self._minutes.note(heard.item, interrupted=True)
        return cut

    async def _say(self, text: str) -> None:
        self._post(VoiceAsked())  # first: the audio may come before the command is confirmed
        await self._tell(self._voice.say(text))

    async def _tell(self, command: Awaitable[None], what: str = "command") -> None:
        """Give the voice something. A provider that does not take it in time is gone."""
        try:
            async with asyncio.timeout(DEAF_AFTER):
                await command
        except TimeoutError:
            self._post(Broken(f"it took no {what} for {DEAF_AFTER:.0f} s", self._seat.number, "deaf"))

    # ── Tools ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _tool_call(self, call: ToolCall) -> None:
        if call.name == FINISH and self._toolbox.exits:
            exit, problem = self._toolbox.finish(call.arguments)
            if exit is None:
                self._post(VoiceAsked())
                return await self._tell(self._voice.tool_result(call.id, json.dumps({"error": problem})))
            await self._tell(self._voice.tool_result(call.id, '{"ok": true}', respond=False))
            return self._leave(exit)
        assert self._tasks is not None
        task = self._tasks.create_task(self._use_tool(call, self._seat), name=f"tool {call.name}")
        self._running[call.id] = task
        return None

    async def _use_tool(self, call: ToolCall, asked_by: Seat) -> None:
        tool = self._toolbox.tools.get(call.name)
        key = f"{call.name} {asked_by.number}{call.id}"
        self._post(ToolOpened(key, None if tool is None else tool.fills_after))
        owed = False
        try:
            answer = await self._toolbox.use(call.name, call.arguments)
            leaves = self._toolbox.leaves(call.name, answer)
            owed = not (leaves or self._toolbox.leaving)
        finally:
            self._running.pop(call.id, None)
            self._post(ToolClosed(key, owed=owed))
            if not self._running:
                await self._hold.stop()
        self._succession.learn(call.name, json.dumps(dict(call.arguments)), answer)
        if self._toolbox.leaving:  # an answer would be spoken into the farewell
            return
        if asked_by is self._seat:
            await self._tell(self._voice.tool_result(call.id, answer, respond=owed))
        elif owed:  # whoever asked is gone: the voice that took over is told
            await self._tell(self._voice.update(instructions=self._succession.instructions(self._name)))
            await self._tell(self._voice.answer())
        if leaves:
            self._leave(LEAVES + call.name)

    def _leave(self, exit: str) -> None:
        self._toolbox.leaving = True
        self._post(FinishAsked(exit))

    def _since_start(self) -> float:
        return round((self._call.services.clock.now() - self._call.record.started).total_seconds() * 1000, 2)
