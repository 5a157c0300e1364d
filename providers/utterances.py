"""Where utterances begin and end in a voice that is one stream without ends: sound, and long enough a silence after it.

Sans-IO: audio and the time go in, what is to be played comes out. Silence between two utterances is not played, so what
piled up on a slow network is made good there.
"""

from __future__ import annotations

import audioop

from providers.sound import decode, encode
from providers.voice import AudioFormat

PAUSE = 0.6  # seconds of silence that end an utterance; people pause for less inside a sentence
LEAD_MS = 80  # silence played before an utterance: what comes at the pace at which it is heard needs that much in hand
QUIET = 100  # the largest sample of what counts as silence (-50 dBFS); the vendor sends zeros


class Utterances:
    """The stream of one voice."""

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._lead = encode(bytes(2 * LEAD_MS * format.rate // 1000), format)
        self._silent_ms = 0.0
        self._sound_at = 0.0
        self.open = False
        self.silent = True  # the audio that came last
        self.sound_ms = 0.0  # of it until the last sound
        self.ms = 0.0  # of audio so far, silence and all

    def feed(self, audio: bytes, now: float) -> bytes:
        """What to play of this audio. ``now``: seconds of any steady clock."""
        length = len(audio) / self._format.bytes_per_ms
        self.ms += length
        if audioop.max(decode(audio, self._format), 2) > QUIET:
            began, self.open, self.silent = not self.open, True, False
            self._silent_ms, self._sound_at, self.sound_ms = 0.0, now, self.ms
            return self._lead + audio if began else audio
        self._silent_ms += length
        self.silent = True
        return audio if self.open else b""

    def over(self, now: float) -> bool:
        """Whether the utterance has come to its end: enough silence was sent, or nothing at all for as long."""
        if self.open and (self._silent_ms >= PAUSE * 1000 or now - self._sound_at >= 2 * PAUSE):
            self.open = False
            return True
        return False
