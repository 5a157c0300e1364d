"""Azure Speech: a recogniser and text to speech, through Microsoft's SDK (``pip install 'hookflash[azure]'``).

Source: learn.microsoft.com/azure/ai-services/speech-service. Settings are described in docs/voices.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from providers.azure_listening import AzureRecogniser
from providers.azure_sdk import Azure, load
from providers.azure_speaking import AzureSpeaker
from providers.parts import TextModel
from providers.realtime_provider import needed
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session, Voice, VoiceError

PAUSE_MS = 500  # the service's own default
HEARD = (ULAW, ALAW, AudioFormat("pcm16", 8000), AudioFormat("pcm16", 16000))
CAPABILITIES = Capabilities(formats=(), verbatim=True, recognises=True)


class AzureSpeech:
    """One account. A recogniser is made for each stretch of listening; synthesisers go from utterance to utterance."""

    name = "azure-speech"
    capabilities = CAPABILITIES

    def __init__(self, azure: Azure, *, voice: str | None, pause_ms: int) -> None:
        self.azure = azure
        self._pause_ms = pause_ms
        self._speaker = AzureSpeaker(azure, voice=voice)

    def voice(self, session: Session) -> Voice:
        """It has none."""
        raise VoiceError("the provider 'azure-speech' hears and speaks but does not converse", code="voice")

    def speaker(self) -> AzureSpeaker:
        """Text to speech."""
        return self._speaker

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> AzureRecogniser:
        """Speech to text for one stretch of listening. Raises `VoiceError` when the format is not offered."""
        if format not in HEARD:
            raise VoiceError(f"Azure Speech takes G.711, or linear audio at 8 or 16 kHz; not {format}", code="format")
        return AzureRecogniser(self.azure, format=format, language=language, hints=hints, pause_ms=self._pause_ms)

    def text_model(self) -> TextModel | None:
        """It has none."""
        return None

    async def close(self) -> None:
        """Release what is at rest, and wait a while for what is being released."""
        await self._speaker.close()
        await self.azure.close()


def provider(settings: Mapping[str, str]) -> AzureSpeech:
    """Entry point.

    Settings: ``api_key`` and ``region`` or ``endpoint`` (needed), ``voice``, ``pause_ms``.

    Raises:
        VoiceError: one of them is missing or makes no sense, or the SDK is not installed.
    """
    key = needed(settings, "api_key", "azure-speech", "AZURE_SPEECH_KEY")
    region, endpoint = settings.get("region", "").strip(), settings.get("endpoint", "").strip()
    if not region and not endpoint:
        text = "the azure-speech voice needs to know where your resource is: set AZURE_SPEECH_REGION (westeurope) or"
        raise VoiceError(f"{text} AZURE_SPEECH_ENDPOINT (https://NAME.cognitiveservices.azure.com)", code="setting")
    if endpoint and not re.fullmatch(r"(https?|wss?)://[^\s/?#]+/?", endpoint):
        text = f"AZURE_SPEECH_ENDPOINT must be like https://NAME.cognitiveservices.azure.com, not '{endpoint}'"
        raise VoiceError(text, code="setting")
    if not re.fullmatch(r"[a-z0-9]*", region):
        raise VoiceError(f"AZURE_SPEECH_REGION must be like westeurope, not '{region}'", code="setting")
    pause = settings.get("pause_ms", str(PAUSE_MS)).strip()
    if not pause.isdecimal() or not 100 <= int(pause) <= 5000:
        text = f"HOOKFLASH_VOICES_AZURE_SPEECH_PAUSE_MS must be 100 to 5000 milliseconds, not '{pause}'"
        raise VoiceError(text, code="setting")
    azure = Azure(load(), key=key, region=region, endpoint=endpoint)
    return AzureSpeech(azure, voice=settings.get("voice"), pause_ms=int(pause))
