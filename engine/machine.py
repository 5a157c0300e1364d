"""Answering machines: is it a person or a machine that answered, and when does the machine beep?

Both listen to loudness and tone alone and know no language. What tells a machine is that it talks on: a person says a
few words and waits (the idea of Asterisk's app_amd, whose pauses these are).
"""

from __future__ import annotations

import asyncio
import audioop
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

from engine.audio import RATE, decode, silence
from engine.playout import Listener
from providers.energy import EnergyDetector
from providers.voice import ALAW, ULAW

Answerer = Literal["human", "machine", "unknown"]

SHORTEST_WORD_MS = 100
BETWEEN_WORDS_MS = 60
LONG_MS = 2500  # of talk that a person ends with a pause
AFTER_GREETING_MS = 800  # of silence: whoever spoke waits for an answer

MUTE_MS = 100  # without audio: that is silence

FRAME_MS = 20
FRAME = 8 * FRAME_MS  # bytes of G.711
BEEP_MS = 160  # shorter tones are clicks and syllables
LOWEST, HIGHEST = 350.0, 2600.0  # Hz
LOUD_ENOUGH = 300  # of 32768: -40 dBFS
ROUGHLY = 0.4  # what the first look may leave unexplained
PURE = 0.92  # of the energy must be one sinusoid's: the rest is noise of the line, 11 dB below
NEAR = (0.0, -10.0, 10.0, -20.0, 20.0, -30.0, 30.0)  # Hz around the first look, which noise pulls aside
STEADY = 0.04  # how far its frequency may move
LEVEL = 0.25  # and its loudness


class Answer:
    """Hears how somebody answers. Feed it audio; `verdict` is there as soon as it is clear."""

    def __init__(self, law: str, max_words: int = 6) -> None:
        self._detector = EnergyDetector(
            ALAW if law == "alaw" else ULAW, min_speech_ms=SHORTEST_WORD_MS, min_silence_ms=BETWEEN_WORDS_MS
        )
        self._max_words = max_words
        self._began = self._quiet_since = 0
        self.words = 0
        self.verdict: Answerer | None = None

    def feed(self, audio: bytes) -> None:
        """What was heard next."""
        for edge in self._detector.feed(audio):
            if edge.speaking:
                self._began = self._began or edge.at_ms
                self.words += 1
            else:
                self._quiet_since = edge.at_ms - BETWEEN_WORDS_MS
        if self.words > self._max_words:
            self.verdict = "machine"
        elif self.words and not self._detector.speaking and self._quiet_ms >= AFTER_GREETING_MS:
            self.verdict = "human"

    @property
    def _quiet_ms(self) -> int:
        return self._detector.heard_ms - self._quiet_since

    def at_the_end(self) -> Answerer:
        """The verdict when there is no more time: who has talked for long without a pause is a machine."""
        if self.verdict is not None or not self.words:
            return self.verdict or "unknown"
        return "machine" if self._detector.heard_ms - self._began > LONG_MS else "human"


class Beep:
    """Finds one steady tone that stands alone: ``heard`` once it lasted `BEEP_MS`.

    A sinusoid obeys x[n] + x[n-2] = a x[n-1]: a gives its frequency. Then one sinusoid must explain nearly all that is
    there, which it cannot with keys and dial tones (two tones) or speech. What beats (ringing in America) changes its
    loudness, and a voice its pitch.
    """

    def __init__(self, law: str) -> None:
        self._law = law
        self._rest = b""
        self._ms = 0
        self._pitch = self._level = 0.0
        self.heard = False

    def feed(self, audio: bytes) -> None:
        """What was heard next."""
        audio = self._rest + audio
        whole = len(audio) - len(audio) % FRAME
        for start in range(0, whole, FRAME):
            self._frame(audioop.mul(decode(audio[start : start + FRAME], self._law), 2, 0.25))
        self._rest = audio[whole:]

    def _frame(self, pcm: bytes) -> None:
        level = float(audioop.rms(pcm, 2)) * 4
        pitch = _pitch(pcm) if level > LOUD_ENOUGH else None
        if pitch is None:
            self._ms = 0
            return
        same = abs(pitch - self._pitch) < STEADY * pitch and abs(level - self._level) < LEVEL * level
        self._ms = self._ms + FRAME_MS if same else FRAME_MS
        self._pitch, self._level = pitch, level
        self.heard = self.heard or self._ms >= BEEP_MS


def _pitch(pcm: bytes) -> float | None:
    """The frequency in Hz, if this is one tone. 16-bit samples, a quarter of full scale."""
    before, middle, after = pcm[:-4], pcm[2:-2], pcm[4:]
    both = audioop.add(before, after, 2)
    factor = audioop.findfactor(both, middle)
    if abs(factor) >= 2:
        return None
    left = audioop.rms(audioop.add(both, audioop.mul(middle, 2, -factor), 2), 2)
    if left > ROUGHLY * math.sqrt(2 + factor * factor) * max(audioop.rms(middle, 2), 1):
        return None
    pitch = math.acos(factor / 2) * RATE / math.tau
    if not LOWEST <= pitch <= HIGHEST:
        return None
    share, nearest = max((_explained(pcm, pitch + aside), pitch + aside) for aside in NEAR)
    return nearest if share >= PURE else None


def _explained(pcm: bytes, pitch: float) -> float:
    """The share of the energy, 0 to 1, that is a sinusoid of this frequency."""
    samples = len(pcm) // 2
    step = math.tau * pitch / RATE
    total = 0.0
    for wave in (math.sin, math.cos):
        reference = struct.pack(f"<{samples}h", *(int(8000 * wave(step * n)) for n in range(samples)))
        total += (audioop.findfactor(pcm, reference) * audioop.rms(reference, 2)) ** 2
    return total / max(audioop.rms(pcm, 2), 1) ** 2


class Ear(Protocol):
    """Where they are heard: a `Playout`, or whatever gives its ``listener`` what it hears."""

    listener: Listener | None
    heard: int  # pieces so far

    @property
    def law(self) -> str:
        """The G.711 law of what is heard."""


async def detect(ear: Ear, *, timeout: float = 4.0, max_words: int = 6) -> Answerer:
    """Listen to whoever answered, for ``timeout`` seconds at most."""
    answer = Answer(ear.law, max_words)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await _listen(ear, answer.feed, lambda: answer.verdict is not None)
    return answer.at_the_end()


async def beep(ear: Ear) -> None:
    """Until a machine has beeped. Bound it."""
    tone = Beep(ear.law)
    await _listen(ear, tone.feed, lambda: tone.heard)


async def _listen(ear: Ear, feed: Callable[[bytes], None], is_enough: Callable[[], bool]) -> None:
    enough = asyncio.Event()

    async def hear(audio: bytes) -> None:
        feed(audio)
        if is_enough():
            enough.set()

    before, ear.listener = ear.listener, hear
    quiet = silence(MUTE_MS, ear.law)
    try:
        while not enough.is_set():
            heard = ear.heard
            with suppress(TimeoutError):
                async with asyncio.timeout(MUTE_MS / 1000):
                    await enough.wait()
            if ear.heard == heard:  # a telephone that is quiet may send nothing at all
                await hear(quiet)
    finally:
        ear.listener = before
