"""A cascade of other providers' parts: one hears, one thinks, one speaks. Settings and options: docs/voices.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from providers.bill import Whose
from providers.by_sentence import streaming
from providers.cascade import Cascade
from providers.parts import Recogniser, StreamingSpeaker, TextModel
from providers.realtime_provider import checked_options
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Provider, Session, VoiceError

CAPABILITIES = Capabilities(
    formats=(ULAW, ALAW), verbatim=True, truncation=True, tools=True, understands=True, turn_detection=True,
    recognises=True, writes=True,
)  # fmt: skip
OPTIONS: Mapping[str, tuple[type, ...]] = {"hints": (list,), "max_output_tokens": (int,)}
PARTS = {"listening": "writes speech down", "text": "has a text model", "speech": "speaks to the letter"}


class Assembled:
    """The provider. It owns nothing: the parts belong to the providers that they come from."""

    name = "cascade"
    capabilities = CAPABILITIES

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self.others = tuple(names.values())

    def assemble(self, provider: Callable[[str], Provider]) -> None:
        """Take the parts from other providers. Raises `VoiceError` when one of them has not what it is named for."""
        self._listening, writing, speaking = (provider(self._names[part]) for part in PARTS)
        texts, speaker = writing.text_model(), speaking.speaker()
        found = {"listening": self._listening.capabilities.recognises, "text": texts, "speech": speaker}
        for part, what in PARTS.items():
            if not found[part]:
                text = f"the setting {part} of cascade names '{self._names[part]}'; name a provider that {what}"
                raise VoiceError(text, code="setting")
        assert texts is not None
        assert speaker is not None
        self._texts, self._speaker = texts, streaming(speaker)

    def voice(self, session: Session) -> Cascade:
        """A voice for one conversation. Raises `VoiceError` when an option is wrong."""
        options = checked_options(self.name, OPTIONS, session.options)
        hints = [str(hint) for hint in options.get("hints", ())]
        recogniser = self.recogniser(format=session.format, language=session.language, hints=hints)
        if recogniser is None:
            raise VoiceError(f"'{self._names['listening']}' has nothing that writes speech down now", code="setting")
        return Cascade(
            session,
            recogniser=recogniser,
            texts=self._texts,
            speaker=self._speaker,
            most=options.get("max_output_tokens"),
            whose=Whose(**self._names),
        )

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> Recogniser | None:
        """The one of ``listening``."""
        return self._listening.recogniser(format=format, language=language, hints=hints)

    def text_model(self) -> TextModel:
        """The one of ``text``."""
        return self._texts

    def speaker(self) -> StreamingSpeaker:
        """The one of ``speech``."""
        return self._speaker

    async def close(self) -> None:
        """Nothing is held open."""


def provider(settings: Mapping[str, str]) -> Assembled:
    """Entry point. Settings: ``listening``, ``text`` and ``speech``, names of other providers.

    Raises:
        VoiceError: one of them is missing.
    """
    names = {part: settings.get(part, "").strip() for part in PARTS}
    for part, name in names.items():
        if not name or name == Assembled.name:
            text = f"the voice cascade is made of other providers: set HOOKFLASH_VOICES_CASCADE_{part.upper()} to one"
            raise VoiceError(f"{text} that {PARTS[part]}", code="setting")
    return Assembled(names)
