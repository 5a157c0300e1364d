"""Speech to text in a test by audio: it hears that somebody spoke and has ended; the words it takes from the script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from providers.energy import EnergyDetector
from providers.parts import Heard
from providers.voice import AudioFormat, SpeechStarted, SpeechStopped, UserText, VoiceError

if TYPE_CHECKING:
    from engine.scenario.audio_voice import AudioProvider


class AudioRecogniser:
    """Satisfies `providers.parts.Recogniser`. An answer ends when it is quiet and the caller has no more to say."""

    def __init__(self, provider: AudioProvider, format: AudioFormat, min_silence: float) -> None:
        self._provider = provider
        self._ears = EnergyDetector(format, min_silence_ms=int(min_silence * 1000))
        self._events: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._heard = False  # somebody spoke, whose words were not told yet
        self._closed = False

    async def connect(self) -> None:
        """Open it. Raises `VoiceError` when the test says so."""
        if isinstance(self._provider.connects_after, VoiceError):
            raise self._provider.connects_after

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard, until it is closed or has finished."""
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        """Hear the caller."""
        if self._closed:
            return
        for edge in self._ears.feed(audio):
            if edge.speaking and not self._heard:
                self._heard = True
                self._events.put_nowait(SpeechStarted())
        self.line_ended()

    def line_ended(self) -> None:
        """Tell what was said, if somebody spoke, it is quiet, and the caller has no more to say."""
        if self._heard and not self._ears.speaking and not self._provider.speaking:
            self._tell()

    async def finish(self) -> None:
        """No more audio comes: what was heard is told now."""
        if self._heard:
            self._tell()
        self._events.put_nowait(None)

    async def close(self) -> None:
        """End it. Idempotent."""
        self._closed = True
        self._events.put_nowait(None)

    def _tell(self) -> None:
        self._heard = False
        self._events.put_nowait(SpeechStopped())
        self._events.put_nowait(UserText(self._provider.understood()))
