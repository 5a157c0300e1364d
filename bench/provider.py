"""The provider: OpenAI's realtime protocol with as little work as possible, many sessions at 50 frames a second.

Beside the emulator of the tests, which converses, this one only carries: stamped frames out, at a moment of each
session's own within the 20 ms, and a tally of what comes in. It can also speak ahead of time, as the real one does, and
hear the caller in one session after the other.
"""

from __future__ import annotations

import asyncio
import json
import time
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import uvloop
from aiohttp import WSMsgType, web

from bench.child import obey
from bench.figures import spread
from bench.stamp import FRAME_MS, STAMP_BASE64, Tally, now_ns, read, stamp, total
from tests.emulators.openai_realtime import items

SLOTS = 20
FIRST_ID = 1_000_000  # phones have smaller ones
AHEAD_FRAMES = 10  # in one event, when it speaks ahead: 200 ms every 20 ms
AHEAD_EVENTS = 30  # 6 s in all
_APPEND = '{"type":"input_audio_buffer.append","audio":"'
_AUDIO = len(_APPEND)
_STAMP = slice(_AUDIO, _AUDIO + STAMP_BASE64)


@dataclass(eq=False, slots=True)
class Session:
    """One conversation."""

    id: int
    socket: web.WebSocketResponse
    described: dict[str, Any]
    speaking: bool = False
    generation: int = 0
    sent: int = 0
    left: int = 0  # events of this utterance, when it speaks ahead
    heard: Tally = field(default_factory=Tally)


class Provider:
    """The process."""

    def __init__(self) -> None:
        self._ids = count(FIRST_ID)
        self._slots: list[set[Session]] = [set() for _ in range(SLOTS)]
        self._ahead = False
        self._own: list[float] = []  # ms that a session took here, from its request to session.updated

    @property
    def _sessions(self) -> list[Session]:
        return [session for slot in self._slots for session in slot]

    async def run(self) -> None:
        """Serve until stdin ends."""
        app = web.Application()
        app.router.add_get("/v1/realtime", self._accept)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        clock = asyncio.create_task(self._speak())
        try:
            await obey({
                "start": self._do_start, "reset": self._do_reset, "heard": self._do_heard, "ahead": self._do_ahead,
                "interrupt": self._do_interrupt,
            })  # fmt: skip
        finally:
            clock.cancel()
            await asyncio.wait([clock])
            await runner.cleanup()

    # ── One session ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        began = time.perf_counter()
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        described = items.session(request.query.get("model", "bench"), time.time() + 3600)
        session = Session(next(self._ids), socket, described)
        slot = self._slots[session.id % SLOTS]
        slot.add(session)
        try:
            await _send(session, "session.created", session=described)
            took = time.perf_counter() - began
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    text: str = message.data
                    if text.startswith(_APPEND):
                        self._hear(session, text)
                    else:
                        began = time.perf_counter()
                        await self._obey(session, json.loads(text), took, began)
        finally:
            slot.discard(session)
        return socket

    def _hear(self, session: Session, text: str) -> None:
        found = read(a2b_base64(text[_STAMP]))
        if found is None:
            session.heard.fill(now_ns())
        else:
            made, _, number = found
            session.heard.note(made, number, now_ns())

    async def _obey(self, session: Session, event: dict[str, Any], took: float, began: float) -> None:
        if event["type"] != "session.update":
            return
        items.merge(session.described, event["session"])
        await _send(session, "session.updated", session=session.described)
        if session.generation == 0:
            self._own.append((took + time.perf_counter() - began) * 1000)
            await self._begin(session)

    async def _begin(self, session: Session) -> None:
        session.generation += 1
        await _send(session, "response.created", response=_response(session, "in_progress", None))
        session.left = AHEAD_EVENTS
        session.speaking = True

    async def _speak(self) -> None:
        """One clock for all sessions, by absolute deadlines."""
        clock = time.monotonic
        due, slot = clock(), 0
        while True:
            due += FRAME_MS / 1000 / SLOTS
            await asyncio.sleep(max(0.0, due - clock()))
            slot = (slot + 1) % SLOTS
            for session in list(self._slots[slot]):
                if session.speaking and not session.socket.closed:
                    try:
                        await self._say(session)
                    except ConnectionError:
                        session.speaking = False

    async def _say(self, session: Session) -> None:
        if not self._ahead:
            audio = stamp(session.id, session.sent)
            session.sent += 1
        elif session.left:
            session.left -= 1
            audio = b"".join(stamp(session.id, session.sent + n) for n in range(AHEAD_FRAMES))
            session.sent += AHEAD_FRAMES
        else:
            return
        delta = b2a_base64(audio, newline=False).decode()
        generation = f"{session.id}_{session.generation}"
        text = (
            f'{{"type":"response.output_audio.delta","event_id":"event_{session.sent}","response_id":"resp_{generation}",'
            f'"item_id":"item_{generation}","output_index":0,"content_index":0,"delta":"{delta}"}}'
        )
        await session.socket.send_frame(text.encode(), WSMsgType.TEXT)

    # ── What is asked ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _do_start(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self._port}/v1"}

    async def _do_ahead(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Whether it speaks ahead of time from now on."""
        self._ahead = asked["on"]
        return {}

    async def _do_reset(self, _: dict[str, Any]) -> dict[str, Any]:
        self._own.clear()
        for session in self._sessions:
            session.heard.reset()
        return {}

    async def _do_heard(self, _: dict[str, Any]) -> dict[str, Any]:
        tallies = [session.heard for session in self._sessions]
        return {"sessions": len(tallies), **total(tallies), "own_ms": spread(self._own)}

    async def _do_interrupt(self, asked: dict[str, Any]) -> list[tuple[int, int]]:
        """The caller is heard in one session after the other, ``apart_ms``; each speaks again ``quiet_ms`` later."""
        heard: list[tuple[int, int]] = []
        async with asyncio.TaskGroup() as group:
            for session in self._sessions:
                session.speaking = False
                heard.append((session.id, now_ns()))
                user = f"user_{session.id}"
                await _send(session, "input_audio_buffer.speech_started", audio_start_ms=0, item_id=user)
                details = {"type": "cancelled", "reason": "turn_detected"}
                await _send(session, "response.done", response=_response(session, "cancelled", details))
                group.create_task(self._resume(session, asked["quiet_ms"] / 1000))
                await asyncio.sleep(asked["apart_ms"] / 1000)
        return heard

    async def _resume(self, session: Session, after: float) -> None:
        await asyncio.sleep(after)
        await _send(session, "input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=f"user_{session.id}")
        await self._begin(session)


async def _send(to: Session, kind: str, /, **fields: Any) -> None:
    event = {"type": kind, "event_id": f"event_{time.monotonic_ns()}", **fields}
    await to.socket.send_str(json.dumps(event))


def _response(session: Session, status: str, details: dict[str, Any] | None) -> dict[str, Any]:
    id = f"resp_{session.id}_{session.generation}"
    return {"object": "realtime.response", "id": id, "status": status, "status_details": details, "output": []}


if __name__ == "__main__":
    uvloop.run(Provider().run())
