"""Azure Speech: a recogniser and text to speech, through Microsoft's SDK (``pip install 'hookflash[azure]'``); with a
text model of anybody's between them, a voice.

Source: learn.microsoft.com/azure/ai-services/speech-service. Settings are described in docs/voices.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from providers import chat
from providers.azure_listening import HINTS, AzureRecogniser
from providers.azure_sdk import Azure, load
from providers.azure_speaking import AzureSpeaker
from providers.cascade import Cascade
from providers.chat import ChatModel
from providers.realtime_provider import checked_options, needed
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session, VoiceError

PAUSE_MS = 500  # the service's own default
PAUSES = range(100, 5001)
SPOKEN = (ULAW, ALAW, AudioFormat("pcm16", 8000), AudioFormat("pcm16", 16000))
CAPABILITIES = Capabilities(
    formats=SPOKEN, verbatim=True, truncation=True, tools=True, understands=True, turn_detection=True,
    recognises=True, writes=True,
)  # fmt: skip
OPTIONS: Mapping[str, tuple[type, ...]] = {"hints": (list,), "pause_ms": (int,), "max_output_tokens": (int,)}
_TEXT = "HOOKFLASH_VOICES_AZURE_SPEECH_TEXT"
NO_TEXTS = (
    f"to converse, azure-speech needs a text model: set {_TEXT}_API_KEY (OpenAI), or {_TEXT}_URL and {_TEXT}_MODEL "
    "(any other server)"
)


class AzureVoice(Cascade):
    """One conversation, with a connection for the first words before they are known."""

    def __init__(
        self, session: Session, *, recogniser: AzureRecogniser, speaker: AzureSpeaker, texts: ChatModel
    ) -> None:
        super().__init__(
            session,
            recogniser=recogniser,
            texts=texts,
            speaker=speaker,
            most=session.options.get("max_output_tokens"),
        )
        self._warming = speaker
        self._format = session.format

    async def connect(self) -> None:
        """Open the recogniser, and the speaker beside it. Raises `VoiceError`."""
        self._warming.warm(self._format)
        await super().connect()


class AzureSpeech:
    """One account. A recogniser is made for each stretch of listening; synthesisers go from utterance to utterance."""

    name = "azure-speech"
    capabilities = CAPABILITIES

    def __init__(self, azure: Azure, *, voice: str | None, pause_ms: int, texts: ChatModel | None) -> None:
        self.azure = azure
        self._pause_ms = pause_ms
        self._texts = texts
        self._speaker = AzureSpeaker(azure, voice=voice)

    def voice(self, session: Session) -> AzureVoice:
        """A voice for one conversation.

        Raises `VoiceError` when there is no text model, an option is wrong or the audio format is not offered.
        """
        if self._texts is None:
            raise VoiceError(NO_TEXTS, code="setting")
        options = checked_options(self.name, OPTIONS, session.options)
        delay = session.turns.min_delay
        usual = self._pause_ms if delay is None else min(max(round(delay * 1000), PAUSES[0]), PAUSES[-1])
        pause = options.get("pause_ms", usual)
        if pause not in PAUSES:
            raise VoiceError(f"pause_ms of azure-speech must be 100 to 5000 milliseconds, not {pause}", code="option")
        hints = options.get("hints", [])
        if not all(isinstance(hint, str) and hint.strip() for hint in hints) or len(hints) > HINTS:
            raise VoiceError(f"hints of azure-speech must be at most {HINTS} texts", code="option")
        recogniser = self._recogniser(session.format, session.language, hints, pause)
        return AzureVoice(session, recogniser=recogniser, speaker=self._speaker, texts=self._texts)

    def speaker(self) -> AzureSpeaker:
        """Text to speech."""
        return self._speaker

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> AzureRecogniser:
        """Speech to text for one stretch of listening. Raises `VoiceError` when the format is not offered."""
        return self._recogniser(format, language, hints, self._pause_ms)

    def _recogniser(
        self, format: AudioFormat, language: str | None, hints: Sequence[str], pause_ms: int
    ) -> AzureRecogniser:
        if format not in SPOKEN:
            raise VoiceError(f"Azure Speech takes G.711, or linear audio at 8 or 16 kHz; not {format}", code="format")
        return AzureRecogniser(self.azure, format=format, language=language, hints=hints, pause_ms=pause_ms)

    def text_model(self) -> ChatModel | None:
        """The one that its voice thinks with, if it was given one."""
        return self._texts

    async def close(self) -> None:
        """Release what is at rest, and wait a while for what is being released."""
        if self._texts is not None:
            await self._texts.close()
        await self._speaker.close()
        await self.azure.close()


def provider(settings: Mapping[str, str]) -> AzureSpeech:
    """Entry point.

    Settings: ``api_key`` and ``region`` or ``endpoint`` (needed), ``voice``, ``pause_ms``; for the voice
    ``text_api_key``, ``text_url``, ``text_model``.

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
    if not pause.isdecimal() or int(pause) not in PAUSES:
        text = f"HOOKFLASH_VOICES_AZURE_SPEECH_PAUSE_MS must be 100 to 5000 milliseconds, not '{pause}'"
        raise VoiceError(text, code="setting")
    azure = Azure(load(), key=key, region=region, endpoint=endpoint)
    return AzureSpeech(azure, voice=settings.get("voice"), pause_ms=int(pause), texts=_texts(settings))


def _texts(settings: Mapping[str, str]) -> ChatModel | None:
    """The text model of the voice, None when nothing is said about it."""
    key, url = settings.get("text_api_key", "").strip(), settings.get("text_url", "").strip()
    model = settings.get("text_model", "" if url else chat.MODEL).strip()
    if not key and not url:
        return None
    if url and not re.fullmatch(r"https?://[^\s?#@]+", url):
        raise VoiceError(f"{_TEXT}_URL must be an address such as http://127.0.0.1:11434/v1", code="setting")
    if not model:
        raise VoiceError(f"azure-speech needs the name of a model of text_url: set {_TEXT}_MODEL", code="setting")
    return ChatModel("azure-speech", base_url=url or chat.BASE_URL, model=model, api_key=key)
