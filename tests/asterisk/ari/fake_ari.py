"""A web server that answers as ARI would, to test what the client makes of answers. It does no telephony."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

APP = "unit"
USER, PASSWORD = "engine", "secret: ü"
CHANNEL = {
    "id": "chan-1",
    "name": "PJSIP/alice-00000001",
    "state": "Up",
    "protocol_id": "abc@host",
    "caller": {"name": "Alice", "number": "+12125550100"},
    "connected": {"name": "", "number": ""},
    "accountcode": "",
    "dialplan": {"context": "in", "exten": "100", "priority": 1, "app_name": "Stasis", "app_data": APP},
    "creationtime": "2026-11-20T12:00:00.123+0000",
    "language": "en",
}
BRIDGE = {
    "id": "bridge-1",
    "technology": "simple_bridge",
    "bridge_type": "mixing",
    "bridge_class": "stasis",
    "creator": "Stasis",
    "name": "",
    "channels": [],
    "creationtime": "2026-11-20T12:00:00.123+0000",
    "video_mode": "none",
}
APPLICATION = {
    "name": APP,
    "channel_ids": [],
    "bridge_ids": [],
    "endpoint_ids": [],
    "device_names": [],
    "events_allowed": [],
    "events_disallowed": [],
}


def event(kind: str, channel_id: str | None = "chan-1", **more: Any) -> dict[str, Any]:
    told = {"type": kind, "application": APP, "timestamp": "2026-11-20T12:00:01.000+0000", "asterisk_id": "02:00"}
    if channel_id is not None:
        told["channel"] = CHANNEL | {"id": channel_id}
    return told | more


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str


Answer = tuple[int, Any] | Callable[[web.Request], Any]


@dataclass
class FakeAri:
    """Answers by `answers[(method, path)]`: (status, JSON), or a coroutine function. `asked`: what came."""

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    refuse_sockets: int = 0
    stall_sockets: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    refused_twice: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self.answers |= {
            ("PUT", f"/applications/{APP}/eventFilter"): (200, APPLICATION),
            ("GET", f"/applications/{APP}"): (200, APPLICATION),
            ("GET", "/channels"): (200, []),
            ("GET", "/bridges"): (200, []),
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, body = request.path.removeprefix("/ari"), await request.read()
        self.asked.append(
            Asked(
                request.method,
                path,
                dict(request.query),
                json.loads(body) if body else None,
                request.headers.get("Authorization", ""),
            )
        )
        if path == "/events" and not self.refuse_sockets:
            return await self.events(request)
        if path == "/events":
            if self.count("GET", "/events") > 1:
                self.refused_twice.set()
            return web.json_response({"message": "refused"}, status=self.refuse_sockets)
        answer = self.answers.get((request.method, path), (404, {"message": "Resource not found"}))
        if callable(answer):
            return await answer(request)
        status, content = answer
        if content is None:
            return web.Response(status=status)
        if isinstance(content, str):
            return web.Response(status=status, text=content)
        return web.json_response(content, status=status)

    async def events(self, request: web.Request) -> web.WebSocketResponse:
        if self.stall_sockets:
            self.stall_sockets -= 1
            await asyncio.Event().wait()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        self.opened.set()
        async for _ in socket:
            pass
        return socket

    async def send(self, *events: dict[str, Any]) -> None:
        """Send events through the newest socket."""
        for each in events:
            await self.sockets[-1].send_json(each)

    def count(self, method: str, path: str) -> int:
        return sum((each.method, each.path) == (method, path) for each in self.asked)

    def last(self, method: str, path: str) -> Asked:
        return next(each for each in reversed(self.asked) if (each.method, each.path) == (method, path))


@asynccontextmanager
async def serving(fake: FakeAri) -> AsyncIterator[FakeAri]:
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", fake.handle)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    fake.url = str(server.make_url("/"))
    try:
        yield fake
    finally:
        for socket in fake.sockets:
            await socket.close()
        await server.close()
