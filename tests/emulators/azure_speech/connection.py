"""One websocket to the emulated service: what recognition and synthesis have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from tests.emulators.azure_speech import usp
from tests.emulators.azure_speech.faults import Faults

if TYPE_CHECKING:
    from tests.emulators.azure_speech.server import AzureSpeech


class Connection:
    """`messages` holds what the client sent but audio; `problems` what was wrong with it."""

    def __init__(self, service: AzureSpeech, socket: web.WebSocketResponse, request: web.Request, faults: Faults):
        self.service = service
        self.socket = socket
        self.request = request
        self.faults = faults
        self.messages: list[usp.Message] = []
        self.problems: list[str] = []
        self.ended = asyncio.Event()
        self._changed = asyncio.Condition()
        self._group = asyncio.TaskGroup()
        self._misbehaving = False

    async def run(self) -> None:
        """Hold the connection until it ends."""
        async with self._group:
            async for frame in self.socket:
                if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._receive(frame.data)
                    async with self._changed:
                        self._changed.notify_all()
            for task in self._tasks():
                task.cancel()

    def _tasks(self) -> list[asyncio.Task[Any]]:
        return list(self._group._tasks)

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait until the client has sent what makes this true."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(met)

    def of(self, path: str) -> list[usp.Message]:
        """The client's messages of one path."""
        return [message for message in self.messages if message.path == path]

    async def _receive(self, frame: str | bytes) -> None:
        try:
            message = usp.parse(frame)
            if message.path != "audio":
                self.messages.append(message)
            await self._take(message)
        except (ValueError, KeyError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    async def _take(self, message: usp.Message) -> None:
        raise NotImplementedError

    async def tell(self, path: str, request: str, /, **body: Any) -> None:
        await self._send(usp.text(path, request, body))

    async def _send(self, frame: str | bytes) -> None:
        if not self.socket.closed:
            await (self.socket.send_str(frame) if isinstance(frame, str) else self.socket.send_bytes(frame))

    async def _misbehave(self) -> None:
        """The faults that begin with the work itself; once a connection."""
        if self._misbehaving:
            return
        self._misbehaving = True
        for frame in self.faults.garbage:
            await self._send(frame)
        self._group.create_task(self._go_wrong())
        if self.faults.stop_reading:
            assert self.request.transport is not None
            self.request.transport.pause_reading()
            await asyncio.Event().wait()

    async def _go_wrong(self) -> None:
        if self.faults.close_after_ms is not None:
            await asyncio.sleep(self.faults.close_after_ms / 1000)
            await self.socket.close(code=self.faults.close_code, message=self.faults.close_reason.encode())
        if self.faults.drop_after_ms is not None:
            await asyncio.sleep(self.faults.drop_after_ms / 1000)
            assert self.request.transport is not None
            self.request.transport.abort()
