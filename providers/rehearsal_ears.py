"""The rehearsal voice's recogniser: it hears by energy that somebody speaks, and takes the words from a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from providers.energy import EnergyDetector
from providers.parts import Heard
from providers.voice import AudioFormat, SpeechStarted, SpeechStopped, UserText


class RehearsalEars:
    """One stretch of listening. See `providers.parts.Recogniser` for what the methods promise.

    ``texts``: what is taken for said, one for each time that somebody speaks.
    """

    def __init__(self, format: AudioFormat, texts: Iterator[str]) -> None:
        self._ears = EnergyDetector(format)
        self._texts = texts
        self._events: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._over = False

    async def connect(self) -> None:
        """There is nothing to connect to, so it cannot fail."""

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard, until `close` or `finish`."""
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        """Hear the caller."""
        if self._over:
            return
        for edge in self._ears.feed(audio):
            if edge.speaking:
                self._events.put_nowait(SpeechStarted())
            else:
                self._understand()

    async def finish(self) -> None:
        """Whoever still speaks has spoken."""
        if self._ears.speaking and not self._over:
            self._understand()
        await self.close()

    async def close(self) -> None:
        """End ``events``."""
        self._over = True
        self._events.put_nowait(None)

    def _understand(self) -> None:
        self._events.put_nowait(SpeechStopped())
        self._events.put_nowait(UserText(next(self._texts)))
