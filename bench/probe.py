"""Times inside the engine, for one run of the benchmark that is not the one in which CPU is counted.

It wraps what is public (a leg's, a voice's and a call's methods, and the point where aiohttp is given what was read
from a socket), so that the product itself holds no clock for this. A frame counts as written when the event loop comes
round again: uvloop writes to the sockets at the end of a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from binascii import a2b_base64
from contextvars import ContextVar
from typing import Any

from aiohttp.client_proto import ResponseHandler

from asterisk.media.websocket import WebSocketLeg
from bench.figures import Spread, spread
from bench.stamp import MAGIC, MAGIC_BASE64, STAMP_BASE64, STAMP_BYTES, now_ns
from engine.call import Call
from providers.realtime_socket import RealtimeVoice

LOOK_EVERY = 0.01  # seconds between two samples of the event loop's lateness
_KEY = slice(len(MAGIC), STAMP_BYTES)
_STARTED = re.compile(rb'"type":\s*"StasisStart".{0,400}?"channel":\s*\{\s*"id":\s*"([^"]+)"', re.S)
_channel: ContextVar[str] = ContextVar("channel")


class Probe:
    """Make it with `install`, before the engine opens a socket."""

    def __init__(self) -> None:
        self._reading: dict[bytes, int] = {}  # stamp -> ns when it was read
        self._writing: list[tuple[list[int], int]] = []  # what this turn of the loop writes
        self._up: list[int] = []  # ns from the caller's socket to the provider's
        self._down: list[int] = []
        self._flushes: list[int] = []  # ns at which a flush was written
        self._began: dict[str, int] = {}  # channel -> ns of its StasisStart
        self._session: list[int] = []
        self._first: list[int] = []
        self._speaking: set[str] = set()  # legs that had their first audio
        self._late: list[float] = []  # ms
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.create_task(self._watch_loop())

    @classmethod
    def install(cls) -> Probe:
        """Wrap the methods for the rest of this process."""
        probe = cls()
        probe._wrap_reading()
        probe._wrap_voice()
        probe._wrap_leg()
        run = Call.run

        async def run_in_context(call: Call) -> Any:
            _channel.set(call.line.facts.channel)
            return await run(call)

        Call.run = run_in_context  # type: ignore[method-assign, assignment]
        return probe

    def reset(self) -> None:
        """Count anew."""
        for counted in (self._reading, self._up, self._down, self._flushes, self._session, self._first, self._late):
            counted.clear()

    def found(self) -> dict[str, Spread | list[int] | None]:
        """Since `reset`, in ms; flushes in ns of the monotonic clock."""
        ms = {"up": self._up, "down": self._down, "session": self._session, "first_audio": self._first}
        return {
            **{name: spread([ns / 1e6 for ns in found]) for name, found in ms.items()},
            "late": spread(self._late),
            "flushes": self._flushes,
        }

    async def close(self) -> None:
        """Stop watching."""
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch

    async def _watch_loop(self) -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            self._late.append(max(0.0, time.monotonic() - due) * 1000)

    def _wrap_reading(self) -> None:
        received = ResponseHandler.data_received
        reading, began = self._reading, self._began

        def data_received(handler: ResponseHandler, data: bytes) -> None:
            now = now_ns()
            at = -1
            while (at := data.find(MAGIC, at + 1)) >= 0:
                reading[data[at : at + STAMP_BYTES][_KEY]] = now
            while (at := data.find(MAGIC_BASE64, at + 1)) >= 0:
                reading[a2b_base64(data[at : at + STAMP_BASE64])[_KEY]] = now
            if b"StasisStart" in data:
                for channel in _STARTED.findall(data):
                    began[channel.decode()] = now
            received(handler, data)

        ResponseHandler.data_received = data_received  # type: ignore[method-assign, assignment]

    def _wrap_voice(self) -> None:
        send_audio, connect = RealtimeVoice.send_audio, RealtimeVoice.connect

        async def timed_send(voice: RealtimeVoice, audio: bytes) -> None:
            await send_audio(voice, audio)
            self._wrote(audio, self._up)

        async def timed_connect(voice: RealtimeVoice) -> None:
            await connect(voice)
            self._session.append(now_ns() - self._began[_channel.get()])

        RealtimeVoice.send_audio = timed_send  # type: ignore[method-assign, assignment]
        RealtimeVoice.connect = timed_connect  # type: ignore[method-assign, assignment]

    def _wrap_leg(self) -> None:
        send, flush = WebSocketLeg.send, WebSocketLeg.flush

        async def timed_send(leg: WebSocketLeg, audio: bytes) -> None:
            await send(leg, audio)
            self._wrote(audio, self._down)
            if leg.channel_id not in self._speaking:
                self._speaking.add(leg.channel_id)
                self._first.append(now_ns() - self._began[_channel.get()])

        async def timed_flush(leg: WebSocketLeg) -> int:
            self._loop.call_soon(lambda: self._flushes.append(now_ns()))
            return await flush(leg)

        WebSocketLeg.send = timed_send  # type: ignore[method-assign, assignment]
        WebSocketLeg.flush = timed_flush  # type: ignore[method-assign, assignment]

    def _wrote(self, audio: bytes, delays: list[int]) -> None:
        read = self._reading.pop(audio[_KEY], 0)
        if read:
            if not self._writing:
                self._loop.call_soon(self._written)
            self._writing.append((delays, read))

    def _written(self) -> None:
        now = now_ns()
        for delays, read in self._writing:
            delays.append(now - read)
        self._writing.clear()
