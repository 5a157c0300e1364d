"""The engine's own HTTP server: is it alive, is it ready for calls, and what has it measured.

``/livez``: the event loop turns. ``/startupz``: Asterisk is connected and flows are loaded. ``/readyz``: a new call can
be taken now; else 503 with the reasons. ``/metrics``: Prometheus. The others answer JSON, as do further pages of the
engine (``/flows``). None tells of a caller.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from engine.errors import UserError
from engine.metrics import Metrics
from engine.settings import HttpSettings
from engine.version import VERSION


class ListenError(UserError):
    """The HTTP server cannot listen where the settings say."""


@dataclass(slots=True)
class Readiness:
    """What decides whether a new call can be taken. The engine keeps it up to date."""

    capacity: int  # live calls at most
    ari_connected: bool = False
    flows_loaded: bool = False
    draining: bool = False
    ari_problem: str = ""  # why there is no connection yet, in words
    active: int = 0  # live calls
    warnings: list[str] = field(default_factory=list)  # what is wrong although calls can be taken

    def missing(self) -> list[str]:
        """What a start still waits for; empty when it is over."""
        why = f": {self.ari_problem}" if self.ari_problem else ""
        checks = ((self.ari_connected, f"no connection to Asterisk{why}"), (self.flows_loaded, "no flows loaded"))
        return [reason for holds, reason in checks if not holds]

    def reasons(self) -> list[str]:
        """Why no call can be taken now, in words; empty when one can."""
        checks = (
            (not self.draining, "draining: the engine is stopping"),
            (self.active < self.capacity, f"at capacity: {self.active} of {self.capacity} calls"),
        )
        return self.missing() + [reason for holds, reason in checks if not holds]

    def export(self, metrics: Metrics) -> None:
        """Let the metrics read what stands here."""
        metrics.capacity.set_function(lambda: self.capacity)
        metrics.ari_connected.set_function(lambda: self.ari_connected)
        metrics.draining.set_function(lambda: self.draining)


Pages = Mapping[str, Callable[[], Any]]  # by path: what gives the JSON that is answered there


def application(
    readiness: Readiness, metrics: Metrics, pages: Pages | None = None, routes: Iterable[web.RouteDef] = ()
) -> web.Application:
    """The aiohttp application, for `serve_health` and for tests."""

    async def livez(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": VERSION})

    async def readyz(request: web.Request) -> web.Response:
        reasons = readiness.reasons()
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons, "calls": readiness.active}
        if readiness.warnings:
            body["warnings"] = readiness.warnings
        return web.json_response(body, status=503 if reasons else 200)

    async def startupz(request: web.Request) -> web.Response:
        reasons = readiness.missing()
        body = {"status": "starting" if reasons else "started", "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)

    async def exposition(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def page(told: Callable[[], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(told())

        return answer

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/startupz", startupz)
    app.router.add_get("/metrics", exposition)
    for path, told in (pages or {}).items():
        app.router.add_get(path, page(told))
    app.router.add_routes(routes)
    return app


@asynccontextmanager
async def serve_health(
    settings: HttpSettings,
    readiness: Readiness,
    metrics: Metrics,
    pages: Pages | None = None,
    routes: Iterable[web.RouteDef] = (),
) -> AsyncIterator[str]:
    """Serve while the block runs; gives the server's URL. Raises `ListenError`."""
    readiness.export(metrics)
    runner = web.AppRunner(application(readiness, metrics, pages, routes), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            raise ListenError(_cannot_listen(settings, error)) from error
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _cannot_listen(settings: HttpSettings, error: OSError) -> str:
    where = f"{settings.host} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: set http.port (HOOKFLASH_HTTP_PORT) to a free one, or 0 for any"
    reason = error.strerror or str(error)
    return (
        f"cannot listen on {where}: {reason}; set http.host (HOOKFLASH_HTTP_HOST) and http.port (HOOKFLASH_HTTP_PORT)"
    )
