"""A recogniser for tests: it understands the words of virtual speech when they were said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from engine.virtual.words import Listening, Words
from providers.parts import Heard
from providers.voice import Failed, SpeechStarted, SpeechStopped, UserText, VoiceError


class VirtualRecogniser:
    """Satisfies `providers.parts.Recogniser`. What was heard stands in ``heard``; ``fails`` breaks it, and
    one that is ``deaf`` never takes audio."""

    def __init__(
        self, connects_after: float | VoiceError, pause: float, language: str | None, hints: Sequence[str], deaf: bool
    ) -> None:
        self.language = language
        self.hints = tuple(hints)
        self.heard: list[str] = []
        self.open = self.closed = False
        self._connects_after = connects_after
        self._pause = pause
        self._deaf = deaf
        self._listening = Listening()
        self._events: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._owed: set[asyncio.TimerHandle] = set()
        self._finishing = False
        self._saying: Words | None = None

    async def connect(self) -> None:
        """Open it. Raises `VoiceError` when the script says so."""
        if isinstance(self._connects_after, VoiceError):
            raise self._connects_after
        await asyncio.sleep(self._connects_after)
        self.open = True

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard, until it is closed or has finished."""
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        """Caller audio. Words in it are understood; other sounds are not."""
        if self._deaf:
            await asyncio.Event().wait()
        if self.closed or self._finishing:
            return
        for piece in self._listening.feed(audio):
            if piece.words is not None and piece.first:
                self._saying = piece.words
                self._events.put_nowait(SpeechStarted())
            if piece.words is not None and piece.last:
                self._after_speech()

    async def finish(self) -> None:
        """No more audio comes."""
        self._finishing = True
        if self._saying is not None:  # in the middle of a sentence
            self._after_speech()
        self._end_if_done()

    async def close(self) -> None:
        """End it. Idempotent."""
        for timer in self._owed:
            timer.cancel()
        self._owed.clear()
        self.open, self.closed = False, True
        self._events.put_nowait(None)

    def fails(self, message: str = "the recogniser failed") -> None:
        """Report an error that ends it."""
        self._events.put_nowait(Failed(message, "server_error"))
        self._events.put_nowait(None)

    def _after_speech(self) -> None:
        assert self._saying is not None
        text, self._saying = self._saying.text, None
        self._owed.add(asyncio.get_running_loop().call_later(self._pause, self._understood, text))

    def _understood(self, text: str) -> None:
        self._owed = {timer for timer in self._owed if timer.when() > asyncio.get_running_loop().time()}
        self.heard.append(text)
        self._events.put_nowait(SpeechStopped())
        self._events.put_nowait(UserText(text, confidence=0.9))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._finishing and not self._owed:
            self._events.put_nowait(None)
