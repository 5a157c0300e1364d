"""The vendors, in one process: a port for each party that is measured, frames out in real time, nothing looked into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import uvloop
from aiohttp import WSMsgType, web

from bench.child import obey
from bench.voices.cascades.azure_line import AzureLine
from bench.voices.cascades.google_line import GoogleLine
from bench.voices.cascades.line import CascadeLine
from bench.voices.wires import FRAME_MS, Wire, wire_of, written

SLOTS = 20
CASCADES: Mapping[str, type[CascadeLine]] = {"google": GoogleLine, "azure-speech": AzureLine}


class Line:
    """The sessions of one party that is measured."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.port = 0
        self.speaking = False
        self._sessions: list[web.WebSocketResponse] = []
        self.heard = 0  # messages of callers
        self._sent = 0

    async def serve(self) -> web.AppRunner:
        """Listen on a port of its own."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._accept)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        return runner

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        for event in self.wire.greets:
            await socket.send_str(written(event))
        settled = False
        async for message in socket:
            if settled:
                self.heard += message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
                continue
            settled = True
            for event in self.wire.settles:
                await socket.send_str(written(event))
            self._sessions.append(socket)
        if socket in self._sessions:
            self._sessions.remove(socket)
        return socket

    async def say(self, slot: int) -> None:
        """A frame to each session of this slot."""
        kind = WSMsgType.BINARY if self.wire.binary else WSMsgType.TEXT
        for socket in self._sessions[slot::SLOTS]:
            self._sent += 1
            if not socket.closed:
                try:
                    await socket.send_frame(self.wire.frame(self._sent), kind)
                except ConnectionError:
                    continue


class Service:
    """The process."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._cascades: dict[str, CascadeLine] = {}
        self._runners: list[web.AppRunner] = []

    async def run(self) -> None:
        """Serve until stdin ends."""
        clock = asyncio.create_task(self._speak())
        try:
            asked = {"line": self._line, "cascade": self._cascade, "speak": self._tell, "count": self._counted}
            await obey({"start": self._start, **asked})
        finally:
            clock.cancel()
            await asyncio.wait([clock])
            for runner in self._runners:
                await runner.cleanup()
            for line in self._cascades.values():
                await line.close()

    async def _start(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    async def _line(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A port for ``party``, which speaks to the ``voice``'s vendor."""
        line = self._lines[asked["party"]] = Line(wire_of(asked["voice"]))
        self._runners.append(await line.serve())
        return {"port": line.port}

    async def _cascade(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The ``settings`` for ``party``, which speaks to the vendors of the cascade ``voice``."""
        line = self._cascades[asked["party"]] = CASCADES[asked["voice"]]()
        await line.serve()
        return {"settings": dict(line.settings)}

    async def _counted(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the cascade of ``party`` heard since it was asked last, and the pieces it spoke; how old it was."""
        line = self._cascades[asked["party"]]
        told = {"heard": line.heard, "sent": line.sent, "ages_ms": line.ages}
        line.heard, line.sent, line.ages = 0, 0, []
        return told

    async def _tell(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Speak to ``party`` alone (None: to nobody)."""
        lines: Mapping[str, Line | CascadeLine] = {**self._lines, **self._cascades}
        for party, line in lines.items():
            line.speaking = party == asked["party"]
        return {party: line.heard for party, line in self._lines.items()}

    async def _speak(self) -> None:
        """One clock for all sessions, by absolute deadlines."""
        due, slot = time.monotonic(), 0
        while True:
            due += FRAME_MS / 1000 / SLOTS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            slot = (slot + 1) % SLOTS
            for line in self._lines.values():
                if line.speaking:
                    await line.say(slot)


if __name__ == "__main__":
    uvloop.run(Service().run())
