"""What the parts of a cascade use, told once, each part's under the provider whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from providers.parts import Recogniser
from providers.voice import ChargedSpeaker, Metered, Speaker, Usage


@dataclass(frozen=True, slots=True)
class Owners:
    """The providers that the parts belong to; nothing where it is the voice's own."""

    listening: str = ""
    text: str = ""
    speech: str = ""


OWN = Owners()


class Bill:
    """One conversation. A part that meters itself is asked; else seconds of audio and characters are counted here."""

    def __init__(self, recogniser: Recogniser, speaker: Speaker, *, voice: str | None, owners: Owners) -> None:
        self._recogniser = recogniser
        self._speaker = speaker
        self._voice = voice
        self._owners = owners
        self._heard_ms = 0.0

    def heard(self, ms: float) -> None:
        """So much audio was given to the recogniser."""
        self._heard_ms += ms

    def due(self, spoken: str = "") -> list[Usage]:
        """What was used since the last time, with this text, which was spoken."""
        speaker, recogniser = self._speaker, self._recogniser
        seconds, self._heard_ms = round(self._heard_ms / 1000, 3), 0.0
        heard: Sequence[Usage] = (
            recogniser.settle() if isinstance(recogniser, Metered) else (Usage(seconds_heard=seconds),)
        )
        due = [self.of_listening(usage) for usage in heard]
        if spoken:
            used = Usage(characters=len(spoken))
            if isinstance(speaker, ChargedSpeaker):
                used = speaker.usage(spoken, voice=self._voice)
            due.append(replace(used, provider=self._owners.speech or used.provider))
        return [usage for usage in due if replace(usage, provider="", model="") != Usage()]

    def of_listening(self, usage: Usage) -> Usage:
        """What the recogniser used."""
        return replace(usage, provider=self._owners.listening or usage.provider)

    def of_text(self, usage: Usage) -> Usage:
        """What the text model used."""
        return replace(usage, provider=self._owners.text or usage.provider)
