"""All voices that come with Hookflash, each beside the emulator of its vendor: for tests that hold for every voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from providers import azure_openai, azure_speech, azure_voice_live, gemini, google, gpt_live, grok, openai
from providers.voice import Capabilities, MakeProvider
from tests.emulators.cascades import Azure, Google
from tests.emulators.gemini_live import GeminiConversation, GeminiSurface
from tests.emulators.live import LACKS, live
from tests.emulators.openai_realtime import Emulator
from tests.emulators.openai_realtime.grok import GrokSurface
from tests.emulators.openai_realtime.surface import Surface
from tests.emulators.openai_realtime.voice_live import VoiceLiveSurface

KEY = "sk-test-1234567890"


@dataclass(frozen=True)
class Vendor:
    """``emulate(**options)`` makes its emulator, ``settings(emulator)`` what the provider is made with beside a key.
    ``lacks``: faults that its protocol has no word for.
    """

    provider: MakeProvider
    capabilities: Capabilities
    emulate: Callable[..., Any]
    settings: Callable[[Any], Mapping[str, str]]
    lacks: frozenset[str] = frozenset({"go_away"})

    def settings_for(self, emulator: Any) -> dict[str, str]:
        return {"api_key": KEY, **self.settings(emulator)}


def _azure_openai(**options: Any) -> Emulator:
    return Emulator(surface=lambda: Surface(path="/openai/v1/realtime", header="api-key"), **options)


def _voice_live(**options: Any) -> Emulator:
    return Emulator(surface=VoiceLiveSurface, **options)


def _grok(**options: Any) -> Emulator:
    return Emulator(surface=GrokSurface, **options)


def _gemini(**options: Any) -> Emulator:
    return Emulator(surface=GeminiSurface, talk=GeminiConversation, **options)


VENDORS: Mapping[str, Vendor] = {
    "azure-speech": Vendor(
        azure_speech.provider, azure_speech.CAPABILITIES, Azure, lambda emulator: emulator.settings, Azure.lacks,
    ),
    "azure-openai": Vendor(
        azure_openai.provider, azure_openai.CAPABILITIES, _azure_openai,
        lambda emulator: {"endpoint": emulator.endpoint, "model": "our-deployment"},
    ),
    "azure-voice-live": Vendor(
        azure_voice_live.provider, azure_voice_live.CAPABILITIES, _voice_live,
        lambda emulator: {"endpoint": emulator.endpoint}, frozenset({"go_away", "rate_limit"}),
    ),
    "gemini": Vendor(
        gemini.provider, gemini.CAPABILITIES, _gemini,
        lambda emulator: {"base_url": f"ws://127.0.0.1:{emulator.port}"}, frozenset({"error", "rate_limit"}),
    ),
    "google": Vendor(
        google.provider, google.CAPABILITIES, Google, lambda emulator: emulator.settings, Google.lacks,
    ),
    "gpt-live": Vendor(
        gpt_live.provider, gpt_live.CAPABILITIES, live, lambda emulator: {"base_url": emulator.url}, LACKS,
    ),
    "grok": Vendor(
        grok.provider, grok.CAPABILITIES, _grok,
        lambda emulator: {"base_url": emulator.url}, frozenset({"go_away", "rate_limit"}),
    ),
    "openai": Vendor(openai.provider, openai.CAPABILITIES, Emulator, lambda emulator: {"base_url": emulator.url}),
}  # fmt: skip
