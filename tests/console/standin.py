"""A stand-in for the engine's API, for what the page looks like: calls in every state, every kind of entry.

What the page does to calls is proven on the engine itself (`test_console_calls.py`); here nothing rings. The answers
are in ``standin.json``, in the shape of docs/api.md, with times as seconds from now.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import math
import secrets
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.verbs import installed
from flows.graph import graph_of
from flows.language import Language

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "engine" / "console" / "static"
TIMES = ("at", "started", "answered", "ended", "now", "expires")
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; font-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'"
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}


class StandIn:
    """See the module. ``role`` is who looks (empty: nobody yet); `down` is set while the engine cannot be reached."""

    def __init__(self, role: str = "supervisor") -> None:
        self.role = role
        self.down = asyncio.Event()
        self.url = ""
        self.asked: list[str] = []  # actions: "POST /calls/…"
        self.answers: dict[str, Any] = placed(json.loads(Path(__file__).with_name("standin.json").read_text()))
        self._streams: set[web.StreamResponse] = set()
        self._count = 0

    async def tell(self, event: str, data: Any) -> None:
        """Send an event to every page that follows."""
        self._count += 1
        line = f"id: s-{self._count}\nevent: {event}\ndata: {json.dumps(placed(data))}\n\n".encode()
        for stream in list(self._streams):
            await stream.write(line)

    def reset(self, call: str | None) -> dict[str, Any]:
        """How everything is now."""
        detail = self.answers["details"].get(call)
        return {
            "reason": "start", "now": placed({"now": 0})["now"], "engine": self.answers["engine"],
            "calls": self.answers["calls"], "detail": detail if detail and detail["live"] else None,
        }  # fmt: skip

    def session(self) -> dict[str, Any]:
        rights = ["live", "values", "history", "recordings", "listen", "act", "audit"]
        may = rights[: {"viewer": 1, "analyst": 4, "supervisor": 6, "admin": 7}[self.role]]
        return {"name": "ada", "role": self.role, "may": may, "open": False, "csrf": "c", "expires": None}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/console/assets/{name}", self._asset)
        app.router.add_get("/console/{path:.*}", self._page)
        app.router.add_route("*", "/api/v1/{path:.*}", self._api)
        return app

    async def _page(self, request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(12)
        text = (STATIC / "index.html").read_text().replace("{{nonce}}", nonce)
        headers = {"Content-Security-Policy": CSP.format(nonce=nonce)}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        file = STATIC / "assets" / request.match_info["name"]
        return web.Response(body=file.read_bytes(), content_type=TYPES[file.suffix])

    async def _api(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        if self.down.is_set():
            raise web.HTTPBadGateway
        if path == "/events":
            return await self._events(request)
        if request.method == "POST" and path == "/session":
            token = (await request.json())["token"]
            if token not in ("viewer", "analyst", "supervisor", "admin"):
                return problem(401, "not-logged-in", "this token is not known")
            self.role = token
        if path == "/session":
            return web.json_response(self.session()) if self.role else problem(401, "not-logged-in", "no session")
        if request.method == "POST":
            self.asked.append(f"{request.method} {path} {await request.text()}".strip())
            return web.json_response({"status": "ringing"}, status=202)
        return self._read(path, request)

    def _read(self, path: str, request: web.Request) -> web.Response:
        parts = path.strip("/").split("/")
        if path in ("/engine", "/history", "/flows"):
            return web.json_response(self.answers[parts[0]])
        call = self.answers["details"].get(parts[1] if len(parts) > 1 else "")
        if call is None:
            return problem(404, "not-found", "no such call")
        match parts[2:]:
            case []:
                return web.json_response(call)
            case ["graph"]:
                return web.json_response({"flows": [drawn(call["call"]["flow"])]})
            case ["targets"]:
                return web.json_response(self.answers["targets"])
            case ["recordings", _]:
                return web.Response(body=sound(call["recordings"][0]["ms"] / 1000), content_type="audio/wav")
        return problem(404, "not-found", path)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        await stream.write(f"event: reset\ndata: {json.dumps(self.reset(request.query.get('call')))}\n\n".encode())
        self._streams.add(stream)
        try:
            await self.down.wait()
        finally:
            self._streams.discard(stream)
        return stream


def problem(status: int, kind: str, detail: str) -> web.Response:
    body = {"type": f"urn:hookflash:problem:{kind}", "title": kind, "status": status, "detail": detail, "reasons": []}
    return web.json_response(body, status=status, content_type="application/problem+json")


def placed(value: Any) -> Any:
    """The same with times: numbers of seconds from now become RFC 3339."""
    if isinstance(value, list):
        return [placed(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: moment(each) if name in TIMES and isinstance(each, int | float) else placed(each)
        for name, each in value.items()
    }


def moment(seconds: float) -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def drawn(flow: str) -> dict[str, Any]:
    """The graph of an example."""
    folder = ROOT / "flows" / "examples" / flow.split("/")[0]
    library = Language(installed()).load([folder]).library
    assert library is not None
    graph = dataclasses.asdict(graph_of(library.flows[flow]))
    return {**graph, "version": 1, "revision": "5d0c", "description": "", "current": True}


def sound(seconds: float) -> bytes:
    """Two sides that speak in turn, 8 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        samples = []
        for n in range(int(seconds * 8000)):
            turn = int(n / 8000 / 2.5) % 2
            loud = abs(math.sin(n / 8000 * 1.25 * math.pi)) * (0.4 + 0.6 * abs(math.sin(n / 1100)))
            value = int(9000 * loud * math.sin(n / 8000 * 2 * math.pi * (220 + 110 * turn)))
            samples.append(struct.pack("<hh", value if turn else 0, 0 if turn else value))
        out.writeframes(b"".join(samples))
    return file.getvalue()


@asynccontextmanager
async def serving(role: str = "supervisor") -> AsyncIterator[StandIn]:
    """A stand-in on a free port of this machine."""
    standin = StandIn(role)
    runner = web.AppRunner(standin.application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        standin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield standin
    finally:
        standin.down.set()
        await runner.cleanup()
