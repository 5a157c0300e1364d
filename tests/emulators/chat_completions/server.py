"""The emulator's front: an aiohttp server on a free loopback port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.emulators.chat_completions.oracle import Oracle

MODEL = "gpt-5.4-mini"


@dataclass(frozen=True)
class Answer:
    """What the model answers: a text in pieces, tool calls (id, name, arguments as JSON text), and how it ends."""

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    reason: str | None = None
    refusal: str = ""
    piece: int = 5  # characters of the text, or of a call's arguments, in each chunk


@dataclass(frozen=True)
class Faults:
    """What can go wrong, one knob each."""

    statuses: tuple[int, ...] = ()  # the first requests get these instead of an answer
    error: dict[str, Any] = field(default_factory=dict)  # the error object of such a status
    headers: dict[str, str] = field(default_factory=dict)  # and its headers
    hang: bool = False  # never answer
    drop: tuple[int, ...] = ()  # after so many chunks the connection of the first requests is cut
    stall_after: int | None = None  # after so many chunks nothing more comes
    delay: float = 0.0  # seconds before every chunk
    raw: bytes | None = None  # sent instead of all chunks
    broken_json: bool = False  # the second chunk is no JSON
    fails_after: int | None = None  # after so many chunks an error comes instead of the rest
    no_done: bool = False  # the end is not told by [DONE]
    no_usage: bool = False
    late_end: float = 0.0  # seconds from the end of the answer to that of the body
    bytewise: bool = False  # every byte in a packet of its own
    crlf: bool = False  # lines end as on Windows, with comments in between


class Emulator:
    """`async with Emulator([Answer("Hello.")]) as emulator:` then ask `emulator.url`. The last answer is repeated."""

    def __init__(self, answers: Sequence[Answer] = (), *, faults: Faults | None = None, api_key: str = "") -> None:
        self.answers = list(answers) or [Answer("Hello.")]
        self.faults = faults or Faults()
        self.api_key = api_key
        self.oracle = Oracle()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.peers: list[object] = []  # who asked: address and port
        self.open = 0  # answers under way
        self.idle = asyncio.Event()
        self.idle.set()
        self.asked = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Emulator:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request; also for another server that offers these beside what is its own."""
        self.open += 1
        self.idle.clear()
        try:
            return await self._answered(request)
        finally:
            self.open -= 1
            if not self.open:
                self.idle.set()

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.oracle.request(body)
        number = len(self.requests)
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.peers.append(request.transport.get_extra_info("peername") if request.transport else None)
        self.asked.set()
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            error = {"message": f"Incorrect API key provided: {request.headers.get('Authorization')}"}
            return web.json_response({"error": {**error, "code": "invalid_api_key"}}, status=401)
        if number < len(self.faults.statuses):
            return web.json_response(
                {"error": {"message": f"about {body['messages']}", "type": "server_error", **self.faults.error}},
                status=self.faults.statuses[number], headers=self.faults.headers,
            )  # fmt: skip
        if self.faults.hang:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await self._stream(request, self._frames(body, answer), number)

    async def _stream(self, request: web.Request, frames: list[bytes], number: int) -> web.StreamResponse:
        faults = self.faults
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for index, frame in enumerate(frames):
            if index == faults.stall_after:
                await asyncio.Event().wait()
            if number < len(faults.drop) and index == faults.drop[number]:
                assert request.transport is not None
                request.transport.abort()
                return response
            await asyncio.sleep(faults.delay)
            for piece in [frame[at : at + 1] for at in range(len(frame))] if faults.bytewise else [frame]:
                await response.write(piece)
        await asyncio.sleep(faults.late_end)
        await response.write_eof()
        return response

    def _frames(self, body: dict[str, Any], answer: Answer) -> list[bytes]:
        if self.faults.raw is not None:
            return [self.faults.raw]
        chunks = list(self._chunks(body, answer))
        for chunk in chunks:
            self.oracle.chunk(chunk)
        written = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
        if self.faults.broken_json:
            written[1] = written[1][:-10]
        if (after := self.faults.fails_after) is not None:
            error = {"message": f"about {body['messages']}", "type": "server_error", "code": "engine_dead"}
            written[after:] = [json.dumps({"error": error})]
        if not self.faults.no_done:
            written.append("[DONE]")
        if self.faults.crlf:
            return [f": keep-alive\r\nevent: message\r\ndata: {data}\r\n\r\n".encode() for data in written]
        return [f"data: {data}\n\n".encode() for data in written]

    def _chunks(self, body: dict[str, Any], answer: Answer) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if answer.refusal:
            deltas.append({"refusal": answer.refusal})
        step = answer.piece
        deltas += [{"content": answer.text[at : at + step]} for at in range(0, len(answer.text), step)]
        for index, (id, name, _) in enumerate(answer.calls):
            call = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            deltas.append({"tool_calls": [call]})
        longest = max((len(arguments) for _, _, arguments in answer.calls), default=0)
        for at in range(0, longest, step):  # the calls grow side by side
            for index, (_, _, arguments) in enumerate(answer.calls):
                if part := arguments[at : at + step]:
                    deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        reason = answer.reason or ("tool_calls" if answer.calls else "stop")
        choices = [*({"index": 0, "delta": delta, "finish_reason": None} for delta in deltas),
                   {"index": 0, "delta": {}, "finish_reason": reason}]  # fmt: skip
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795000000, "model": body["model"]}
        chunks = [{**head, "choices": [choice], "usage": None} for choice in choices]
        if (body.get("stream_options") or {}).get("include_usage") and not self.faults.no_usage:
            usage = {
                "prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27,
                "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            }  # fmt: skip
            chunks.append({**head, "choices": [], "usage": usage})
        return chunks
