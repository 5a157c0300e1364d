"""OpenAI's Realtime API (GA): speech to speech, µ-law or A-law both ways, over one websocket. And, for what is written,
its text models.

Azure OpenAI speaks it unchanged; only its address and its header differ (`azure_openai`). Source:
platform.openai.com/docs/api-reference/realtime. Settings and options are described in docs/voices.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from providers import chat
from providers.chat import ChatModel
from providers.realtime_dialects import OPENAI
from providers.realtime_fields import tool_definitions
from providers.realtime_provider import (
    Options,
    RealtimeProvider,
    Vendor,
    base_language,
    detection,
    given,
    needed,
    websocket_address,
)
from providers.realtime_socket import EXPIRES_AFTER
from providers.transcription import RealtimeRecogniser
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session

BASE_URL = "wss://api.openai.com/v1"
MODEL = "gpt-realtime-2.1"
TRANSCRIPTION_MODEL = "gpt-transcribe"
VOICE = "marin"
FORMATS = {
    "ulaw": {"type": "audio/pcmu"},
    "alaw": {"type": "audio/pcma"},
    "pcm16": {"type": "audio/pcm", "rate": 24000},
}
CAPABILITIES = Capabilities(
    formats=(ULAW, ALAW, AudioFormat("pcm16", 24000)),
    truncation=True,
    tools=True,
    understands=True,
    turn_detection=True,
    recognises=True,
    writes=True,
    max_session=EXPIRES_AFTER,
)
OPTIONS: Mapping[str, tuple[type, ...]] = {
    "turn_detection": (dict,),
    "noise_reduction": (str,),
    "transcription_model": (str,),
    "keywords": (list,),
    "speed": (int, float),
    "reasoning_effort": (str,),
    "max_output_tokens": (int,),
}


def configuration(session: Session, options: Options) -> dict[str, Any]:
    """The ``session`` object of session.update. What nobody set is left out, so that the vendor's own default holds."""
    format = FORMATS[session.format.encoding]
    hearing = {
        "format": format,
        "transcription": _transcription(session, options["transcription_model"], options.get("keywords", ())),
        "turn_detection": detection(session, options.get("turn_detection")),
        "noise_reduction": {"type": options["noise_reduction"]} if "noise_reduction" in options else None,
    }
    speaking = {"format": format, "voice": session.voice or VOICE, "speed": options.get("speed")}
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {"input": given(hearing), "output": given(speaking)},
        "tools": tool_definitions(session.tools),
        **given({
            "instructions": session.instructions or None,
            "reasoning": {"effort": options["reasoning_effort"]} if "reasoning_effort" in options else None,
            "max_output_tokens": options.get("max_output_tokens"),
        }),
    }  # fmt: skip


VENDOR = Vendor("openai", "OpenAI", CAPABILITIES, OPENAI, OPTIONS, configuration)


class OpenAI(RealtimeProvider):
    """The provider: the key, and one HTTP session for all conversations and recognisers."""

    def __init__(self, *, key: str, base: str, model: str, transcription_model: str, texts: ChatModel) -> None:
        super().__init__(
            VENDOR,
            address=lambda named: f"{base}/realtime?model={quote(named, safe='')}",
            model=model,
            texts=texts,
            headers={"Authorization": f"Bearer {key}"},
            secret=key,
            defaults={"transcription_model": transcription_model},
        )
        self._base = base
        self._transcription_model = transcription_model

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> RealtimeRecogniser:
        """A transcription session for one stretch of listening. Raises `VoiceError` when the format is not offered."""
        self._takes(format)
        hearing = {
            "format": FORMATS[format.encoding],
            "transcription": _transcription(Session(language=language), self._transcription_model, hints),
            "turn_detection": {"type": "server_vad"},
        }
        return RealtimeRecogniser(
            VENDOR.label,
            self.http,
            f"{self._base}/realtime?intent=transcription",
            self._headers,
            format,
            {"type": "transcription", "audio": {"input": hearing}},
            secret=self._secret,
        )


def _transcription(session: Session, model: str, keywords: Sequence[str]) -> dict[str, Any]:
    """How speech is written down."""
    return given({"model": model, "keywords": list(keywords) or None, "language": base_language(session)})


def provider(settings: Mapping[str, str]) -> OpenAI:
    """Entry point. Settings: ``api_key`` (needed), ``base_url``, ``model``, ``transcription_model``, ``text_model``.

    Raises:
        VoiceError: there is no key, or the base URL is none.
    """
    key = needed(settings, "api_key", "openai", "OPENAI_API_KEY")
    base = websocket_address(settings.get("base_url", BASE_URL), "base_url")
    return OpenAI(
        key=key,
        base=base,
        model=settings.get("model", MODEL),
        transcription_model=settings.get("transcription_model", TRANSCRIPTION_MODEL),
        texts=ChatModel(
            "OpenAI", base_url=base.replace("ws", "http", 1), model=settings.get("text_model", chat.MODEL), api_key=key
        ),
    )
