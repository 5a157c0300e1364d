"""The providers that are in use: loaded by name when a flow first names them, closed with the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from engine.breaker import Breakers
from providers.registry import capabilities, load, names
from providers.voice import Capabilities, Provider, Voice, VoiceError

log = structlog.get_logger()

CLOSE_WITHIN = 2.0  # seconds for a provider to say goodbye


def known_voices() -> dict[str, Capabilities]:
    """What every installed voice can do, for the check of flows. A voice that cannot be imported is left out."""
    found: dict[str, Capabilities] = {}
    for name in names():
        try:
            found[name] = capabilities(name)
        except VoiceError as error:
            log.warning("a voice is installed but cannot be used", voice=name, error=str(error))
    return found


class Voices:
    """Providers by name. ``settings`` holds each one's own settings (keys, URLs, models)."""

    def __init__(self, settings: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._settings = settings or {}
        self._loaded: dict[str, Provider] = {}
        self.breakers = Breakers()  # who failed again and again, in any call

    def add(self, name: str, provider: Provider) -> None:
        """Use this provider under this name (tests, embedded use)."""
        self._loaded[name] = provider

    def get(self, name: str) -> Provider:
        """The provider; imported and made when first asked for, so do that at start. Raises
        `providers.voice.VoiceError`.
        """
        provider = self._loaded.get(name)
        if provider is None:
            provider = self._loaded[name] = load(name, self._settings.get(name, {}))
        return provider

    @property
    def opened(self) -> list[str]:
        """The names of those that are in use."""
        return sorted(self._loaded)

    async def close(self) -> None:
        """Close them all."""
        for provider in self._loaded.values():
            await provider.close()
        self._loaded.clear()


async def close(voice: Voice, name: str) -> None:
    """End a session in bounded time; how it ended changes nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await voice.close()
    except Exception as error:
        log.warning("a voice could not be closed", provider=name, error=f"{type(error).__name__}: {error}")
