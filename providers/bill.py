"""What the parts of a cascade use, told once, each part's under the provider whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from providers.parts import Recogniser
from providers.voice import ChargedSpeaker, Metered, Speaker, Usage


@dataclass(frozen=True, slots=True)
class Whose:
    """The providers that the parts belong to; nothing where it is the voice's own."""

    listening: str = ""
    text: str = ""
    speech: str = ""


OWN = Whose()


class Bill:
    """One conversation. A part that counts by itself is asked; else seconds and characters are counted here."""

    def __init__(self, recogniser: Recogniser, speaker: Speaker, *, voice: str | None, whose: Whose) -> None:
        self._recogniser = recogniser
        self._speaker = speaker
        self._voice = voice
        self._whose = whose
        self._heard_ms = 0.0
        self._counts = False  # the recogniser tells by itself what it used

    def heard(self, ms: float) -> None:
        """So much audio was given to the recogniser."""
        self._heard_ms += ms

    def told(self, usage: Usage) -> Usage:
        """The recogniser tells that it used this."""
        self._counts = True
        return _of(usage, self._whose.listening, "listening")

    def listening(self) -> list[Usage]:
        """What the recogniser used since the last time and has not told."""
        seconds, self._heard_ms = round(self._heard_ms / 1000, 3), 0.0
        own = [] if self._counts or not seconds else [Usage(seconds_heard=seconds)]
        used = self._recogniser.settle() if isinstance(self._recogniser, Metered) else own
        return [_of(usage, self._whose.listening, "listening") for usage in used]

    def text(self, usage: Usage) -> Usage:
        """What the text model used."""
        return _of(usage, self._whose.text, "text")

    def speech(self, text: str) -> list[Usage]:
        """What speaking this used."""
        if not text:
            return []
        own, speaker = Usage(characters=len(text)), self._speaker
        used = speaker.usage(text, voice=self._voice) if isinstance(speaker, ChargedSpeaker) else own
        return [_of(used, self._whose.speech, "speech")]


def _of(usage: Usage, provider: str, part: str) -> Usage:
    return replace(usage, provider=f"{provider}/{part}") if provider else usage
