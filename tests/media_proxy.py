"""A TCP proxy in front of Asterisk's HTTP port, with faults for the media WebSockets; ARI passes as it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

from asterisk.instance import Instance


class MediaProxy:
    """`async with MediaProxy(pbx) as proxy: …` and give `proxy.ari_url` to the engine."""

    def __init__(self, pbx: Instance) -> None:
        self.ari_url = ""
        self.seen = 0
        """Media connections so far."""
        self.stalls: Callable[[int], bool] = lambda _: False
        """Whether the upgrade of this connection (counted from 0) gets no answer."""
        self.refuses = 0
        """How many media connections to come get no WebSocket but an error."""
        self.cuts_new = False
        """Whether media connections are cut as soon as they are made."""
        self._port = pbx.http_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._media: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter, asyncio.Event]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.ari_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/ari"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break the media connections that are open, to both sides."""
        for client, asterisk, _ in self._media:
            client.transport.abort()
            asterisk.transport.abort()
        self._media.clear()

    def fall_silent(self) -> None:
        """The media connections that are open stay open, and nothing passes any more."""
        for *_, passing in self._media:
            passing.clear()
        self._media.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        is_media = head.startswith(b"GET /media/")
        if is_media:
            number, self.seen = self.seen, self.seen + 1
            if self.stalls(number):
                await reader.read()
                return
        if is_media and self.refuses:
            self.refuses -= 1
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            passing = asyncio.Event()
            passing.set()
            back.write(head)
            if is_media and self.cuts_new:
                writer.write(await there.readuntil(b"\r\n\r\n"))
                await writer.drain()
                return
            if is_media:
                self._media.append((writer, back, passing))
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, back, passing))
                group.create_task(_pass_on(there, writer, passing))
        finally:
            back.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, passing: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            await passing.wait()
            target.write(data)
            await target.drain()
    target.close()
