"""The console of an engine, put together: routes for its HTTP server, and an end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from engine.console.api import Api
from engine.console.audit import Audit
from engine.console.gate import Gate, is_loopback
from engine.console.pages import Pages
from engine.console.tokens import Tokens

if TYPE_CHECKING:
    from aiohttp import web

    from engine.health import Readiness
    from engine.services import Services
    from engine.settings import Settings
    from engine.switchboard import Switchboard

log = structlog.get_logger()

KEY: Final = Path("console.key")  # in the storage


class Console:
    """Made before the HTTP server, closed before it. Raises `engine.console.tokens.TokensError`."""

    def __init__(self, settings: Settings, switchboard: Switchboard, services: Services, readiness: Readiness) -> None:
        told = settings.console
        tokens, loopback = Tokens(told.tokens), is_loopback(settings.http.host)
        gate = Gate(tokens, settings.storage / KEY, loopback=loopback, origin=told.origin)
        self.audit = Audit(told.audit)
        self.api = Api(switchboard, services, readiness, gate, self.audit)
        if tokens.open:
            who = "this machine alone, as admin" if loopback and told.origin is None else "nobody"
            log.warning(
                f"the console and its API serve {who}: there is no token; `hookflash token create NAME --role admin` "
                "makes one, which a proxy before the engine needs: through it, everybody comes from this machine",
                tokens=str(told.tokens),
            )

    def routes(self) -> list[web.RouteDef]:
        """For the engine's HTTP server."""
        return [*self.api.definitions(), *Pages().definitions()]

    @contextmanager
    def served(self) -> Iterator[None]:
        """While the server runs; then streams and sockets end at once."""
        try:
            yield
        finally:
            self.api.feed.close()
            self.api.audience.close()
