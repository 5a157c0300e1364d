"""The providers that are in use: loaded by name when a flow first names them, closed with the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from engine.accounts import Limited, current, using
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
    engine, but for secrets: nobody talks with another's key.
    """

    def __init__(self, settings: Settings | None = None, accounts: Mapping[str, Settings] | None = None) -> None:
        self._settings = settings or {}
        self._accounts = accounts or {}
        self._loaded: dict[tuple[str, str | None], Provider] = {}
        self._made_of: dict[str, tuple[str, ...]] = {}  # voices of other providers' parts
        self.breakers = Breakers()  # who failed again and again, in any call

    def add(self, name: str, provider: Provider, account: str | None = None) -> None:
        """Use this provider under this name (tests, embedded use)."""
        self._loaded[name, account] = provider

    def get(self, name: str) -> Provider:
        """The provider, for the account that counts here; imported and made when first asked for, so do that at start.

        Raises `providers.voice.VoiceError`.
        """
        account = self._account_of(name)
        provider = self._loaded.get((name, account))
        if provider is None:
            provider = self._loaded[name, account] = self._make(name, account)
            if self._account_of(name) != account:  # now it is known what it is made of
                return self.get(name)
        return provider

    @property
    def opened(self) -> list[str]:
        """The names of those that are in use."""
        return sorted({name for name, _ in self._loaded})

    def breaker(self, name: str) -> Breaker:
        """What is known of the provider's failures under the account that counts here."""
        account = self._account_of(name)
        return self.breakers[name if account is None else f"{account}/{name}"]

    def _account_of(self, name: str) -> str | None:
        """The account that counts here, if it makes a difference: a voice without secrets is everybody's."""
        account = current()
        if account is None or (name, account) in self._loaded or name in self._accounts.get(account, {}):
            return account
        secret = any(is_secret(setting) for setting in self._settings.get(name, {}))
        return account if secret or any(self._account_of(part) for part in self._made_of.get(name, ())) else None

    def _make(self, name: str, account: str | None) -> Provider:
        settings = dict(self._settings.get(name, {}))
        if account is not None:
            settings = {setting: value for setting, value in settings.items() if not is_secret(setting)}
            settings |= self._accounts.get(account, {}).get(name, {})
        most = settings.pop("max_sessions", None)
        whose = "the engine" if account is None else f"account '{account}'"
        try:
            provider = load(name, settings)
        except VoiceError as error:
            if account is None or error.code != "setting":
                raise
            prefix = variable(("accounts", account, name))
            text = f"{whose}: {error}; for an account set {prefix}_… (such as {prefix}_API_KEY)"
            raise VoiceError(text, code=error.code) from None
        if isinstance(provider, MadeOfOthers):
            self._made_of[name] = provider.others
            with using(account):
                provider.assemble(self.get)
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


async def close(voice: Voice, name: str) -> None:
    """End a session in bounded time; how it ended changes nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await voice.close()
    except Exception as error:
        log.warning("a voice could not be closed", provider=name, error=f"{type(error).__name__}: {error}")
