"""Server-sent events: the feed as `GET /events` tells it to one client (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from engine.console import masks
from engine.console.event_models import Heartbeat, Reset
from engine.console.feed import Feed
from engine.console.gate import Gate
from engine.console.problems import ProblemError
from engine.console.routing import HEADERS, Ask

HEARTBEAT: Final = 15.0  # seconds
ASK_AGAIN: Final = 3.0  # seconds between two looks at whether the client may still watch
TAKEN_WITHIN: Final = 20.0  # seconds in which a client must take what is sent
MOST: Final = 200  # clients

Reason = Literal["start", "gap", "slow"]


class EventsQuery(BaseModel):
    """What `GET /events` takes."""

    model_config = ConfigDict(extra="forbid")

    call: str | None = Field(None, min_length=1, max_length=200, description="Also the details of this call")
    last_event_id: str | None = Field(None, max_length=100, description="As the header Last-Event-ID, which wins")


class Stream:
    """Tells one client. ``reset`` gives everything as it is now."""

    def __init__(
        self, feed: Feed, gate: Gate, ask: Ask, reset: Callable[[Reason, str | None], Awaitable[Reset]]
    ) -> None:
        self._feed = feed
        self._gate = gate
        self._ask = ask
        self._reset = reset
        self._call: str | None = ask.query.call
        self._place = 0  # the number of the last event that was sent
        self._clock = asyncio.get_running_loop().time
        self._sent_at = self._clock()
        self._response = web.StreamResponse(
            headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )

    async def run(self) -> web.StreamResponse:
        """Until the client goes, the session ends or the engine stops. Raises `ProblemError` before it begins."""
        if self._feed.watchers >= MOST:
            raise ProblemError("too-many", f"{MOST} clients watch already", Retry_After="30")
        with self._feed.watching(self._call) as watcher:
            await self._response.prepare(self._ask.request)
            try:
                await self._catch_up()
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(ASK_AGAIN):
                            await watcher.wake.wait()
                    watcher.wake.clear()
                    if not self._gate.still(self._ask.identity):
                        break
                    if not await self._go_on() and self._clock() >= self._sent_at + HEARTBEAT:
                        await self._send("heartbeat", Heartbeat(now=datetime.now(UTC)).model_dump_json(), None)
                    if self._feed.closing or self._ask.request.transport is None:  # a client that is gone has none
                        break
            except (ConnectionError, TimeoutError):
                pass  # the client is gone, or takes nothing: it comes back with the number of what it had
        return self._response

    async def _catch_up(self) -> None:
        """Begin where the client was, or with everything."""
        request = self._ask.request
        given = request.headers.get("Last-Event-ID") or self._ask.query.last_event_id
        if not given:
            return await self._anew("start")
        epoch, _, number = given.rpartition("-")
        known = epoch == self._feed.epoch and number.isdecimal() and len(number) < 19
        self._place = int(number) if known else -1
        if not known or self._feed.since(self._place, self._call) is None:
            return await self._anew("gap")
        await self._response.write(b": resumed\n\n")
        await self._go_on()
        return None

    async def _go_on(self) -> bool:
        """Send what is new; whether something was."""
        events = self._feed.since(self._place, self._call)
        if events is None:
            await self._anew("slow")
            return True
        if not events:
            return False
        masked = self._ask.masked
        text = "".join(_written(event.kind, event.text(masked=masked), self._id(event.number)) for event in events)
        await self._write(text)
        self._place = events[-1].number
        return True

    async def _anew(self, reason: Reason) -> None:
        self._place = self._feed.now()  # first: what changes while everything is gathered is told again
        told = await self._reset(reason, self._call)
        shown = masks.masked(told) if self._ask.masked else told
        await self._send("reset", shown.model_dump_json(), self._place)

    async def _send(self, kind: str, data: str, number: int | None) -> None:
        await self._write(_written(kind, data, None if number is None else self._id(number)))

    async def _write(self, text: str) -> None:
        async with asyncio.timeout(TAKEN_WITHIN):
            await self._response.write(text.encode())
        self._sent_at = self._clock()

    def _id(self, number: int) -> str:
        return f"{self._feed.epoch}-{number}"


def _written(kind: str, data: str, id_: str | None) -> str:
    """One event on the wire; JSON of pydantic holds no line break."""
    return f"{'' if id_ is None else f'id: {id_}{chr(10)}'}event: {kind}\ndata: {data}\n\n"
