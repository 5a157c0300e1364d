"""The emulator's front: an aiohttp server on a free loopback port that accepts realtime websockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from tests.emulators.faults import Faults
from tests.emulators.openai_realtime.conversation import Conversation
from tests.emulators.openai_realtime.model import Turn
from tests.emulators.openai_realtime.sound import tone_voice
from tests.emulators.openai_realtime.surface import Surface

Speak = Callable[[str], Awaitable[bytes]]  # text to µ-law at 8 kHz


class Emulator:
    """`async with Emulator(script=[Say("Hello.")]) as emulator:` then connect to `emulator.url`.

    `script` is what the model answers, one entry a response; `heard` are the transcripts of the caller's turns. `voice`
    speaks (default: tones). Audio comes in pieces of `chunk_ms`, `pace` times as fast as it is heard. `surface` makes a
    vendor's view of a conversation (default: OpenAI's), `talk` holds it.
    """

    def __init__(
        self,
        *,
        script: Sequence[Turn] = (),
        heard: Sequence[str] = (),
        faults: Faults | None = None,
        voice: Speak = tone_voice,
        api_key: str | None = None,
        chunk_ms: int = 100,
        pace: float = 10.0,
        oracle: bool = True,
        surface: Callable[[], Surface] = Surface,
        talk: type[Conversation] = Conversation,
    ) -> None:
        self.script = list(script)
        self.heard = list(heard)
        self.faults = faults or Faults()
        self.voice = voice
        self.api_key = api_key
        self.chunk_ms = chunk_ms
        self.pace = pace
        self.surface = surface
        self.talk = talk
        self.oracle = surface().oracle() if oracle else None
        self.conversations: list[Conversation] = []
        self.port = 0
        self._appeared = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL that a voice is given."""
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def endpoint(self) -> str:
        """The address without a path, for vendors that are given that."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        """The base URL that the vendor's own client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def open_sessions(self) -> int:
        return sum(not conversation.ended.is_set() for conversation in self.conversations)

    def application(self) -> web.Application:
        """What answers under which path."""
        app = web.Application()
        app.router.add_get(self.surface().path, self._accept)
        return app

    async def start(self, port: int = 0) -> None:
        self._runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def conversation(self, number: int = 0) -> Conversation:
        """The conversation that came as number so-and-so, as soon as it is there."""
        async with asyncio.timeout(5), self._appeared:
            await self._appeared.wait_for(lambda: len(self.conversations) > number)
        return self.conversations[number]

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        faults = self.faults
        if faults.hang_upgrade:
            await asyncio.Event().wait()
        status = faults.http_status or self._refusal(request)
        if status:
            error = {
                "message": "Incorrect API key provided.",
                "type": "invalid_request_error",
                "code": "invalid_api_key",
            }
            return web.json_response({"error": error}, status=status)
        socket = web.WebSocketResponse(compress=False, max_msg_size=16 * 2**20)
        await socket.prepare(request)
        conversation = self.talk(self, socket, request)
        async with self._appeared:
            self.conversations.append(conversation)
            self._appeared.notify_all()
        try:
            await conversation.run()
        finally:
            conversation.ended.set()
        return socket

    def _refusal(self, request: web.Request) -> int | None:
        surface = self.surface()
        key = surface.key(request)
        if not key or (self.api_key is not None and key != self.api_key):
            return 401
        asked = request.query
        named = asked.get("model") or asked.get("intent") == "transcription"
        return 400 if surface.model_in_query and not named else None
