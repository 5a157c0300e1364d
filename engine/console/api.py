"""The routes of the API: docs/api.md in code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from engine.console import archive, event_models, masks, models, views
from engine.console.archive import Archive, HistoryQuery
from engine.console.audio import Audience
from engine.console.audit import Audit
from engine.console.deeds import Deeds, key_of
from engine.console.entries import Timeline
from engine.console.feed import Feed
from engine.console.gate import COOKIE, LASTS, Gate, TooManyError, is_secure
from engine.console.openapi import document
from engine.console.places import Places
from engine.console.problems import ProblemError
from engine.console.routing import NOBODY, Ask, Route, Router
from engine.console.stream import EventsQuery, Reason, Stream
from engine.outcome import StepError
from engine.steering import NotPossible
from engine.version import VERSION
from flows.graph import graph_of

if TYPE_CHECKING:
    from engine.call import Call
    from engine.health import Readiness
    from engine.record import CallRecord
    from engine.services import Services
    from engine.switchboard import Switchboard
    from flows.flow import Flow
    from flows.library import Library

CALL: Final = "/calls/{id}"
KEY: Final = ("Idempotency-Key",)


class AuditQuery(BaseModel):
    """What `GET /audit` takes."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)
    call: str | None = Field(None, min_length=1, max_length=200)


class TicketQuery(BaseModel):
    """What the WebSocket takes."""

    model_config = ConfigDict(extra="forbid")

    ticket: str = Field(min_length=1, max_length=100)


class Api:
    """Answers for one engine."""

    def __init__(
        self, switchboard: Switchboard, services: Services, readiness: Readiness, gate: Gate, audit: Audit,
    ) -> None:  # fmt: skip
        self._board = switchboard
        self._services = services
        self._readiness = readiness
        self._gate = gate
        self._audit = audit
        self._started = services.clock.now()
        self._deeds = Deeds()
        self.audience = Audience(gate)
        self.feed = Feed(switchboard, services.watch, self.health, self.audience.of, self._recordings)
        self.router = Router(gate, audit)
        self.routes = self._table()
        self._document = document(self.routes)

    def _table(self) -> Sequence[Route]:
        possible, missing = ("not-possible", "key-in-use"), ("not-found",)
        body = ("too-large", "not-json", "wrong-origin")
        return (
            Route("POST", "/session", self._login, "Log in", "", None, models.Session, body=models.Login,
                  problems=("bad-request", "not-logged-in", "too-many", "no-audit", "no-tokens", *body), public=True),
            Route("GET", "/session", self._session, "Who am I", "", None, models.Session),
            Route("DELETE", "/session", self._logout, "Log out", "logout", None, status=204, problems=body[2:]),
            Route("GET", "/engine", self._engine, "How the engine is", "", "live", models.EngineHealth),
            Route("GET", "/calls", self._calls, "The live calls", "calls", "live", models.LiveCalls),
            Route("GET", CALL, self._call, "One call", "call", "live", models.CallDetail,
                  problems=(*missing, "no-records")),
            Route("GET", CALL + "/graph", self._graphs, "The flows of a call", "graph", "live", models.Graphs,
                  problems=(*missing, "no-records")),
            Route("GET", CALL + "/targets", self._targets, "Whom a call can be handed to", "targets", "act",
                  models.Targets, problems=missing),
            Route("POST", CALL + "/hangup", self._hang_up, "Hang up", "hangup", "act", models.ActionResult, 202,
                  problems=(*missing, *possible, "wrong-origin"), headers=KEY),
            Route("POST", CALL + "/handoff", self._hand_off, "Hand off now", "handoff", "act", models.ActionResult,
                  202, body=models.HandoffRequest, problems=(*missing, *possible, *body), headers=KEY),
            Route("POST", CALL + "/audio-ticket", self._ticket, "A ticket to listen", "listen", "listen",
                  models.AudioTicket, problems=(*missing, "not-possible", "wrong-origin")),
            Route("GET", CALL + "/recordings/{number}", self._recording, "A recording", "recording", "recordings",
                  problems=(*missing, "no-records"), media="audio/wav"),
            Route("GET", "/history", self._history, "Past calls", "history", "history", models.History,
                  query=HistoryQuery, problems=("no-records",)),
            Route("GET", "/flows", self._flows, "The flows", "", "live", models.Flows),
            Route("GET", "/flows/{name:(?s:.+)}/graph", self._graph, "A flow as a graph", "", "live", models.FlowGraph,
                  problems=missing),
            Route("GET", "/audit", self._read_audit, "The audit log", "audit", "audit", models.AuditPage,
                  query=AuditQuery),
            Route("GET", "/events", self._events, "What happens, as it happens", "watch", "live", query=EventsQuery,
                  media="text/event-stream"),
        )  # fmt: skip

    def definitions(self) -> list[web.RouteDef]:
        """For the engine's HTTP server."""
        beside = (
            Route("GET", CALL + "/audio", self._audio, "Listen", "", None, query=TicketQuery, public=True, media="-"),
            Route("GET", "/openapi.json", self._openapi, "This document", "", None, public=True),
        )
        return self.router.definitions((*beside, *self.routes))

    # ── Who ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _login(self, ask: Ask) -> web.Response:
        request, now = ask.request, datetime.now(UTC)
        self._gate.check_origin(request)
        if self._gate.tokens.open:
            raise ProblemError("no-tokens", "there is no token to log in with: `hookflash token create` makes one")
        try:
            token = self._gate.try_token(request, ask.body.token)
        except TooManyError as problem:
            if problem.times:
                await self.router.note(ask, "login refused", who=NOBODY, told=f"{problem.times} times: too many")
            raise
        except ProblemError:
            await self.router.note(ask, "login refused", who=NOBODY)
            raise
        cookie, who = self._gate.open_session(token, now)
        await self.router.note(ask, "login", who=who)
        answer = web.Response(body=who.session().model_dump_json(), content_type="application/json")
        answer.set_cookie(
            COOKIE, cookie, httponly=True, samesite="Strict", secure=is_secure(request), path="/",
            max_age=int(LASTS.total_seconds()),
        )  # fmt: skip
        return answer

    async def _session(self, ask: Ask) -> models.Session:
        return ask.identity.session()

    async def _logout(self, ask: Ask) -> web.Response:
        self._gate.end_session(ask.identity)
        answer = web.Response(status=204)
        answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=is_secure(ask.request))
        return answer

    async def _read_audit(self, ask: Ask) -> models.AuditPage:
        return models.AuditPage(entries=await self._audit.newest(ask.query.limit, ask.query.call))

    # ── The engine and its flows ──────────────────────────────────────────────────────────────────────────────────────

    def health(self) -> models.EngineHealth:
        """How the engine is now."""
        ready, reasons = self._readiness, self._readiness.reasons()
        return models.EngineHealth(
            name=self._services.engine, version=VERSION, started=self._started, now=self._services.clock.now(),
            ready=not reasons, reasons=reasons, draining=ready.draining, asterisk=ready.ari_connected,
            calls=ready.active, capacity=ready.capacity, watchers=self.feed.watchers, listeners=self.audience.all,
            voices=self._services.voices.opened, revision=self._board.library.revision,
        )  # fmt: skip

    async def _engine(self, ask: Ask) -> models.EngineHealth:
        return self.health()

    async def _flows(self, ask: Ask) -> models.Flows:
        library = self._board.library
        heads = [
            models.FlowHead(
                name=name, version=flow.version, revision=flow.revision, description=flow.description,
                next=name in library.next,
            )
            for name, flow in sorted(library.flows.items())
        ]  # fmt: skip
        return models.Flows(revision=library.revision, flows=heads)

    async def _graph(self, ask: Ask) -> models.FlowGraph:
        flow = self._board.library.flows.get(ask.part("name"))
        if flow is None:
            raise ProblemError("not-found", f"there is no flow {ask.part('name')!r}")
        return _drawn(flow)

    async def _graphs(self, ask: Ask) -> models.Graphs:
        call, record = await self._found(ask)
        library = self._board.library if call is None else call.library
        places = Places.of(library)
        drawn = []
        for name in views.called_flows(record, places):
            flow = _flow_of(library, name, record)
            if flow is not None:
                current = call is not None or name != record.flow or flow.revision == record.revision
                drawn.append(_drawn(flow, current=current))
        return models.Graphs(flows=drawn)

    # ── Calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> list[models.CallSummary]:
        """The live calls, oldest first."""
        found = [self._summary(call) for call in self._board.calls.values()]
        return sorted((one for one in found if one.state != "ended"), key=lambda one: one.started)

    def _summary(self, call: Call) -> models.CallSummary:
        return views.summary(call, Places.of(call.library), listeners=self.audience.of(call.record.id))

    async def _calls(self, ask: Ask) -> models.LiveCalls:
        calls = self.live()
        return models.LiveCalls(
            now=datetime.now(UTC), calls=[masks.summary(one) for one in calls] if ask.masked else calls
        )

    async def _call(self, ask: Ask) -> models.CallDetail:
        call, record = await self._found(ask)
        told = await (self._past(record) if call is None else self._detail(call))
        return masks.detail(told) if ask.masked else told

    async def _detail(self, call: Call) -> models.CallDetail:
        obstacles = call.steering.obstacles()
        kept = await self._recordings(call)
        return _detail_of(
            call.record, self._summary(call), Places.of(call.library), kept, live=True,
            interim=views.interim(call), variables=views.variables(call), obstacles=obstacles,
        )  # fmt: skip

    async def _past(self, record: CallRecord) -> models.CallDetail:
        places = Places.of(self._board.library)
        kept = await archive.recordings(self._services.storage / "recordings", record)
        return _detail_of(
            record, views.past(record, places, recorded=bool(kept)), places, kept, live=False,
            interim=models.Interim(), variables=[], obstacles=["the call is over"],
        )  # fmt: skip

    async def _recordings(self, call: Call) -> list[models.RecordingHead]:
        running = None
        if (recording := call.recording) is not None and not recording.over.is_set():
            running = recording.path
        return await archive.recordings(self._services.storage / "recordings", call.record, running=running)

    async def _found(self, ask: Ask) -> tuple[Call | None, CallRecord]:
        """A live call, or a record for who may see past calls. Raises `ProblemError`."""
        id_ = ask.part("id")
        if (call := self._board.calls.get(id_)) is not None:
            return call, call.record
        ask.need("history")
        return None, await archive.one(self._archive(), id_)

    def _archive(self) -> Archive:
        if not isinstance(self._services.records, Archive):
            raise ProblemError("no-records", "this engine keeps no records")
        return self._services.records

    async def _history(self, ask: Ask) -> models.History:
        found, cursor = await archive.page(self._archive(), ask.query)
        places = Places.of(self._board.library)
        return models.History(calls=[views.past(record, places) for record in found], next=cursor)

    async def _recording(self, ask: Ask) -> web.FileResponse:
        number = ask.part("number")
        if not number.isascii() or not number.isdecimal() or len(number) > 6:
            raise ProblemError("not-found", f"there is no recording {number!r}")
        _, record = await self._found(ask)
        kept = await asyncio.to_thread(archive.files, self._services.storage / "recordings", record.id)
        if int(number) >= len(kept):
            raise ProblemError("not-found", f"the call has {len(kept)} recordings, counted from 0")
        return web.FileResponse(kept[int(number)], headers={"Content-Type": "audio/wav"})

    # ── Actions ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _live(self, ask: Ask) -> Call:
        """Raises `ProblemError` for what is no live call."""
        call = self._board.calls.get(ask.part("id"))
        if call is None:
            raise ProblemError("not-found", f"there is no live call {ask.part('id')!r}")
        return call

    async def _targets(self, ask: Ask) -> models.Targets:
        call = self._live(ask)
        obstacles = call.steering.obstacles()
        return models.Targets(targets=targets(call.library), possible=not obstacles, reasons=obstacles)

    async def _hang_up(self, ask: Ask) -> models.ActionResult:
        key, id_ = key_of(ask.request.headers.get(KEY[0])), ask.part("id")

        async def do() -> models.ActionResult:
            try:
                await self._live(ask).steering.hang_up()
            except NotPossible as error:
                raise ProblemError("not-possible", "the call cannot be hung up", error.reasons) from error
            return models.ActionResult(action="hangup", call=id_, status="hanging_up", key=key)

        return await self._deeds.once(ask.identity.name, key, f"hangup {id_}", do)

    async def _hand_off(self, ask: Ask) -> models.ActionResult:
        key, id_, name = key_of(ask.request.headers.get(KEY[0])), ask.part("id"), ask.body.target

        async def do() -> models.ActionResult:
            call = self._live(ask)
            if not any(one.name == name for one in targets(call.library)):
                raise ProblemError("not-found", f"there is no target {name!r}; GET …/targets lists them")
            try:
                call.steering.hand_off(name)
            except (NotPossible, StepError) as error:
                reasons = error.reasons if isinstance(error, NotPossible) else [str(error)]
                raise ProblemError("not-possible", "the call cannot be handed off", reasons) from error
            return models.ActionResult(action="handoff", call=id_, target=name, status="ringing", key=key)

        return await self._deeds.once(ask.identity.name, key, f"handoff {id_} {name}", do)

    # ── As it happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _events(self, ask: Ask) -> web.StreamResponse:
        return await Stream(self.feed, self._gate, ask, self._reset).run()

    async def _reset(self, reason: Reason, id_: str | None) -> event_models.Reset:
        call = None if id_ is None else self._board.calls.get(id_)
        detail = None if call is None else await self._detail(call)
        return event_models.Reset(
            reason=reason, now=datetime.now(UTC), engine=self.health(), calls=self.live(), detail=detail
        )

    async def _ticket(self, ask: Ask) -> models.AudioTicket:
        return self.audience.ticket(self._live(ask).record.id, ask.identity, datetime.now(UTC))

    async def _audio(self, ask: Ask) -> web.StreamResponse:
        request = ask.request
        self._gate.check_origin(request)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise ProblemError("bad-request", "this is a WebSocket")
        identity = self.audience.take(ask.query.ticket, ask.part("id"))
        return await self.audience.serve(request, self._live(ask), identity)

    async def _openapi(self, ask: Ask) -> web.Response:
        return web.json_response(self._document)


def targets(library: Library) -> list[models.Target]:
    """Whom calls can be handed to: what `resources.yaml` names, without what may not be dialled."""
    resources = library.resources
    found = [
        models.Target(name=name, target=one.target, kind="destination")
        for name, one in sorted(resources.destinations.items())
        if not resources.dialling.refusal(one.target)
    ]
    return found + [models.Target(name=name, target=None, kind="group") for name in sorted(resources.groups)]


def _detail_of(
    record: CallRecord, summary: models.CallSummary, places: Places, kept: list[models.RecordingHead], *,
    live: bool, interim: models.Interim, variables: list[models.Variable], obstacles: list[str],
) -> models.CallDetail:  # fmt: skip
    return models.CallDetail(
        call=summary, live=live, result=record.result, entries=Timeline(record, places).all(), interim=interim,
        variables=variables, recordings=kept, tokens=views.tokens(record), timings=record.timings,
        handoff=models.Possible(possible=not obstacles, reasons=obstacles),
    )  # fmt: skip


def _flow_of(library: Library, name: str, record: CallRecord) -> Flow | None:
    """The version of a flow in which the call was, if it is still there."""
    versions: Sequence[Mapping[str, Flow]] = (library.flows, library.next)
    found = [flows[name] for flows in versions if name in flows]
    return next((flow for flow in found if name == record.flow and flow.revision == record.revision), None) or (
        found[0] if found else None
    )


def _drawn(flow: Flow, *, current: bool = True) -> models.FlowGraph:
    graph = graph_of(flow)
    return models.FlowGraph(
        name=flow.name, version=flow.version, revision=flow.revision, description=flow.description, current=current,
        nodes=[
            models.GraphNode(id=node.id, kind=node.kind, title=node.title, detail=node.detail, line=node.line)
            for node in graph.nodes
        ],
        edges=[
            models.GraphEdge(source=edge.source, target=edge.target, labels=list(edge.labels), is_call=edge.is_call)
            for edge in graph.edges
        ],
    )  # fmt: skip
