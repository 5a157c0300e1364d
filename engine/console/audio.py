"""The sound of live calls for supervisors: one-use tickets, and a WebSocket that only sends (docs/api.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import WSCloseCode, web

from engine.beside import first_of
from engine.console.gate import Gate, Identity
from engine.console.models import AudioTicket
from engine.console.problems import ProblemError
from engine.tee import FRAME_MS, Heard, Listener, Lost, Moved, Muted, Over, Tee

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

GOOD_FOR: Final = timedelta(seconds=30)
TICKETS: Final = 1000  # that wait to be used
OF_A_CALL: Final = 20  # listeners
OF_ALL: Final = 100
TAKEN_WITHIN: Final = 5.0  # seconds in which a client must take a frame
ASK_AGAIN: Final = 3.0  # seconds between two looks at whether somebody may still listen


@dataclass(frozen=True, slots=True)
class _Ticket:
    call: str
    identity: Identity
    expires: datetime


class Audience:
    """Who listens to which call."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._tickets: dict[str, _Ticket] = {}
        self._tees: dict[str, tuple[Tee, asyncio.Task[None]]] = {}
        self._stopping = asyncio.Event()

    def of(self, call: str) -> int:
        """How many listen to a call."""
        tee = self._tees.get(call)
        return len(tee[0].listeners) if tee else 0

    @property
    def all(self) -> int:
        """How many listen to any call."""
        return sum(len(tee.listeners) for tee, _ in self._tees.values())

    def close(self) -> None:
        """The engine stops: everybody is let go."""
        self._stopping.set()

    # ── Tickets ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def ticket(self, call: str, identity: Identity, now: datetime) -> AudioTicket:
        """Lets one WebSocket in, once. Raises `ProblemError` when nobody more can listen."""
        self._need_room(call)
        self._tickets = {key: ticket for key, ticket in self._tickets.items() if ticket.expires > now}
        while len(self._tickets) >= TICKETS:
            del self._tickets[next(iter(self._tickets))]
        made, expires = secrets.token_urlsafe(24), now + GOOD_FOR
        self._tickets[made] = _Ticket(call, identity, expires)
        return AudioTicket(ticket=made, expires=expires, url=f"/api/v1/calls/{call}/audio?ticket={made}")

    def take(self, ticket: str, call: str) -> Identity:
        """Who may listen by this ticket, which is used up. Raises `ProblemError`."""
        found = self._tickets.pop(ticket, None)
        if found is None or found.call != call or found.expires <= datetime.now(UTC):
            raise ProblemError("not-logged-in", "this ticket is not good: each is for one call, once, for 30 seconds")
        if not self._gate.still(found.identity):
            raise ProblemError("not-logged-in", "the session is over")
        return found.identity

    def _need_room(self, call: str) -> None:
        """Raises `ProblemError` when nobody more can listen."""
        if self.of(call) >= OF_A_CALL or self.all >= OF_ALL:
            raise ProblemError("not-possible", "nobody more can listen now", [f"{self.all} listen already"])

    # ── Listening ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, request: web.Request, call: Call, identity: Identity) -> web.WebSocketResponse:
        """Until the call or the session is over, the listener goes or the engine stops. Raises `ProblemError` when
        there is no room for them: there are more tickets than places."""
        socket = web.WebSocketResponse(compress=False, heartbeat=20.0, max_msg_size=1024)
        listener = Listener()
        code, reason = WSCloseCode.INTERNAL_ERROR, b"the sound failed"
        with self._seat(call, listener) as tee, contextlib.suppress(ConnectionError, TimeoutError):
            await socket.prepare(request)
            await socket.send_str(_format(tee, call.record.id))
            ways = self._send(socket, listener), _until_gone(socket), self._until_not_allowed(identity)
            match await first_of(*ways, self._stopping.wait()):
                case 0 if not tee.failed:
                    code, reason = WSCloseCode.OK, b""
                case 1:
                    code, reason = WSCloseCode.OK, b""
                case 2:
                    code, reason = WSCloseCode.POLICY_VIOLATION, b"the session is over"
                case 3:
                    code, reason = WSCloseCode.GOING_AWAY, b"the engine stops"
        if socket.prepared:
            await socket.close(code=code, message=reason)
        return socket

    @contextmanager
    def _seat(self, call: Call, listener: Listener) -> Iterator[Tee]:
        """A place at the call's tee, which is there for as long as somebody listens. Raises `ProblemError`."""
        id_ = call.record.id
        self._need_room(id_)
        tee, running = self._tees.get(id_, (None, None))
        if tee is None or running is None or running.done():
            tee = Tee(call)
            running = asyncio.create_task(tee.run(), name=f"tee of {id_}")
            self._tees[id_] = tee, running
        tee.join(listener)
        call.changed()
        try:
            yield tee
        finally:
            tee.listeners.discard(listener)
            if not tee.listeners:
                running.cancel()
                if self._tees.get(id_) == (tee, running):  # else there is another by now
                    del self._tees[id_]
            call.changed()

    @staticmethod
    async def _send(socket: web.WebSocketResponse, listener: Listener) -> None:
        async for heard in listener.heard():
            async with asyncio.timeout(TAKEN_WITHIN):
                if type(heard) is bytes:
                    await socket.send_bytes(heard)
                else:
                    await socket.send_str(_told(heard))

    async def _until_not_allowed(self, identity: Identity) -> None:
        while self._gate.still(identity):  # noqa: ASYNC110 - time passes, and files change, without an event
            await asyncio.sleep(ASK_AGAIN)


async def _until_gone(socket: web.WebSocketResponse) -> None:
    """What the client sends is not read, but that it goes is noticed."""
    async for _ in socket:
        pass


def _format(tee: Tee, call: str) -> str:
    return json.dumps(
        {
            "type": "format", "encoding": "s16le", "rate": tee.rate, "channels": 2, "frame_ms": FRAME_MS,
            "left": "caller", "right": "other", "call": call,
        }
    )  # fmt: skip


def _told(heard: Heard) -> str:
    match heard:
        case Moved(source):
            return json.dumps({"type": "source", "source": source})
        case Muted(muted):
            return json.dumps({"type": "muted", "muted": muted})
        case Lost(frames):
            return json.dumps({"type": "lost", "frames": frames})
        case Over(reason):
            return json.dumps({"type": "ended", "reason": reason})
    raise AssertionError(f"{heard!r} is told to nobody")
