"""The providers that are in use: loaded by name when a flow first names them, closed with the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from engine.accounts import Limited, current
from engine.breaker import Breaker, Breakers
from engine.settings import is_secret, variable
from providers.parts import MadeOfOthers
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


Settings = Mapping[str, Mapping[str, str]]  # of each voice by its name: key, URL, model, …


class Voices:
    """Providers by name, each with the keys and limits of the account that counts where it is asked for.

    ``settings`` are the engine's own, ``accounts`` those of the others. What an account does not set is as for the
    engine, but for secrets: nobody talks with another's key. Every account has providers of its own.
    """

    def __init__(self, settings: Settings | None = None, accounts: Mapping[str, Settings] | None = None) -> None:
        self._settings = settings or {}
        self._accounts = accounts or {}
        self._loaded: dict[str, Provider] = {}  # `openai` is the engine's own, `acme/openai` an account's
        self._added: set[str] = set()
        self.breakers = Breakers()  # who failed again and again, in any call

    def add(self, name: str, provider: Provider, account: str | None = None) -> None:
        """Use this provider under this name (tests, embedded use); without an account in all of them."""
        self._loaded[_key(name, account)] = provider
        self._added.add(_key(name, account))

    def get(self, name: str) -> Provider:
        """The provider, for the account that counts here; imported and made when first asked for, so do that at start.

        Raises `providers.voice.VoiceError`.
        """
        key = self._key_of(name)
        provider = self._loaded.get(key)
        if provider is None:
            provider = self._loaded[key] = self._make(name, current())
        return provider

    @property
    def opened(self) -> list[str]:
        """The names of those that are in use."""
        return sorted({key.rpartition("/")[2] for key in self._loaded})

    def breaker(self, name: str) -> Breaker:
        """What is known of the provider's failures under the account that counts here."""
        return self.breakers[self._key_of(name)]

    def _key_of(self, name: str) -> str:
        own = _key(name, current())
        return name if name in self._added and own not in self._added else own

    def _make(self, name: str, account: str | None) -> Provider:
        settings = dict(self._settings.get(name, {}))
        if account is not None:
            settings = {setting: value for setting, value in settings.items() if not is_secret(setting)}
            settings |= {**self._accounts.get(account, {}).get(name, {}), "account": account}
        most = settings.pop("max_sessions", None)
        whose = "the engine" if account is None else f"account '{account}'"
        try:
            provider = load(name, settings)
            if isinstance(provider, MadeOfOthers):
                provider.assemble(self.get)
        except VoiceError as error:
            if account is None or error.code != "setting" or str(error).startswith(whose):
                raise
            prefix = variable(("accounts", account, name))
            example = f", such as {prefix}_API_KEY" if "key" in str(error) else ""
            text = f"{whose}: {error}; for this account the variables begin with {prefix}_{example}"
            raise VoiceError(text, code=error.code) from None
        if most is None:
            return provider
        if not most.isdecimal():
            raise VoiceError(f"{whose}: max_sessions of {name} must be a number, not '{most}'", code="setting")
        return Limited(provider, int(most), whose)

    async def close(self) -> None:
        """Close them all."""
        for provider in self._loaded.values():
            await provider.close()
        self._loaded.clear()


def _key(name: str, account: str | None) -> str:
    return name if account is None else f"{account}/{name}"


async def close(voice: Voice, name: str) -> None:
    """End a session in bounded time; how it ended changes nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await voice.close()
    except Exception as error:
        log.warning("a voice could not be closed", provider=name, error=f"{type(error).__name__}: {error}")
