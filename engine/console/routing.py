"""Routes of the API as a table: who may, what is asked, what is answered. The OpenAPI document is made of it, too.

A request goes the same way on each of them: who is it, may they, is it right, write it down, do it, answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from engine.console.audit import Audit
from engine.console.gate import Gate, Identity, require, source_of
from engine.console.models import Model, Right
from engine.console.problems import ProblemError
from engine.repeats import Repeats

log = structlog.get_logger()

BASE: Final = "/api/v1"
MAX_BODY: Final = 64 * 1024  # bytes
READ_WITHIN: Final = 5.0  # seconds for the body to arrive
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that was let in. ``body`` and ``query`` are of the models that the route names."""

    request: web.Request
    identity: Identity
    body: Any = None
    query: Any = None

    @property
    def masked(self) -> bool:
        """Who asks must not see values."""
        return not self.identity.may("values")

    def part(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def need(self, right: Right) -> None:
        """Raises `ProblemError` when who asks has not this right."""
        require(self.identity, right)


Answer = Model | web.StreamResponse
Handler = Callable[[Ask], Awaitable[Answer]]
NOBODY: Final = Identity("", "viewer")


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``right``: what one must be allowed, None lets everybody in. ``action``: its name in the audit log."""

    method: Literal["GET", "POST", "DELETE"]
    path: str  # below `BASE`, parts in braces
    handler: Handler
    summary: str
    action: str
    right: Right | None = "live"
    answer: type[BaseModel] | None = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: Sequence[str] = ()
    media: str = "application/json"
    public: bool = False  # no one need be known
    headers: Sequence[str] = field(default=())  # that must be sent


class Router:
    """Serves routes."""

    def __init__(self, gate: Gate, audit: Audit) -> None:
        self._gate = gate
        self._audit = audit
        self._refusals = Repeats()

    def definitions(self, routes: Sequence[Route]) -> list[web.RouteDef]:
        """For aiohttp: the routes, then what is none of them."""
        found = [web.route(route.method, BASE + route.path, self._serve(route)) for route in routes]
        found += [
            web.route("HEAD", BASE + route.path, self._serve(route))
            for route in routes
            if route.method == "GET" and route.media == "application/json"
        ]
        for path in dict.fromkeys(route.path for route in routes):
            allowed = sorted({route.method for route in routes if route.path == path})
            found.append(web.route("*", BASE + path, _wrong_method(allowed)))
        return [*found, web.route("*", BASE + "{tail:(?s:(/.*)?)}", _not_found)]

    def _serve(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                answer = await route.handler(await self._let_in(route, request))
            except ProblemError as problem:
                return refused(problem)
            except ConnectionError:
                return web.Response(status=400)  # the client went while it sent; nobody reads this
            except Exception as error:
                log.exception("a request to the API failed", path=request.path, error=str(error))
                return refused(ProblemError("failed", "this is a mistake of the engine; its log tells more"))
            if isinstance(answer, web.StreamResponse):
                if not answer.prepared:
                    answer.headers.update({name: told for name, told in HEADERS.items() if name not in answer.headers})
                return answer
            return web.Response(
                body=answer.model_dump_json(), status=route.status, content_type="application/json", headers=HEADERS
            )

        return serve

    async def _let_in(self, route: Route, request: web.Request) -> Ask:
        identity = NOBODY if route.public else self._gate.identify(request)
        if not route.public:
            try:
                self._gate.allow(request, identity, route.right)
            except ProblemError as problem:
                await self._note_refusal(route, request, identity, problem)
                raise
        query = _parsed(route.query, _query(request)) if route.query else None
        body = None
        if route.body is not None:
            _must_be_json(request)
            body = _parsed(route.body, await _read(request))
        ask = Ask(request, identity, body, query)
        if not route.public and route.action:
            await self.note(ask, route.action)
        return ask

    async def _note_refusal(self, route: Route, request: web.Request, who: Identity, problem: ProblemError) -> None:
        """Write down that somebody tried what they may not, once a minute each."""
        action = f"{route.action or f'{route.method} {route.path}'} refused"
        if times := self._refusals.again(f"{who.name} {action} {problem.kind}", asyncio.get_running_loop().time()):
            more = "" if times == 1 else f", {times} times"
            await self.note(Ask(request, who), action, who=who, told=f"{problem.kind}{more}")

    async def note(self, ask: Ask, action: str, who: Identity | None = None, told: str = "") -> None:
        """Write down what is about to be served; ``who``: what they sent stays out, and ``told`` stands there. Raises
        `ProblemError` when that is not possible."""
        if who is None:
            told = ask.request.query_string if ask.body is None else ask.body.model_dump_json()
        identity = who or ask.identity
        await self._audit.note(
            datetime.now(UTC), identity.name, identity.role, source_of(ask.request), action,
            ask.request.match_info.get("id"), told[:500],
        )  # fmt: skip


def refused(problem: ProblemError) -> web.Response:
    """A problem as it is answered."""
    return web.Response(
        body=problem.model().model_dump_json(), status=problem.status, content_type="application/problem+json",
        headers={**HEADERS, **problem.headers},
    )  # fmt: skip


def _wrong_method(allowed: Sequence[str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        told = ", ".join(allowed)
        return refused(ProblemError("wrong-method", f"{request.method} is none of {told}", Allow=told))

    return answer


async def _not_found(request: web.Request) -> web.Response:
    return refused(ProblemError("not-found", "there is no such route; GET /api/v1/openapi.json lists them"))


# ── What was sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _query(request: web.Request) -> dict[str, str]:
    """The parameters. Raises `ProblemError` for one that is given twice."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in found:
            raise ProblemError("bad-request", "the parameters are not right", [f"{name}: given twice"])
        found[name] = value
    return found


def _must_be_json(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise ProblemError("not-json", "the body is JSON: Content-Type application/json")


async def _read(request: web.Request) -> bytes:
    raw = bytearray()
    try:
        async with asyncio.timeout(READ_WITHIN):
            async for piece in request.content.iter_chunked(8192):
                raw += piece
                if len(raw) > MAX_BODY:
                    raise ProblemError("too-large", f"a body has at most {MAX_BODY // 1024} kB")
    except TimeoutError:
        raise ProblemError("bad-request", f"the body did not arrive within {READ_WITHIN:g} s") from None
    except web.HTTPException as error:  # a body that is not what its Content-Encoding says
        raise ProblemError("bad-request", error.reason) from error
    return bytes(raw)


def _parsed(model: type[BaseModel], given: bytes | dict[str, str]) -> BaseModel:
    """Raises `ProblemError` with every mistake."""
    try:
        return model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as error:
        reasons = [
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        what = "body is" if isinstance(given, bytes) else "parameters are"
        raise ProblemError("bad-request", f"the {what} not right", reasons[:20]) from None
