"""The vendors of a cascade for one party that is measured: who thinks, and what the others have in common.

What is told and spoken goes by the clock alone: nothing of the caller is looked into but the stamps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from itertools import count

from aiohttp import web

from bench.stamp import FRAME_BYTES, now_ns, read_quiet, stamp

MODEL = "house"
TEXT_EVERY = 0.2  # seconds; preliminary texts while somebody speaks
TEXTS = 12  # of a phrase, the last of them final: the caller has said something
PIECE_MS = 100  # of the voice's audio in one message
FRAMES = PIECE_MS // 20
SENTENCES = ("Two large pizzas, that is noted. ", "They will be ready in half an hour.")
PIECES = 12  # of each sentence; so the voice speaks as long as the caller does
TOKEN_EVERY = 0.02  # seconds


def spoken(text: str) -> float | None:
    """How many ms ago the stamp in what is told of the caller was made."""
    made = text.rpartition(" ")[2]
    return (now_ns() - int(made)) / 1e6 if made.isdecimal() else None


def _chunks() -> tuple[bytes, ...]:
    """The answer of the text model, word by word, as server-sent events."""
    words = [f"{word} " for word in "".join(SENTENCES).split()]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795000000, "model": MODEL}

    def written(delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return b"data: " + json.dumps({**head, "choices": [choice], "usage": None}).encode() + b"\n\n"

    parts = [written({"role": "assistant", "content": ""}), *(written({"content": word}) for word in words)]
    return (*parts, written({}, "stop"), b"data: [DONE]\n\n")


class CascadeLine:
    """The sessions of one party. ``ages``: ms from a caller's frame in the session's hand to its stamp being read."""

    def __init__(self) -> None:
        self.speaking = False
        self.heard = 0  # messages of callers
        self.sent = 0  # pieces of the voice's audio
        self.ages: list[float] = []
        self._app = web.Application()
        self._app.router.add_post("/v1/chat/completions", self._think)
        self._runner: web.AppRunner | None = None
        self._sessions = count()

    async def serve(self) -> None:
        """Listen on free ports."""
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def close(self) -> None:
        """Serve no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def address(self) -> str:
        assert self._runner is not None
        return f"127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def settings(self) -> Mapping[str, str]:
        """What a provider is made with beside a key."""
        return {"text_url": f"http://{self.address}/v1", "text_model": MODEL}

    def note(self, message: bytes) -> None:
        """A message of a caller came, whose last bytes are the last frame that is in it."""
        now = now_ns()
        self.heard += 1
        found = read_quiet(message[-FRAME_BYTES:])
        if found is not None and self.speaking:
            self.ages.append((now - found[0]) / 1e6)

    async def texts(self) -> AsyncIterator[tuple[str, bool]]:
        """What is told of one caller, in real time: texts, and whether they are final. Each session is elsewhere."""
        clock, session = asyncio.get_running_loop().time, next(self._sessions)
        due = clock() + session * 0.037 % TEXT_EVERY
        for number in count(session):
            due += TEXT_EVERY
            await asyncio.sleep(due - clock())
            while not self.speaking:
                due += TEXT_EVERY
                await asyncio.sleep(due - clock())
            yield f"two large pizzas {now_ns()}", number % TEXTS == TEXTS - 1

    async def sounds(self) -> AsyncIterator[bytes]:
        """A sentence, spoken in real time: stamped frames. It is short when nobody is to be spoken to any more."""
        clock = asyncio.get_running_loop().time
        due = clock()
        for number in range(PIECES):
            if number and not self.speaking:
                return
            self.sent += self.speaking
            yield stamp(0, number) * FRAMES
            due += PIECE_MS / 1000
            await asyncio.sleep(due - clock())

    async def _think(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in _chunks():
            await response.write(chunk)
            await asyncio.sleep(TOKEN_EVERY)
        await response.write_eof()
        return response
