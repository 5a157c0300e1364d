"""Spoken prompts: text to telephone audio, by the provider that the settings name for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from engine.voices import Voices
from providers.voice import ALAW, ULAW, ChargedSpeaker, Usage, VoiceError

log = structlog.get_logger()

SPEAK_WITHIN = 10.0  # seconds for one prompt; a synthesiser that needs longer is broken


class Speech:
    """Text to speech for `say`, `menu`, `gather` and everything else that is spoken to the letter."""

    def __init__(self, voices: Voices, provider: str = "rehearsal") -> None:
        self._voices = voices
        self._provider = provider

    async def audio(
        self,
        text: str,
        law: str,
        *,
        voice: str | None = None,
        language: str | None = None,
        spent: Callable[[str, Usage], None] | None = None,
        within: float = SPEAK_WITHIN,
    ) -> bytes:
        """The prompt as G.711 in the line's law. Raises `VoiceError`.

        ``spent`` is told who spoke and what it used, where a vendor charges for it.
        """
        speaker = self._voices.get(self._provider).speaker()
        if speaker is None:
            raise VoiceError(
                f"the provider {self._provider!r} cannot speak prompts: set speech.provider to one that can"
            )
        format = ALAW if law == "alaw" else ULAW
        try:
            async with asyncio.timeout(within):
                sound = await speaker.speak(text, voice=voice, language=language, format=format)
        except TimeoutError:
            raise VoiceError(f"the provider {self._provider!r} took over {within:g} s for a prompt") from None
        except VoiceError:
            raise
        except Exception as error:  # a mistake in a provider, perhaps a plugin's: whoever speaks knows what then
            log.exception("a prompt cannot be spoken because of a mistake in its provider", provider=self._provider)
            raise VoiceError(f"the provider {self._provider!r} failed: {type(error).__name__}: {error}") from error
        if spent is not None and isinstance(speaker, ChargedSpeaker):
            spent(f"{self._provider}/speech", speaker.usage(text, voice=voice))
        return sound
