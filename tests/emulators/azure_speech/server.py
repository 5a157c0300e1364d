"""The emulator's front: an aiohttp server on a free loopback port, where the vendor's SDK finds its usual paths."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from tests.emulators.azure_speech.connection import Connection
from tests.emulators.azure_speech.faults import Faults
from tests.emulators.azure_speech.recognition import Recognition
from tests.emulators.azure_speech.synthesis import Synthesis
from tests.emulators.openai_realtime.sound import tone_voice

Speak = Callable[[str], Awaitable[bytes]]  # text to µ-law at 8 kHz
Kind = TypeVar("Kind", bound=Connection)
PATHS: dict[str, type[Connection]] = {
    "/speech/recognition/{mode:conversation|interactive|dictation}/cognitiveservices/v1": Recognition,
    "/stt/speech/universal/v2": Recognition,
    "/cognitiveservices/websocket/v1": Synthesis,
    "/tts/cognitiveservices/websocket/v1": Synthesis,
}


class AzureSpeech:
    """`async with AzureSpeech(heard=["Hello."]) as service:` then set the voice's endpoint to `service.url`.

    `heard` are the texts of the caller's phrases, each ended by `pause_ms` of quiet. `voice` speaks (default: tones) in
    pieces of `chunk_ms`, `pace` times as fast as it is heard. `key`: the one that is accepted (default: any).
    """

    def __init__(
        self,
        *,
        heard: Sequence[str] = (),
        faults: Faults | None = None,
        voice: Speak = tone_voice,
        key: str | None = None,
        pause_ms: int = 500,
        chunk_ms: int = 100,
        pace: float = 10.0,
    ) -> None:
        self.heard = list(heard)
        self.faults = faults or Faults()
        self.voice = voice
        self.key = key
        self.pause_ms = pause_ms
        self.chunk_ms = chunk_ms
        self.pace = pace
        self.connections: list[Connection] = []
        self.upgrades: list[str] = []  # the path and query of every try, refused ones as well
        self.port = 0
        self._appeared = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The endpoint that the voice is given."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def problems(self) -> list[str]:
        """What was wrong with what clients sent."""
        return [problem for connection in self.connections for problem in connection.problems]

    @property
    def open(self) -> int:
        """Connections that have not ended."""
        return sum(not connection.ended.is_set() for connection in self.connections)

    async def recognition(self, number: int = 0) -> Recognition:
        """The connection for recognition that came as number so-and-so, as soon as it is there."""
        return await self._connection(Recognition, number)

    async def synthesis(self, number: int = 0) -> Synthesis:
        return await self._connection(Synthesis, number)

    async def _connection(self, kind: type[Kind], number: int) -> Kind:
        def found() -> list[Kind]:
            return [each for each in self.connections if isinstance(each, kind)]

        async with asyncio.timeout(5), self._appeared:
            await self._appeared.wait_for(lambda: len(found()) > number)
        return found()[number]

    async def __aenter__(self) -> AzureSpeech:
        app = web.Application()
        for path, kind in PATHS.items():
            app.router.add_get(path, self._accept(kind))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _accept(self, kind: type[Connection]) -> Any:
        async def accept(request: web.Request) -> web.StreamResponse:
            self.upgrades.append(request.path_qs)
            limit = self.faults.connections
            faults = self.faults if limit is None or len(self.upgrades) <= limit else Faults()
            if faults.hang_upgrade:
                await asyncio.Event().wait()
            key = request.headers.get("Ocp-Apim-Subscription-Key")
            refused = 401 if not key or (self.key is not None and key != self.key) else None
            if faults.http_status or refused:
                return web.json_response({"error": {"code": "refused"}}, status=faults.http_status or refused or 500)
            socket = web.WebSocketResponse(compress=False, protocols=("USP",), max_msg_size=16 * 2**20)
            await socket.prepare(request)
            connection = kind(self, socket, request, faults)
            async with self._appeared:
                self.connections.append(connection)
                self._appeared.notify_all()
            try:
                await connection.run()
            finally:
                connection.ended.set()
            return socket

        return accept
