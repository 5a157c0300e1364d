"""Whose turn it is in a call by audio: when the flow owes the caller something, and when it listens or leaves them
alone. Only silence that is owed counts (`engine.scenario.hearing`)."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.scenario.audio_line import AudioLine
from engine.scenario.audio_voice import AudioProvider, AudioVoice
from engine.scenario.hearing import Span
from engine.scenario.trace import Trace

# Steps that wait for the caller, or are a pause that the author wanted.
LISTENING: Final = frozenset({"gather", "menu", "wait", "wait_for", "detect_machine", "voicemail"})
EVERY: Final = 0.1  # seconds between two looks


class Turns:
    """Looks whose turn it is while the call lives."""

    def __init__(self, trace: Trace, line: AudioLine, voice: AudioProvider) -> None:
        self.listens: list[Span] = []  # when the flow owed nothing (the loop's clock, s)
        self._trace = trace
        self._line = line
        self._voice = voice
        flows = trace.call.library.flows.values()
        self._fields = {(str(step.where), step.path): step.fields for flow in flows for step in flow.walk()}

    async def watch(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            if self._owes_nothing():
                again = bool(self.listens) and now - self.listens[-1][1] < 2 * EVERY
                self.listens[-1:] = [(self.listens[-1][0], now)] if again else [*self.listens[-1:], (now, now)]
            await asyncio.sleep(EVERY)

    def interrupts(self) -> bool:
        """Whether the engine speaks now, and is to stop when the caller does."""
        media = self._line.media
        return media is not None and media.is_playing and any(map(self._is_interruptible, self._running()))

    def _owes_nothing(self) -> bool:
        if self._line.connected is not None:
            return True
        media = self._line.media
        if media is not None and media.is_playing:
            return False
        running = {verb for verb, _ in self._running()}
        if running & LISTENING:
            return True
        voice = self._talking()
        return "converse" in running and voice is not None and not voice.owes

    def _talking(self) -> AudioVoice | None:
        voice = self._voice.voices[-1] if self._voice.voices else None
        return voice if isinstance(voice, AudioVoice) and not voice.closed else None

    def _running(self) -> list[tuple[str, object]]:
        """Verb and fields of the steps that run."""
        steps = (step for step in self._trace.steps if step.outcome is None)
        return [(step.verb, self._fields.get((step.where, step.path))) for step in steps]

    @staticmethod
    def _is_interruptible(running: tuple[str, object]) -> bool:
        return getattr(running[1], "interruptible", None) in (True, "speech", "any")
