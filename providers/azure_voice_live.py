"""Azure Voice Live: Microsoft's managed speech to speech, with the event names of the realtime beta.

Source: learn.microsoft.com and the vendor's client azure-ai-voicelive, API version 2026-07-15. It speaks texts to the
letter (`pre_generated_assistant_message`). What the caller heard is told by us, not guessed by the server
(``auto_truncate`` stays off): it would take for granted that everything sent was played at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from providers.realtime_dialects import VOICE_LIVE
from providers.realtime_fields import tool_definitions
from providers.realtime_provider import (
    Options,
    RealtimeProvider,
    Vendor,
    detection,
    given,
    needed,
    websocket_address,
)
from providers.realtime_socket import EXPIRES_AFTER
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session

MODEL = "gpt-realtime-2.1"
API_VERSION = "2026-07-15"
TRANSCRIPTION_MODEL = "azure-speech"
VOICE = "marin"
FORMATS = {"ulaw": ("g711_ulaw", 8000), "alaw": ("g711_alaw", 8000), "pcm16": ("pcm16", 24000)}
CAPABILITIES = Capabilities(
    formats=(ULAW, ALAW, AudioFormat("pcm16", 24000)),
    verbatim=True,
    truncation=True,
    tools=True,
    understands=True,
    turn_detection=True,
    max_session=EXPIRES_AFTER,
)
OPTIONS: Mapping[str, tuple[type, ...]] = {
    "turn_detection": (dict,),
    "noise_reduction": (str,),
    "echo_cancellation": (bool,),
    "transcription_model": (str,),
    "keywords": (list,),
    "voice": (dict,),
    "temperature": (int, float),
    "reasoning_effort": (str,),
    "max_output_tokens": (int,),
}


def configuration(session: Session, options: Options) -> dict[str, Any]:
    """The flat ``session`` object of this API."""
    format, rate = FORMATS[session.format.encoding]
    transcription = {
        "model": options["transcription_model"],
        "language": session.language,
        "phrase_list": options.get("keywords"),
    }
    noise = {"type": options["noise_reduction"]} if "noise_reduction" in options else None
    echo = {"type": "server_echo_cancellation"} if options.get("echo_cancellation") else None
    return {
        "modalities": ["text", "audio"],
        "voice": _voice(session, options),
        "input_audio_format": format,
        "input_audio_sampling_rate": rate,
        "output_audio_format": format,
        "turn_detection": {**detection(session, options.get("turn_detection")), "auto_truncate": False},
        "input_audio_transcription": given(transcription),
        "tools": tool_definitions(session.tools),
        **given({
            "instructions": session.instructions or None,
            "input_audio_noise_reduction": noise,
            "input_audio_echo_cancellation": echo,
            "temperature": options.get("temperature"),
            "reasoning_effort": options.get("reasoning_effort"),
            "max_response_output_tokens": options.get("max_output_tokens"),
        }),
    }  # fmt: skip


def _voice(session: Session, options: Options) -> str | dict[str, Any]:
    """A voice of the model by its name, or one of Azure's (``en-US-AvaNeural``, told by the hyphens), or an object."""
    if "voice" in options:
        return dict(options["voice"])
    name = session.voice or VOICE
    return {"type": "azure-standard", "name": name} if "-" in name else {"type": "openai", "name": name}


VENDOR = Vendor("azure-voice-live", "Azure Voice Live", CAPABILITIES, VOICE_LIVE, OPTIONS, configuration)


def provider(settings: Mapping[str, str]) -> RealtimeProvider:
    """Entry point. Settings: ``api_key`` and ``endpoint`` are needed; ``model``, ``api_version``,
    ``transcription_model``.

    Raises:
        VoiceError: a setting is missing or the endpoint is no address.
    """
    key = needed(settings, "api_key", "azure-voice-live", "AZURE_VOICELIVE_API_KEY")
    endpoint = needed(
        settings, "endpoint", "azure-voice-live", "AZURE_VOICELIVE_ENDPOINT (https://NAME.services.ai.azure.com)"
    )
    base = websocket_address(endpoint, "endpoint")
    version = quote(settings.get("api_version", API_VERSION), safe="")
    return RealtimeProvider(
        VENDOR,
        address=lambda model: f"{base}/voice-live/realtime?api-version={version}&model={quote(model, safe='')}",
        model=settings.get("model", MODEL),
        headers={"api-key": key},
        secret=key,
        defaults={"transcription_model": settings.get("transcription_model", TRANSCRIPTION_MODEL)},
    )
