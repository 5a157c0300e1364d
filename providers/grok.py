"""xAI's Grok voice: speech to speech, µ-law or A-law both ways, over one websocket.

The vendor has no client library for it; sources are its documentation and its example of a telephone agent. It speaks
texts to the letter (`force_message`), charges for every item that a client adds (so the conversation so far is told
in the instructions), and leaves it to the client to cancel an answer that the caller interrupts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from providers.realtime_dialects import GROK
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
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session

BASE_URL = "wss://api.x.ai/v1"
MODEL = "grok-voice-latest"
TRANSCRIPTION_MODEL = "grok-transcribe"
VOICE = "eve"
EXPIRES_AFTER = 1800.0  # seconds; the vendor's figures vary between 30 and 120 minutes
OURS = ("create_response", "interrupt_response")  # fields of turn_detection that this vendor does not have
FORMATS = {
    "ulaw": {"type": "audio/pcmu"},
    "alaw": {"type": "audio/pcma"},
    "pcm16": {"type": "audio/pcm", "rate": 24000},
}
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
    "transcription_model": (str,),
    "keywords": (list,),
    "speed": (int, float),
    "reasoning_effort": (str,),
    "replace": (dict,),
    "web_search": (bool,),
}


def configuration(session: Session, options: Options) -> dict[str, Any]:
    """The ``session`` object: voice and turn detection stand at its top, and it has no type."""
    format = FORMATS[session.format.encoding]
    transcription = {
        "model": options["transcription_model"],
        "keyterms": options.get("keywords"),
        "language_hint": base_language(session),
    }
    turns = detection(session, options.get("turn_detection"))
    tools = tool_definitions(session.tools)
    if options.get("web_search"):
        tools.append({"type": "web_search"})
    return {
        "voice": session.voice or VOICE,
        "turn_detection": {name: value for name, value in turns.items() if name not in OURS},
        "audio": {
            "input": {"format": format, "transcription": given(transcription)},
            "output": given({"format": format, "speed": options.get("speed")}),
        },
        "tools": tools,
        **given({
            "instructions": session.instructions or None,
            "reasoning": {"effort": options["reasoning_effort"]} if "reasoning_effort" in options else None,
            "replace": options.get("replace"),
        }),
    }  # fmt: skip


VENDOR = Vendor("grok", "Grok", CAPABILITIES, GROK, OPTIONS, configuration)


def provider(settings: Mapping[str, str]) -> RealtimeProvider:
    """Entry point. Settings: ``api_key`` (needed), ``base_url``, ``model``, ``transcription_model``.

    Raises:
        VoiceError: there is no key, or the base URL is none.
    """
    key = needed(settings, "api_key", "grok", "XAI_API_KEY")
    base = websocket_address(settings.get("base_url", BASE_URL), "base_url")
    return RealtimeProvider(
        VENDOR,
        address=lambda model: f"{base}/realtime?model={quote(model, safe='')}",
        model=settings.get("model", MODEL),
        headers={"Authorization": f"Bearer {key}"},
        secret=key,
        defaults={"transcription_model": settings.get("transcription_model", TRANSCRIPTION_MODEL)},
    )
