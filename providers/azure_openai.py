"""Azure OpenAI's realtime models: OpenAI's protocol unchanged, at the company's own resource.

Source: learn.microsoft.com, Azure OpenAI v1 API. The model of a session is the name of a deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from providers.openai import CAPABILITIES as OPENAI_CAPABILITIES
from providers.openai import TRANSCRIPTION_MODEL, VENDOR
from providers.realtime_provider import RealtimeProvider, needed, websocket_address

CAPABILITIES = replace(OPENAI_CAPABILITIES, recognises=False, writes=False)


def provider(settings: Mapping[str, str]) -> RealtimeProvider:
    """Entry point. Settings: ``api_key``, ``endpoint`` and ``model`` (the deployment) are needed;
    ``transcription_model``.

    Raises:
        VoiceError: a setting is missing or the endpoint is no address.
    """
    key = needed(settings, "api_key", "azure-openai", "AZURE_OPENAI_API_KEY")
    endpoint = needed(settings, "endpoint", "azure-openai", "AZURE_OPENAI_ENDPOINT (https://NAME.openai.azure.com)")
    model = needed(settings, "model", "azure-openai", "HOOKFLASH_VOICES_AZURE_OPENAI_MODEL to your deployment's name")
    base = websocket_address(endpoint, "endpoint").removesuffix("/openai/v1")
    return RealtimeProvider(
        replace(VENDOR, name="azure-openai", label="Azure OpenAI", capabilities=CAPABILITIES),
        address=lambda deployment: f"{base}/openai/v1/realtime?model={quote(deployment, safe='')}",
        model=model,
        headers={"api-key": key},
        secret=key,
        defaults={"transcription_model": settings.get("transcription_model", TRANSCRIPTION_MODEL)},
    )
