"""POST /calls/{id}/events/{name}: who may, what is refused, what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from engine.call import Call
from engine.health import Readiness, serve_health
from engine.http import Http
from engine.intake import BURST, MAX_BODY, RATE, SOURCES, Intake, Rates
from engine.line import Facts
from engine.metrics import Metrics
from engine.outcome import Outcome
from engine.services import Clock, Services
from engine.settings import HttpSettings
from engine.speech import Speech
from engine.switchboard import Switchboard
from engine.virtual import VirtualLine
from engine.virtual.house import KeptRecords
from engine.voices import Voices
from flows.flow import Step
from flows.library import Library
from flows.routes import Route
from tests.engine.support import flow, forever, make_call, step

TOKEN = "a-token-of-the-company"


class Desk:
    """An engine's HTTP server with one live call, ``call-1``, and one that is over, ``gone``."""

    def __init__(self, url: str, http: aiohttp.ClientSession, call: Call) -> None:
        self.url = url
        self.http = http
        self.call = call

    async def post(
        self, data: bytes | str = b"{}", path: str = "/calls/call-1/events/payment", token: str | None = TOKEN,
        **headers: str,
    ) -> tuple[int, dict[str, Any], Any]:  # fmt: skip
        given = {"Content-Type": "application/json", **{name.replace("_", "-"): it for name, it in headers.items()}}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        async with self.http.post(f"{self.url}{path}", data=data, headers=given) as answer:
            return answer.status, await answer.json(), answer.headers


def services() -> Services:
    """Of an engine on the real clock: HTTP is no virtual thing."""
    voices = Voices()
    return Services(
        voices=voices, speech=Speech(voices, "none"), http=Http(), records=KeptRecords(),
        metrics=Metrics(CollectorRegistry()), clock=Clock(),
    )  # fmt: skip


@asynccontextmanager
async def desk(call: Call, token: str = TOKEN) -> AsyncIterator[Desk]:
    readiness = Readiness(2)
    switchboard = Switchboard(Library({}), services(), readiness)
    switchboard.calls["call-1"] = call
    switchboard.over["gone"] = None
    routes = Intake(switchboard, token).routes()
    with capture_logs():
        async with (
            serve_health(HttpSettings(port=0), readiness, Metrics(CollectorRegistry()), {}, routes) as url,
            aiohttp.ClientSession() as http,
        ):
            yield Desk(url, http, call)


@pytest.fixture
async def call() -> Call:
    return make_call(flow(step(forever)), services=services())


async def waiting(call: Call) -> asyncio.Task[Any]:
    """A step of this call waits for a payment with an amount."""

    def fits(data: Any) -> list[str]:
        return [] if isinstance(data, dict) and "amount" in data else ["the event has no amount"]

    task = asyncio.create_task(call.inbox.take("webhook", "payment", fits))
    await asyncio.sleep(0)
    return task


async def test_a_step_that_waits_takes_it_and_no_answer_may_be_kept_or_sniffed(call: Call) -> None:
    async with desk(call) as company:
        taken = await waiting(call)
        status, body, headers = await company.post('{"amount": 9.5}')
        assert (status, body) == (200, {"status": "taken"})
        assert await taken == {"amount": 9.5}
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


async def test_one_that_comes_early_is_kept_and_its_repetition_known(call: Call) -> None:
    async with desk(call) as company:
        assert (await company.post('{"amount": 1}', Idempotency_Key="k"))[:2] == (202, {"status": "kept"})
        assert (await company.post('{"amount": 1}', Idempotency_Key="k"))[:2] == (200, {"status": "known"})
        assert await (await waiting(call)) == {"amount": 1}


async def test_an_empty_body_is_an_event_without_data(call: Call) -> None:
    async with desk(call) as company:
        assert (await company.post(b"", Content_Type="text/plain"))[0] == 202
        assert await call.inbox.take("webhook", "payment", lambda data: []) is None


async def test_the_sender_learns_what_the_waiting_step_cannot_use(call: Call) -> None:
    async with desk(call) as company:
        taken = await waiting(call)
        with capture_logs() as logs:
            status, body, _ = await company.post('{"sum": 1}')
        assert (status, body["error"]) == (422, "the step that waits cannot use it; the event has no amount")
        assert [entry["reason"] for entry in logs] == ["the step that waits cannot use it"], "nothing of what was sent"
        assert not taken.done()
        taken.cancel()


async def test_a_log_is_not_filled_by_who_is_refused(call: Call) -> None:
    async with desk(call) as company:
        with capture_logs() as logs:
            answers = [(await company.post(token=None))[0] for _ in range(2 * BURST)]
    assert set(answers) == {401, 429}
    assert [(entry["status"], entry["times"]) for entry in logs] == [(401, 1), (429, 1)]


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        ({"token": None}, 401, "bearer token"),
        ({"token": "another"}, 401, "bearer token"),
        ({"token": "a-token-of-the-companyy"}, 401, "bearer token"),
        ({"token": None, "Authorization": f"Basic {TOKEN}"}, 401, "bearer token"),
        ({"path": "/calls/nobody/events/payment"}, 404, "no such call"),
        ({"path": "/calls/gone/events/payment"}, 410, "is over"),
        ({"path": "/calls/nobody/events/payment", "token": "another"}, 401, "bearer token"),
        ({"data": b"{"}, 400, "not JSON"),
        ({"data": b'{"a": NaN}'}, 400, "NaN is no number"),
        ({"data": b'{"a": 1e999}'}, 400, "1e999 is no number"),
        ({"data": b"\xff\xfe{}"}, 400, "not JSON"),
        ({"data": b"[" * 60_000}, 400, "not JSON"),
        ({"data": b'"' + b"x" * MAX_BODY + b'"'}, 413, "64 kB"),
        ({"data": b"a=1", "Content_Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        ({"Idempotency_Key": "k" * 256}, 400, "255"),
    ],
)
async def test_what_is_refused(call: Call, given: dict[str, Any], expected: int, words: str) -> None:
    async with desk(call) as company:
        status, body, headers = await company.post(**given)
        assert status == expected
        assert body["status"] == "refused"
        assert words in body["error"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert call.inbox.kept("webhook", "payment", lambda data: []) == []


async def test_a_call_that_has_ended_but_is_not_yet_forgotten_takes_nothing(call: Call) -> None:
    assert isinstance(call.line, VirtualLine)
    call.line.end("caller")
    async with desk(call) as company:
        assert (await company.post())[0] == 410


async def test_without_a_token_the_route_is_closed_even_to_who_has_none(call: Call) -> None:
    async with desk(call, token="") as company:
        for token in (None, "", TOKEN):
            status, body, _ = await company.post(token=token)
            assert (status, body["error"]) == (
                403, "this engine takes no events: set events.token (HOOKFLASH_EVENTS_TOKEN)"
            )  # fmt: skip


async def test_who_guesses_tokens_is_slowed_down(call: Call) -> None:
    async with desk(call) as company:
        answers = [await company.post(token="guess") for _ in range(BURST + 5)]
        assert [status for status, _, _ in answers[:BURST]] == [401] * BURST
        limited = [headers["Retry-After"] for status, _, headers in answers if status == 429]
        assert limited
        assert set(limited) == {"1"}


async def test_too_many_that_nobody_waits_for_are_refused(call: Call) -> None:
    async with desk(call) as company:
        answers = [(await company.post())[0] for _ in range(17)]
        assert answers == [202] * 16 + [429]


async def test_a_body_that_does_not_come_is_not_waited_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.intake.READ_WITHIN", 0.05)
    async with desk(call) as company:
        host, port = company.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /calls/call-1/events/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


def test_rates_of_addresses_are_their_own_and_bounded_in_memory() -> None:
    rates = Rates()
    assert [rates.wait("a", 0.0) for _ in range(BURST)] == [0.0] * BURST
    assert rates.wait("a", 0.0) == pytest.approx(1 / RATE)
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 1 / RATE) == 0.0
    for number in range(SOURCES + 10):
        rates.wait(str(number), 1.0)
    assert len(rates._left) == SOURCES


async def test_the_switchboard_remembers_calls_that_are_over_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.switchboard.REMEMBERED", 2)

    async def ends(step: Step, call: Call) -> Outcome | None:
        return None

    short = flow(step(ends))
    switchboard = Switchboard(Library({"test": short}), services(), Readiness(5))
    with capture_logs():
        for name in ("one", "two", "three"):
            line = VirtualLine(Facts(id=name, did="1", caller="2"))
            await switchboard._take(line, Route(flow="test", match={}))
    assert list(switchboard.over) == ["two", "three"]
    assert switchboard.calls == {}
