"""The console's files: the page with a nonce of its own each time, and what it loads, which never changes."""

from __future__ import annotations

import mimetypes
import re
import secrets
from pathlib import Path
from typing import Final

from aiohttp import web

from engine.console.routing import HEADERS

STATIC: Final = Path(__file__).parent / "static"
HASHED: Final = re.compile(r"[A-Za-z0-9_.-]+-[A-Za-z0-9_]{8,}\.[a-z0-9.]+")
NO_PAGE: Final = "<!doctype html><title>Hookflash</title><p>This build has no console: `make console` makes it.\n"


def policy(nonce: str) -> str:
    """The content security policy of the page: nothing but the engine's own files; styles also with the nonce."""
    return "; ".join(
        (
            "default-src 'self'", "script-src 'self'", f"style-src 'self' 'nonce-{nonce}'", "img-src 'self' data:",
            "media-src 'self' blob:", "connect-src 'self'", "worker-src 'self'", "font-src 'self'",
            "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "object-src 'none'",
        )
    )  # fmt: skip


class Pages:
    """Serves the files of a folder: ``index.html``, and ``assets/`` with hashed names."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._assets = {path.name: path for path in folder.glob("assets/*") if path.is_file() and path.suffix != ".gz"}
        index = folder / "index.html"
        self._index = index.read_text() if index.is_file() else NO_PAGE

    def definitions(self) -> list[web.RouteDef]:
        """For the engine's HTTP server."""
        return [
            web.get("/", self._to_the_page),
            web.get("/console", self._to_the_page),
            web.get("/console/assets/{name}", self._asset),
            web.get("/console/{tail:(?s:.*)}", self._page),
        ]

    async def _to_the_page(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={**HEADERS, "Location": "/console/"})

    async def _page(self, request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        headers = {**HEADERS, "Content-Security-Policy": policy(nonce)}
        return web.Response(text=self._index.replace("{{nonce}}", nonce), content_type="text/html", headers=headers)

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = self._assets.get(name)
        if path is None:
            return web.Response(status=404, text="no such file\n", headers=HEADERS)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        kept = "public, max-age=31536000, immutable" if HASHED.fullmatch(name) else "no-cache"
        headers = {**HEADERS, "Content-Type": kind, "Cache-Control": kept}
        return web.FileResponse(path, headers=headers)  # takes the .gz beside it for who accepts that
