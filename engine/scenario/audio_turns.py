"""Whose turn it is in a call by audio: when the flow owes the caller something, and when it listens or leaves them
alone. Only silence that is owed counts (`engine.scenario.hearing`)."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.record import StepTrace
from engine.scenario.audio_line import AudioLine
from engine.scenario.audio_voice import AudioProvider, AudioVoice
from engine.scenario.hearing import Span
from engine.scenario.trace import Trace

# Steps that wait for the caller, or are a pause that the author wanted.
LISTENING: Final = frozenset({"gather", "menu", "wait", "wait_for", "detect_machine", "voicemail"})
EVERY: Final = 0.1  # seconds between two looks


class Turns:
    """Looks whose turn it is while the call lives."""

    def __init__(self, line: AudioLine, voice: AudioProvider) -> None:
        self.trace: Trace | None = None  # once the call begins
        self.listens: list[Span] = []  # when the flow owed nothing (the loop's clock, s)
        self.interruptions: list[float] = []  # when the caller began to speak, and the engine was to stop
        self._line = line
        self._voice = voice

    async def watch(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            if self._owes_nothing():
                again = bool(self.listens) and now - self.listens[-1][1] < 2 * EVERY
                if again:
                    self.listens[-1] = self.listens[-1][0], now
                else:
                    self.listens.append((now, now))
            await asyncio.sleep(EVERY)

    def spoken(self) -> None:
        """The caller begins to speak now, whoever listens."""
        media = self._line.media
        if media is not None and media.is_playing and any(map(self._is_interruptible, self._running())):
            self.interruptions.append(asyncio.get_running_loop().time())

    def _owes_nothing(self) -> bool:
        if self._line.connected is not None:
            return True
        media = self._line.media
        if media is not None and media.is_playing:
            return False
        running = {step.verb for step in self._running()}
        if running & LISTENING:
            return True
        voice = self._talking()
        return "converse" in running and voice is not None and not voice.owes

    def _talking(self) -> AudioVoice | None:
        voice = self._voice.voices[-1] if self._voice.voices else None
        return voice if isinstance(voice, AudioVoice) and not voice.closed else None

    def _running(self) -> list[StepTrace]:
        return [] if self.trace is None else [step for step in self.trace.steps if step.outcome is None]

    def _is_interruptible(self, running: StepTrace) -> bool:
        """As its author says."""
        assert self.trace is not None
        flows = self.trace.call.library.flows.values()
        steps = (step for flow in flows for step in flow.walk())
        found = next((step for step in steps if (str(step.where), step.path) == (running.where, running.path)), None)
        return found is not None and getattr(found.fields, "interruptible", None) in (True, "speech", "any")
