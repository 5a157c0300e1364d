"""The emulator under load: every session gets 50 stamped frames a second from one clock, and what it hears is timed.

A frame carries the time at which it was made (`stamp`), in bytes that pass a µ-law path untouched; whoever gets it can
tell how long it took (`age_us`). Frames of caller audio that are stamped the same way are timed on arrival. Nothing is
validated here: the point is to cost next to nothing.
"""

from __future__ import annotations

import array
import asyncio
import json
import time
from binascii import Error, a2b_base64, b2a_base64
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.emulators.openai_realtime import items

MAGIC = b"hkflsh"  # six bytes, eight characters of base64
MAGIC_BASE64 = b2a_base64(MAGIC, newline=False).decode()
FRAME_MS = 20
FRAME_BYTES = 160
MAX_DELAYS = 2_000_000
_APPEND = '{"type":"input_audio_buffer.append","audio":"'


def stamp(size: int = FRAME_BYTES) -> bytes:
    """A µ-law frame of silence that begins with a mark and the time of day of the machine's monotonic clock (µs)."""
    return MAGIC + (time.monotonic_ns() // 1000).to_bytes(6, "big") + b"\xff" * (size - 12)


def age_us(frame: bytes) -> int | None:
    """Microseconds since a stamped frame was made (by any process of this machine), None when it is not stamped."""
    if frame[:6] != MAGIC:
        return None
    return time.monotonic_ns() // 1000 - int.from_bytes(frame[6:12], "big")


@dataclass(eq=False)
class _Session:
    socket: web.WebSocketResponse
    speaking: bool = False
    generation: int = 0
    frames_in: int = 0
    delays: array.array[int] = field(default_factory=lambda: array.array("I"))


class BenchEmulator:
    """Many sessions in one process. `async with BenchEmulator() as emulator:` or `python -m … --bench`.

    A session speaks from session.updated on and without end. `interrupt()` makes the provider hear the caller in every
    session. Over HTTP: `GET /bench/stats`, `POST /bench/reset`, `POST /bench/interrupt`.
    """

    def __init__(self) -> None:
        self.sessions: list[_Session] = []
        self.port = 0
        self.frames_in = 0
        self.frames_out = 0
        self._delays = array.array("I")  # µs, of stamped caller audio
        self._lateness = array.array("I")  # µs, of our own clock
        self._cpu = time.process_time()
        self._runner: web.AppRunner | None = None
        self._clock: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._accept)
        app.router.add_get("/bench/stats", self._serve_stats)
        app.router.add_post("/bench/reset", self._serve_reset)
        app.router.add_post("/bench/interrupt", self._serve_interrupt)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._clock = asyncio.create_task(self._speak())

    async def close(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            await asyncio.wait([self._clock])
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> BenchEmulator:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def reset(self) -> None:
        """Begin to count anew."""
        self.frames_in = self.frames_out = 0
        self._delays, self._lateness = array.array("I"), array.array("I")
        self._cpu = time.process_time()

    def stats(self) -> dict[str, Any]:
        """Since `reset`: frames, CPU of this process, delays of stamped caller audio and our lateness in ms."""
        return {
            "sessions": len(self.sessions),
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "cpu_seconds": round(time.process_time() - self._cpu, 4),
            "delay_ms": _percentiles(self._delays),
            "clock_lateness_ms": _percentiles(self._lateness),
        }

    async def interrupt(self) -> float:
        """The provider hears the caller in every session; returns when that was sent (`time.monotonic()`)."""
        now = time.monotonic()
        for session in list(self.sessions):
            session.speaking = False
            item = f"item_u{session.generation}"
            await _send(session, "input_audio_buffer.speech_started", audio_start_ms=0, item_id=item)
            details = {"type": "cancelled", "reason": "turn_detected"}
            await _send(session, "response.done", response=_response(session, "cancelled", details))
        return now

    async def resume(self) -> None:
        """After `interrupt`: the caller has ended, every session speaks again."""
        for session in list(self.sessions):
            if not session.speaking:
                item = f"item_u{session.generation}"
                await _send(session, "input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=item)
                await self._begin(session)

    async def _begin(self, session: _Session) -> None:
        session.generation += 1
        await _send(session, "response.created", response=_response(session, "in_progress", None))
        session.speaking = True

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        session = _Session(socket)
        self.sessions.append(session)
        try:
            described = items.session(request.query.get("model", "bench"), time.time() + 3600)
            await _send(session, "session.created", session=described)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(session, message.data, described)
        finally:
            self.sessions.remove(session)
        return socket

    async def _hear(self, session: _Session, text: str, described: dict[str, Any]) -> None:
        if text.startswith(_APPEND):
            self.frames_in += 1
            session.frames_in += 1
            start = len(_APPEND)
            if text.startswith(MAGIC_BASE64, start) and len(self._delays) < MAX_DELAYS:
                age = _age_of_base64(text[start : start + 16])
                if age is not None:
                    self._delays.append(age)
                    session.delays.append(age)
            return
        event = json.loads(text)
        if event["type"] == "session.update":
            items.merge(described, event["session"])
            await _send(session, "session.updated", session=described)
            if session.generation == 0:
                await self._begin(session)

    async def _speak(self) -> None:
        """One clock for all sessions, by absolute deadlines; sessions of a generation share the bytes of a frame."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - clock()))
            self._lateness.append(max(0, int((clock() - due) * 1e6)))
            frames: dict[int, bytes] = {}
            for session in list(self.sessions):
                if not session.speaking or session.socket.closed:
                    continue
                frame = frames.get(session.generation)
                if frame is None:
                    frame = frames[session.generation] = _delta(session.generation)
                try:
                    await session.socket.send_frame(frame, WSMsgType.TEXT)
                except ConnectionError:
                    session.speaking = False
                self.frames_out += 1

    async def _serve_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats())

    async def _serve_reset(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})

    async def _serve_interrupt(self, request: web.Request) -> web.Response:
        """`?quiet_ms=500`: how long the caller speaks."""
        sent = await self.interrupt()
        await asyncio.sleep(float(request.query.get("quiet_ms", "500")) / 1000)
        await self.resume()
        return web.json_response({"sent": sent})


def _delta(generation: int) -> bytes:
    audio = b2a_base64(stamp(), newline=False).decode()
    return (
        f'{{"type":"response.output_audio.delta","event_id":"event_{time.monotonic_ns()}","response_id":"resp_{generation}",'
        f'"item_id":"item_{generation}","output_index":0,"content_index":0,"delta":"{audio}"}}'
    ).encode()


async def _send(to: _Session, kind: str, /, **fields: Any) -> None:
    event = {"type": kind, "event_id": f"event_{time.monotonic_ns()}", **fields}
    await to.socket.send_str(json.dumps(event))


def _response(session: _Session, status: str, details: dict[str, Any] | None) -> dict[str, Any]:
    id = f"resp_{session.generation}"
    return {"object": "realtime.response", "id": id, "status": status, "status_details": details, "output": []}


def _age_of_base64(text: str) -> int | None:
    try:
        return age_us(a2b_base64(text))
    except Error:
        return None


def _percentiles(values: array.array[int]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(len(ordered) * p))] / 1000, 3) for name, p in at.items()}
