"""Hearing by energy: when somebody begins and ends to speak on a telephone line.

Sans-IO: audio goes in, edges come out, and time is counted in samples. It measures loudness against the line's own
noise; it knows nothing of words. Used by the offline voice, and by whoever emulates a provider's turn detection.
"""

from __future__ import annotations

import audioop
from collections import deque
from dataclasses import dataclass

from providers.sound import decode
from providers.voice import ULAW, AudioFormat

FRAME_MS = 20
BLOCK_MS = 300  # the noise floor is the quietest frame of the last BLOCKS blocks
BLOCKS = 10
ABOVE_NOISE = 3.0  # speech is 10 dB above the noise of the line


@dataclass(frozen=True, slots=True)
class Edge:
    """Speech began (``speaking``) or ended at ``at_ms`` of the audio heard so far."""

    speaking: bool
    at_ms: int


class EnergyDetector:
    """Finds the caller's turns in a stream of audio.

    Speech has begun when ``min_speech_ms`` of it were heard nearly without a gap, so that a click or a key does not
    count. It has ended after ``min_silence_ms`` of quiet. ``threshold`` 0..1 is the loudness that counts at all, -60
    to -20 dBFS. A steady sound (hum, a fan) turns into noise after three seconds, because its quietest frame is as
    loud as the rest.
    """

    def __init__(
        self,
        format: AudioFormat = ULAW,
        *,
        threshold: float = 0.5,
        min_speech_ms: int = 80,
        min_silence_ms: int = 600,
        prefix_ms: int = 0,
    ) -> None:
        self._format = format
        self._frame = FRAME_MS * format.bytes_per_ms
        self._floor = 32768 * 10 ** ((-60 + 40 * min(max(threshold, 0.0), 1.0)) / 20)
        self._onset = max(1, min_speech_ms // FRAME_MS)
        self._hangover = max(1, min_silence_ms // FRAME_MS)
        self._prefix_ms = prefix_ms
        self._rest = b""
        self._frames = 0
        self._blocks: deque[int] = deque(maxlen=BLOCKS)
        self._quietest = 32768
        self._loud = 0
        self._quiet = 0
        self.speaking = False

    @property
    def heard_ms(self) -> int:
        """Audio measured so far."""
        return self._frames * FRAME_MS

    def feed(self, audio: bytes) -> list[Edge]:
        """The edges in this audio (any length; less than 20 ms are kept for the next time)."""
        if self._rest:
            audio = self._rest + audio
        whole = len(audio) - len(audio) % self._frame
        edges = []
        for start in range(0, whole, self._frame):
            edge = self._measure(audioop.rms(decode(audio[start : start + self._frame], self._format), 2))
            if edge is not None:
                edges.append(edge)
        self._rest = audio[whole:]
        return edges

    def _measure(self, loudness: int) -> Edge | None:
        self._frames += 1
        self._quietest = min(self._quietest, loudness)
        if self.heard_ms % BLOCK_MS == 0:
            self._blocks.append(self._quietest)
            self._quietest = 32768
        # Before three seconds are full the noise is unknown, and a caller who speaks at once must still be heard.
        noise = min(self._blocks) if len(self._blocks) == BLOCKS else 0
        limit = max(self._floor, noise * ABOVE_NOISE)
        return self._in_speech(loudness, limit * 0.6) if self.speaking else self._in_quiet(loudness, limit)

    def _in_quiet(self, loudness: int, limit: float) -> Edge | None:
        self._loud = self._loud + 1 if loudness > limit else max(0, self._loud - 2)
        if self._loud < self._onset:
            return None
        start = self.heard_ms - self._loud * FRAME_MS - self._prefix_ms
        self.speaking, self._loud, self._quiet = True, 0, 0
        return Edge(True, max(0, start))

    def _in_speech(self, loudness: int, limit: float) -> Edge | None:
        self._quiet = 0 if loudness > limit else self._quiet + 1
        if self._quiet < self._hangover:
            return None
        self.speaking, self._loud = False, 0
        return Edge(False, self.heard_ms)
