"""Any text to speech as one that begins before the text is whole: it speaks a sentence at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from providers.parts import Said, Speech, StreamingSpeaker
from providers.voice import AudioFormat, Speaker


class BySentence:
    """Satisfies `providers.parts.StreamingSpeaker`. The next sentence is made while the one before is heard."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """The whole prompt as audio. Raises `VoiceError`."""
        return await self._speaker.speak(text, voice=voice, language=language, format=format)

    async def utter(
        self, texts: AsyncIterator[str], *, voice: str | None, language: str | None, format: AudioFormat
    ) -> AsyncIterator[Speech]:
        """Speak the pieces one after the other. Raises `VoiceError`."""
        characters = spoken = 0
        async for text in texts:
            characters += len(text)
            if not text.strip():
                continue
            audio = await self.speak(text, voice=voice, language=language, format=format)
            spoken += len(audio)
            yield audio
            yield Said(spoken // format.bytes_per_ms, characters)


def streaming(speaker: Speaker) -> StreamingSpeaker:
    """The speaker itself when it can begin early, else by sentences."""
    return speaker if isinstance(speaker, StreamingSpeaker) else BySentence(speaker)
