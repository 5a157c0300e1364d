"""``POST /calls/{id}/events/{name}``: the company tells a live call that something happened (`wait_for: webhook`).

Whoever may do that has the token of the settings. What comes is untrusted: bounded in size, number and time, and nobody
without the token learns which calls there are.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog
from aiohttp import web

from engine.inbox import Fate
from engine.repeats import Repeats

if TYPE_CHECKING:
    from engine.switchboard import Switchboard

log = structlog.get_logger()

PATH: Final = "/calls/{id}/events/{name:[A-Za-z0-9_.-]{1,64}}"
MAX_BODY: Final = 64 * 1024  # bytes
LONGEST_KEY: Final = 255  # characters of an Idempotency-Key
READ_WITHIN: Final = 5.0  # seconds for the body to arrive
BURST, RATE = 50, 10.0  # requests at once, and a second, from one address
SOURCES: Final = 4096  # addresses that are remembered
HEADERS: Final = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
}  # fmt: skip
STATUS: Final[Mapping[Fate, int]] = {"taken": 200, "known": 200, "kept": 202, "over": 410, "unfit": 422, "full": 429}
WORDS: Final[Mapping[Fate, str]] = {
    "over": "the call is over",
    "unfit": "the step that waits cannot use it",
    "full": "too many events wait in this call",
}


class Refused(Exception):  # noqa: N818 - what it says
    """A request that is not served: its status, why, and further headers. ``details`` may quote what was sent: they are
    for the sender and stay out of the log."""

    def __init__(self, status: int, why: str, details: Sequence[str] = (), **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.details = details
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Rates:
    """How many requests each address may still send: ``BURST`` at once, then ``RATE`` a second (a token bucket)."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> requests left, at which time

    def wait(self, address: str, now: float) -> float:
        """Count a request; 0 when it may be served, else the seconds after which one may."""
        left, then = self._left.pop(address, (float(BURST), now))
        left = min(float(BURST), left + (now - then) * RATE)
        served = left >= 1.0
        self._left[address] = (left - 1.0 if served else left, now)
        if len(self._left) > SOURCES:
            self._left.popitem(last=False)
        return 0.0 if served else (1.0 - left) / RATE


class Intake:
    """The route. ``token``: what callers of it must know; "" closes it."""

    def __init__(self, switchboard: Switchboard, token: str) -> None:
        self._switchboard = switchboard
        self._token = token
        self._rates = Rates()
        self._refusals = Repeats()  # a log is not filled by who is refused

    def routes(self) -> list[web.RouteDef]:
        """For the engine's HTTP server."""
        return [web.post(PATH, self._post)]

    async def _post(self, request: web.Request) -> web.Response:
        try:
            self._let_in(request)
            told = self._told(request, await _data(request))
        except Refused as refusal:
            if times := self._refusals.again(f"{refusal.status} {request.remote}", asyncio.get_running_loop().time()):
                facts = {"status": refusal.status, "reason": str(refusal), "source": request.remote, "times": times}
                log.warning("an event was refused", **facts)
            body = {"status": "refused", "error": "; ".join((str(refusal), *refusal.details))}
            return web.json_response(body, status=refusal.status, headers={**HEADERS, **refusal.headers})
        return told

    def _let_in(self, request: web.Request) -> None:
        """Raises `Refused` for who comes too often or has no right."""
        wait = self._rates.wait(request.remote or "", asyncio.get_running_loop().time())
        if wait > 0:
            raise Refused(429, "too many requests", Retry_After=str(math.ceil(wait)))
        if not self._token:
            raise Refused(403, "this engine takes no events: set events.token (HOOKFLASH_EVENTS_TOKEN)")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), self._token.encode())
        if scheme.lower() != "bearer" or not right:
            raise Refused(401, "a bearer token is needed, the one of events.token", WWW_Authenticate="Bearer")

    def _told(self, request: web.Request, data: Any) -> web.Response:
        """Tell the call. Raises `Refused`."""
        id_, name, key = request.match_info["id"], request.match_info["name"], request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= LONGEST_KEY:
            raise Refused(400, f"an Idempotency-Key has 1 to {LONGEST_KEY} characters")
        call = self._switchboard.calls.get(id_)
        if call is None:
            over = id_ in self._switchboard.over
            raise Refused(410 if over else 404, WORDS["over"] if over else "there is no such call")
        told = call.tell("webhook", name, data, key=key)
        if told.fate in WORDS:
            raise Refused(STATUS[told.fate], WORDS[told.fate], told.why)
        log.info("event", call_id=id_, name=name, fate=told.fate)
        return web.json_response({"status": told.fate}, status=STATUS[told.fate], headers=HEADERS)


async def _data(request: web.Request) -> Any:
    """The JSON of the body; None of an empty one. Raises `Refused`."""
    raw = bytearray()
    try:
        async with asyncio.timeout(READ_WITHIN):
            async for piece in request.content.iter_chunked(8192):
                raw += piece
                if len(raw) > MAX_BODY:
                    raise Refused(413, f"an event has at most {MAX_BODY // 1024} kB")
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {READ_WITHIN:g} s") from None
    except web.HTTPException as error:  # a body that is not what its Content-Encoding says
        raise Refused(error.status, error.reason) from error
    if not raw.strip():
        return None
    if not request.content_type.endswith("json"):
        raise Refused(415, "the body is JSON: Content-Type application/json")
    try:
        return json.loads(raw, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error


def _finite(written: str) -> float:
    number = float(written)
    return number if math.isfinite(number) else _no_number(written)


def _no_number(written: str) -> NoReturn:
    raise ValueError(f"{written:.20} is no number that can be kept")
