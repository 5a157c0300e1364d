"""Google's Gemini Live: speech to speech over one websocket. It knows no G.711: its audio is converted, once each way.

Source: ai.google.dev/gemini-api/docs/live. A connection lasts ten minutes; the session is continued on the next one
between two turns, unheard by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import ClientSession

from providers.gemini_live import Live, declarations
from providers.parts import Recogniser, TextModel
from providers.realtime_dialects import with_history
from providers.realtime_provider import ANSWER_TIMEOUT, COMMON, checked_options, given, needed, websocket_address
from providers.realtime_socket import RealtimeVoice, open_http
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session, Speaker, VoiceError

BASE_URL = "wss://generativelanguage.googleapis.com"
API_VERSION = "v1beta"
MODEL = "gemini-3.8-live"
VOICE = "Kore"
CAPABILITIES = Capabilities(formats=(ULAW, ALAW), tools=True, understands=True, turn_detection=True)
OPTIONS: Mapping[str, tuple[type, ...]] = {
    "activity_detection": (dict,),
    "temperature": (int, float),
    **COMMON,
}


class Gemini:
    """One account, and one HTTP session for all its conversations."""

    name = "gemini"
    capabilities = CAPABILITIES

    def __init__(self, *, api_key: str, address: str, model: str) -> None:
        self._api_key = api_key
        self._address = address
        self._model = model
        self._http: ClientSession | None = None

    def voice(self, session: Session) -> RealtimeVoice:
        """A voice for one conversation.

        Raises `VoiceError` when an option is wrong or the audio format is not offered.
        """
        if session.format not in CAPABILITIES.formats:
            raise VoiceError(f"Gemini is given the telephone's µ-law or A-law, not {session.format}", code="format")
        options = checked_options("gemini", OPTIONS, session.options)
        setup = configuration(session, session.model or self._model, options)
        return RealtimeVoice(
            "Gemini",
            self.http,
            self._address,
            {"x-goog-api-key": self._api_key},
            Live(session, setup, secret=self._api_key),
            batch=int(options.get("batch_ms", 40)) * session.format.bytes_per_ms,
            answer_timeout=float(options.get("answer_timeout", ANSWER_TIMEOUT)),
        )

    def http(self) -> ClientSession:
        """The HTTP session that all conversations share."""
        if self._http is None or self._http.closed:
            self._http = open_http()
        return self._http

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> Recogniser | None:
        """It has none."""
        return None

    def text_model(self) -> TextModel | None:
        """It has none."""
        return None

    def speaker(self) -> Speaker | None:
        """None: it speaks inside a conversation only."""
        return None

    async def close(self) -> None:
        """Close the shared connections."""
        if self._http is not None:
            await self._http.close()


def provider(settings: Mapping[str, str]) -> Gemini:
    """Entry point. Settings: ``api_key`` (needed), ``base_url``, ``api_version``, ``model``.

    Raises:
        VoiceError: there is no key, or the base URL is none.
    """
    key = needed(settings, "api_key", "gemini", "GEMINI_API_KEY")
    base = websocket_address(settings.get("base_url", BASE_URL), "base_url")
    version = settings.get("api_version", API_VERSION)
    service = f"google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"
    return Gemini(api_key=key, address=f"{base}/ws/{service}", model=settings.get("model", MODEL))


def configuration(session: Session, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The ``setup`` message. What was said before stands in the instructions: content beside live audio is refused."""
    turns = session.turns
    detection = given({
        "silenceDurationMs": None if turns.min_delay is None else round(turns.min_delay * 1000),
        "prefixPaddingMs": None if turns.prefix_padding is None else round(turns.prefix_padding * 1000),
        **options.get("activity_detection", {}),
    })  # fmt: skip
    instructions = with_history(session.instructions, session.history)
    speech = given({
        "languageCode": session.language,
        "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": session.voice or VOICE}},
    })  # fmt: skip
    return {
        "model": model if model.startswith("models/") else f"models/{model}",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": speech,
            **given({"temperature": options.get("temperature")}),
        },
        **given({"systemInstruction": {"parts": [{"text": instructions}]} if instructions else None}),
        "tools": declarations(session.tools),
        "realtimeInputConfig": {
            "automaticActivityDetection": detection,
            "activityHandling": "START_OF_ACTIVITY_INTERRUPTS" if turns.interruptible else "NO_INTERRUPTION",
        },
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "sessionResumption": {},
        "contextWindowCompression": {"slidingWindow": {}},
    }
