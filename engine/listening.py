"""Listening: what the caller says in one stretch, as text. The audio goes to a recogniser as it comes from the line.

Two hear at once: an energy detector on this side, which notices at once that somebody speaks, and the recogniser, which
says what. An answer is whole when a text has come and the caller has paused; every wait has an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.beside import beside, first_of
from engine.playout import Playout
from engine.voices import Voices
from providers.energy import EnergyDetector
from providers.parts import Heard, Recogniser
from providers.voice import ALAW, ULAW, Failed, Metered, SpeechStarted, SpeechStopped, Usage, Used, UserText, VoiceError

if TYPE_CHECKING:
    from engine.call import Call

CONNECT_WITHIN = 5.0  # seconds
CLOSE_WITHIN = 2.0
TEXT_WITHIN = 5.0  # seconds from the last sound of the caller to its text
DEAF_AFTER = 3.0  # seconds in which it takes no audio: it is gone
LONGEST = 60.0  # seconds for one answer, whatever is heard
BETWEEN_WORDS_MS = 100  # without sound: the caller may be pausing
EARLY = 5 * 8000  # bytes of what was said before the recogniser was there


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller said; an empty text when it was not understood. ``confidence`` 0..1 when it is known."""

    text: str
    confidence: float | None = None


class Recognisers:
    """Speech to text by the provider that a step names, else by the engine's own (setting ``listening``)."""

    def __init__(self, voices: Voices, provider: str = "rehearsal") -> None:
        self._voices = voices
        self._provider = provider

    def name(self, provider: str | None) -> str:
        """Whose recogniser is meant."""
        return provider or self._provider

    def open(
        self, law: str, *, provider: str | None = None, language: str | None = None, hints: Sequence[str] = ()
    ) -> Recogniser:
        """A recogniser for G.711 of this law, not yet connected. Raises `VoiceError`, also when there is none."""
        name = self.name(provider)
        voice, format = self._voices.get(name), ALAW if law == "alaw" else ULAW
        able = voice.capabilities.recognises  # a voice that does not may lack the method
        recogniser = voice.recogniser(format=format, language=language, hints=hints) if able else None
        if recogniser is None:
            raise VoiceError(
                f"the voice '{name}' recognises no speech: name one that does in 'listening', of the step or of the "
                "settings",
                code="no_recogniser",
            )
        return recogniser


@asynccontextmanager
async def listening(
    call: Call, *, provider: str | None = None, language: str | None = None, hints: Sequence[str] = ()
) -> AsyncIterator[Ear]:
    """A recogniser beside the block: connecting from the start, closed in the end without anybody waiting for that.

    What goes wrong with it is raised by `Ear.answer`, not here: a prompt is played to its end, and keys still count.
    """
    playout, own = await call.playout(), call.services.listening
    recogniser, before, name = None, playout.listener, own.name(provider)
    call.ear = ear = Ear(playout, lambda usage: call.spent(f"{name}/listening", usage))
    try:
        recogniser = own.open(playout.law, provider=provider, language=language, hints=hints)
    except VoiceError as error:
        ear.fail(error)
    try:
        async with beside(*([] if recogniser is None else [ear.run(recogniser)])):
            yield ear
    finally:
        playout.listener, call.ear = before, None
        if recogniser is not None:
            call.errand(_settle(recogniser, ear), "closing a recogniser")
        if ear.failure is not None:
            code = ear.failure.code or "listening"
            call.services.metrics.provider_errors.labels(name, code).inc()


async def _settle(recogniser: Recogniser, ear: Ear) -> None:
    """Close it, and count what it tells only then."""
    await close(recogniser)
    for usage in recogniser.settle() if isinstance(recogniser, Metered) else ():
        ear.spent(usage)


async def close(recogniser: Recogniser) -> None:
    """End it; one that does not answer is left alone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN):
            await recogniser.close()


async def _within(giving: Awaitable[None]) -> None:
    async with asyncio.timeout(DEAF_AFTER):
        await giving


class Ear:
    """Hears one answer. `hear` from now on; `begun` when the caller speaks; `answer` is what they said."""

    def __init__(self, playout: Playout, spent: Callable[[Usage], None] = lambda usage: None) -> None:
        self.spent = spent  # is told what the recogniser used
        self.failure: VoiceError | None = None
        self._playout = playout
        self._clock = asyncio.get_running_loop().time
        self._detector = EnergyDetector(ALAW if playout.law == "alaw" else ULAW, min_silence_ms=BETWEEN_WORDS_MS)
        self._recogniser: Recogniser | None = None  # once audio may flow
        self._early = b""
        self._spoke = asyncio.Event()
        self._news = asyncio.Event()
        self._last_sound = self._text_at = 0.0
        self._speaking = False  # as the recogniser has it, if it tells
        self._stopped_at = 0.0  # when it told
        self._texts: list[UserText] = []

    def hear(self) -> None:
        """Listen from now on, if not yet."""
        self._playout.listener = self._listen

    async def begun(self, _: Playout | None = None) -> None:
        """Until the caller speaks."""
        await self._spoke.wait()

    async def answer(self, within: float, pause: float) -> Said | None:
        """What the caller says, None when nobody speaks within so many seconds from now.

        It is whole when they have paused for ``pause`` seconds. Raises `VoiceError` when the recogniser fails before
        any text has come.
        """
        began = self._clock()
        while True:
            if self.failure is not None and not self._texts:
                raise self.failure
            left = self._due(began, within, pause) - self._clock()
            if left <= 0:
                return self._said()
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    def _due(self, began: float, within: float, pause: float) -> float:
        """When the answer is over if nothing more is heard."""
        end = began + LONGEST
        if self._speaking:
            return end
        if self._texts:  # a noise that goes on does not keep an answer open
            return min(end, min(self._last_sound, self._text_at) + pause)
        owed = max(self._last_sound, self._stopped_at) + TEXT_WITHIN
        return min(end, max(began + within, owed if self._spoke.is_set() else 0.0))

    def _said(self) -> Said | None:
        if not self._spoke.is_set():
            return None
        sure = [each.confidence for each in self._texts if each.confidence is not None]
        return Said(" ".join(each.text.strip() for each in self._texts), min(sure, default=None))

    # ── what is heard ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, recogniser: Recogniser) -> None:
        """Connect and listen, until cancelled or nothing more can come."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await recogniser.connect()
            self._recogniser, early, self._early = recogniser, self._early, b""
            if early:
                await recogniser.send_audio(early)
            await first_of(self._read(recogniser), self._feed(recogniser))
        except TimeoutError:
            self.fail(VoiceError(f"no recogniser within {CONNECT_WITHIN:g} s", code="timeout", recoverable=True))
        except VoiceError as error:
            self.fail(error)

    async def _read(self, recogniser: Recogniser) -> None:
        async for event in recogniser.events():
            self._take(event)
        self.fail(VoiceError("the recogniser ended by itself", code="closed", recoverable=True))

    async def _feed(self, recogniser: Recogniser) -> None:
        with suppress(TimeoutError):
            await self._playout.keep_fed(lambda quiet: _within(recogniser.send_audio(quiet)), DEAF_AFTER)
        self._playout.listener = None  # it would hold up all that the leg reports
        self.fail(VoiceError(f"the recogniser took no audio for {DEAF_AFTER:.0f} s", code="backlog", recoverable=True))

    def fail(self, error: VoiceError) -> None:
        """Nothing more is understood; the first reason counts."""
        self.failure = self.failure or error
        self._news.set()

    async def _listen(self, audio: bytes) -> None:
        if self._detector.feed(audio) or self._detector.speaking:
            self._sounds()
        if self._recogniser is not None:
            await self._recogniser.send_audio(audio)
        else:
            self._early = (self._early + audio)[-EARLY:]

    def _take(self, event: Heard) -> None:
        if isinstance(event, Failed):
            return self.fail(VoiceError(event.message, code=event.code, recoverable=event.recoverable))
        if isinstance(event, Used):
            return self.spent(event.usage)
        if isinstance(event, SpeechStarted):
            self._speaking = True
            self._sounds()
        elif isinstance(event, SpeechStopped):
            self._speaking, self._stopped_at = False, self._clock()  # it waits for a pause before it tells
        elif event.text.strip():
            if event.final:
                self._texts.append(event)
                self._text_at = self._clock()
            self._spoke.set()
        self._news.set()
        return None

    def _sounds(self) -> None:
        self._last_sound = self._clock()
        self._spoke.set()
