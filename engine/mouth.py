"""The mouth of a talk: what one voice says and does. Audio goes straight to the line; the rest is told to the
conversation, which decides.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from engine.audio import Heard
from engine.line import LineError
from engine.outcome import Leave
from engine.succession import Broken, Seat
from engine.turn_events import CallerPauses, CallerSpeaks, PlayedOut, RanDry, VoiceCut, VoiceEnded, VoiceSpeaks
from engine.usage import count
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
    VoiceEvent,
    VoiceText,
    Warned,
)  # fmt: skip

if TYPE_CHECKING:
    from engine.conversation import Conversation

log = structlog.get_logger()


class Mouth:
    """One voice at work, for as long as it has the seat. `run` reads its events to their end."""

    def __init__(self, talk: Conversation, seat: Seat) -> None:
        self._talk = talk
        self._call = talk.call
        self._playout = talk.playout
        self._clock = talk.clock
        self._seat = seat
        self._prefix = f"{seat.number}." if seat.number else ""  # voices may call their utterances alike
        self._metrics = talk.call.services.metrics.voice(seat.name)
        self.item: str | None = None  # the utterance whose audio is arriving
        self._latest: str | None = None  # the utterance that was begun last
        self._cut: str | None = None  # an utterance that was interrupted: the rest of it is dropped
        self._open: set[str] = set()  # utterances that were begun and are not ended
        self._called = False  # the answer that is being given calls tools
        self._reports = False  # it tells when the caller begins to speak
        self._paused_at: float | None = None
        self.speech_at: float | None = None  # the caller began to speak over it, by `time.perf_counter`
        self.expiring = False  # the provider will end the session soon

    async def run(self) -> None:
        """Say and do what the voice says and does, until its session ends or it fails."""
        try:
            await self._read()
        except (Leave, LineError):
            raise
        except Exception as error:
            self._talk.broke(self._seat, error)
        else:
            self._talk.post(Broken("the session ended", self._seat.number))

    async def _read(self) -> None:
        talk, send, prefix = self._talk, self._playout.send, self._prefix
        async for event in self._seat.voice.events():
            if prefix and isinstance(event, Audio | VoiceText | TurnDone) and event.item is not None:
                event = replace(event, item=prefix + event.item)
            if type(event) is Audio:
                if event.item == self._cut:
                    continue
                if event.item != self.item:
                    self._begin(event.item)
                    await talk.hold.stop()
                await send(event.item, event.data)
            else:
                await self._on_event(event)

    def leave(self) -> None:
        """It talks no more: what it was saying is cut off."""
        for item in self._open:
            self._talk.minutes.note(item, interrupted=True)

    async def breaks_off(self) -> None:
        """Nothing more comes of what it was saying; the end of what came is told as the end of any utterance."""
        for item in self._open - {self._cut}:
            self._talk.minutes.note(item, interrupted=True)
            await self._ends(item)
        self._open.clear()
        self.item = None

    async def _ends(self, item: str) -> None:
        ended = await self._playout.finish(item)
        ended.add_done_callback(lambda _: self._talk.post(PlayedOut(item)))

    def drained(self) -> None:
        """Nothing is left to play; if an utterance is still open, its voice owes the rest."""
        if self.item is not None and self.item in self._open:
            self.item = None  # more audio of it counts as a beginning
            self._talk.post(RanDry())

    async def told_what_was_heard(self, cut: list[Heard]) -> None:
        """The line was silenced: the voice is told how much of its utterances was played."""
        for heard in cut:
            if self._seat.capabilities.truncation and heard.item.startswith(self._prefix):
                item = heard.item.removeprefix(self._prefix)
                await self._talk.tell(self._seat.voice.truncate(item, heard.played_ms))

    def _begin(self, item: str) -> None:
        """The first audio of an utterance (or of its rest, after it ran dry)."""
        self.item = self._latest = item
        self._called = False
        self._open.add(item)
        self.speech_at = None  # whoever spoke had spoken into silence
        if self._paused_at is not None:
            self._metrics.turn_response.observe(self._clock() - self._paused_at)
            self._call.live.response_ms = round((self._clock() - self._paused_at) * 1000)
            self._paused_at = None
        self._call.record.timings.setdefault("first_audio_ms", self._since_start())
        self._talk.post(VoiceSpeaks(item))

    async def _on_event(self, event: VoiceEvent) -> None:
        talk = self._talk
        match event:
            case SpeechStarted():
                await talk.hold.stop()
                self._reports = True
                if not self._seat.capabilities.duplex:  # else it stops by itself, if it does
                    self._spoken_over()
                talk.post(CallerSpeaks())
            case SpeechStopped():
                self.speech_at, self._reports = None, True
                talk.toolbox.turns += 1
                self._caller_pauses()
            case Interrupted():
                self.speech_at = self.speech_at or time.perf_counter()
                self._cut, self.item = self._latest, None
                talk.post(VoiceCut())
            case VoiceText(text, item, final):
                talk.minutes.add(item, text, final=final)
            case UserText(text, final, _):
                self._heard(text.strip(), final)
            case TurnDone():
                await self._turn_done(event)
            case Used(usage):
                count(self._call, self._seat.name, usage, turn=False)
            case ToolCall():
                self._called = True
                await talk.use_tool(event)
            case ToolCancelled(id):
                talk.tool_calls.cancel(id)
            case Failed(message, code, recoverable):
                self._failed(message, code, recoverable)
            case Warned(message, code):
                log.warning("the provider warns", provider=self._seat.name, code=code, message=message)
            case Expiring(seconds):
                log.info("the provider will end the session", provider=self._seat.name, seconds=seconds)
                self.expiring = True
                talk.renew_between_turns()

    def _spoken_over(self) -> None:
        self.speech_at = time.perf_counter()
        if self._talk.interruptible:
            self._cut, self.item = self._latest, None

    def _caller_pauses(self) -> None:
        self._paused_at = None if self._seat.capabilities.duplex else self._clock()
        self._talk.post(CallerPauses())

    def _heard(self, words: str, final: bool) -> None:
        self._call.live.caller_says = "" if final else words
        self._call.changed()
        if final and words:
            self._call.said("caller", words)
            if not self._seat.capabilities.turn_detection:
                self._talk.toolbox.turns += 1
        elif words and not self._reports:  # nothing else tells that the caller spoke, and waits from now on
            self._caller_pauses()

    async def _turn_done(self, event: TurnDone) -> None:
        count(self._call, self._seat.name, event.usage)
        item, called = event.item, self._called
        failed, self._called = event.status == "failed", False
        if failed:
            log.warning("the provider failed to answer", provider=self._seat.name, detail=event.detail)
            self._call.services.metrics.provider_errors.labels(self._seat.name, "turn").inc()
        if item is None or item not in self._open:
            empty = item is None and event.status == "completed" and not called
            self._talk.post(VoiceEnded(spoke=False, failed=failed, empty=empty))
            return
        self._open.discard(item)
        if not failed:
            self._talk.succession.spoke(self._seat.name)
        self._talk.minutes.note(item, interrupted=event.status == "interrupted")
        self._call.changed(keep=True)
        if self.item == item:
            self.item = None
        if item != self._cut:
            await self._ends(item)
        self._talk.post(VoiceEnded(spoke=True, failed=failed))

    def _failed(self, message: str, code: str, recoverable: bool) -> None:
        log.warning("the provider reports an error", provider=self._seat.name, code=code, message=message)
        if not recoverable:
            self._talk.post(Broken(f"{code}: {message}" if code else message, self._seat.number, code or "error"))
        else:
            self._call.services.metrics.provider_errors.labels(self._seat.name, code or "error").inc()

    def _since_start(self) -> float:
        return round((self._call.services.clock.now() - self._call.record.started).total_seconds() * 1000, 2)
