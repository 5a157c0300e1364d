"""A console for tests: the real routes on a real server, calls on virtual lines, in real time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from engine.call import Call
from engine.console import tokens
from engine.console.roles import ROLES
from engine.console.server import Console
from engine.health import Readiness
from engine.http import Http
from engine.metrics import Metrics
from engine.records.store import Records
from engine.services import Clock, Services
from engine.settings import ConsoleSettings, HttpSettings, Settings
from engine.speech import Speech
from engine.switchboard import Switchboard
from engine.virtual import VirtualLine, VirtualProvider
from engine.virtual.line import FACTS
from engine.voices import Voices
from flows.dialling import Dialling
from flows.flow import Flow, Variable
from flows.library import Library
from flows.resources import Destination, Resources
from flows.routes import Route
from tests.engine.support import flow, forever, speaks, step

RESOURCES = Resources(
    destinations={
        "desk": Destination("desk", "pjsip:desk"), "busy": Destination("busy", "pjsip:busy"),
        "slow": Destination("slow", "pjsip:slow"), "far": Destination("far", "tel:+4930123456"),
    },
    groups={"everybody": ("desk", "busy")},
    dialling=Dialling(deny=("+49*",)),
)  # fmt: skip
TARGETS = {
    "pjsip:desk": {"answer": 0.2}, "pjsip:busy": "busy", "pjsip:slow": {"answer": 20},
}  # fmt: skip
_calls = count(1)


async def answers(at: Any, call: Call) -> None:
    await call.answer()


async def remembers(at: Any, call: Call) -> None:
    call.walker.set("topic", "invoice 4711")
    call.walker.set("card", "4111111111111111")


USUAL = flow(
    step(answers, id="pick_up"), step(remembers, id="note"), step(speaks("Hi."), id="greet"),
    step(forever, id="talk"), name="reception",
    vars={"topic": Variable("string", ""), "card": Variable("string", "", sensitive=True)},
)  # fmt: skip


async def until(holds: Callable[[], Any], what: str, within: float = 5.0) -> Any:
    """For what happens in other tasks, without an event to await."""
    try:
        async with asyncio.timeout(within):
            while not (found := holds()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None
    return found


class Desk:
    """The engine's side, and clients of each role."""

    def __init__(self, switchboard: Switchboard, console: Console, url: str, folder: Path, records: Records) -> None:
        self.switchboard = switchboard
        self.console = console
        self.url = url
        self.api = f"{url}/api/v1"
        self.folder = folder
        self.records = records
        self.tokens: dict[str, str] = {}
        self._http = aiohttp.ClientSession()
        self._tasks: list[asyncio.Task[None]] = []

    async def rings(self, number: str = "+14155550199", *, up_to: str | None = "talk") -> tuple[Call, VirtualLine]:
        """A call comes in; returns when its flow stands at a step."""
        id_ = f"call.{next(_calls)}"
        line = VirtualLine(replace(FACTS, id=id_, caller=number, channel=f"channel-{id_}"), TARGETS)
        self._tasks.append(asyncio.create_task(self.switchboard._answer_for(line)))
        call: Call = await until(lambda: self.switchboard.calls.get(id_), "the call")
        if up_to:
            await until(lambda: call.record.steps and call.record.steps[-1].id == up_to, f"the step {up_to}")
        return call, line

    async def ask(
        self, method: str, path: str, role: str | None = "admin", *, status: int | None = 200, headers: Any = None,
        **more: Any,
    ) -> Any:  # fmt: skip
        """The JSON of an answer, which has this status (None: any)."""
        given = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        async with self._http.request(method, self.api + path, headers={**given, **(headers or {})}, **more) as answer:
            text = await answer.text()
            assert status in (answer.status, None), f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def get(self, path: str, role: str | None = "admin", **more: Any) -> Any:
        return await self.ask("GET", path, role, **more)

    async def act(self, path: str, role: str = "supervisor", key: str = "k1", **more: Any) -> Any:
        return await self.ask("POST", path, role, headers={"Idempotency-Key": key}, **{"status": 202, **more})

    def audit(self) -> list[dict[str, Any]]:
        file = self.folder / "audit.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    async def over(self, id_: str) -> None:
        await until(lambda: id_ not in self.switchboard.calls, "the end of the call")
        await self.records.flush()

    async def close(self) -> None:
        for call in list(self.switchboard.calls.values()):
            await call.line.hangup()
        await asyncio.gather(*self._tasks)
        await self._http.close()


@asynccontextmanager
async def desk(
    folder: Path, *flows: Flow, named: Sequence[str] = ROLES, host: str = "127.0.0.1", **console: Any
) -> AsyncIterator[Desk]:
    """``named``: the roles of which there is a token, under the name of the role; none: no file of tokens."""
    made = flows or (USUAL,)
    library = Library({one.name: one for one in made}, (Route(made[0].name),), RESOURCES, revision="all")
    settings = Settings(
        http=HttpSettings(host=host, port=0), storage=folder,
        console=ConsoleSettings(tokens=folder / "tokens.json", audit=folder / "audit.jsonl", **console),
    )  # fmt: skip
    given = {
        role: tokens.create(settings.console.tokens, role, role, datetime.now(UTC))  # type: ignore[arg-type]
        for role in named
    }
    async with Records.open(f"sqlite+aiosqlite:///{folder}/calls.db") as records:
        voices = Voices()
        voices.add("virtual", VirtualProvider())
        services = Services(
            voices=voices, speech=Speech(voices, "virtual"), http=Http(), records=records,
            metrics=Metrics(CollectorRegistry()), clock=Clock(datetime.now(UTC)), default_voice="virtual",
            storage=folder, wind_up=1.0,
        )  # fmt: skip
        readiness = Readiness(capacity=200, ari_connected=True, flows_loaded=True)
        switchboard = Switchboard(library, services, readiness)
        held = Console(settings, switchboard, services, readiness)
        app = web.Application()
        app.add_routes(held.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made_desk = Desk(switchboard, held, f"http://127.0.0.1:{runner.addresses[0][1]}", folder, records)
        made_desk.tokens = given
        try:
            with held.served():
                yield made_desk
        finally:
            await made_desk.close()
            await runner.cleanup()
