"""Requests to endpoints, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from engine.http import MAX_BODY, Http, HttpFailedError, escape, secret
from flows.resources import Endpoint
from flows.texts import Text


@dataclass
class Company:
    """The company's server: answers each request with the next of its answers, the last one for ever."""

    answers: list[Any]
    endpoint: Endpoint
    asked: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.text())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response()
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(answer, int):
            return web.Response(status=answer, text="no")
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

    async def ask(self, path: str = "/x", method: str = "GET", **more: Any) -> Any:
        http = Http(lambda name: f"secret of {name}")
        try:
            return await http.request(self.endpoint, method, path, **more)
        finally:
            await http.close()

    @property
    def paths(self) -> list[str]:
        return [request.raw_path for request in self.asked]


@asynccontextmanager
async def company(*answers: Any, base: str = "", **endpoint: Any) -> AsyncIterator[Company]:
    made = Company(list(answers) or [{"ok": True}], Endpoint("pos", ""))
    runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.endpoint = Endpoint("pos", f"http://127.0.0.1:{runner.addresses[0][1]}{base}", **endpoint)
        yield made
    finally:
        await runner.cleanup()


async def failure(house: Company, *args: Any, **more: Any) -> HttpFailedError:
    with pytest.raises(HttpFailedError) as caught:
        await house.ask(*args, **more)
    return caught.value


# ── What is sent, what comes back ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_request_with_everything() -> None:
    headers = {"X-Site": "bella", "Authorization": {"secret": "POS_TOKEN"}}
    async with company({"ref": "A7"}, base="/api", headers=headers) as house:
        reply = await house.ask(
            "/orders?dry=1", "POST", json={"dish": "pizza", "count": 2}, headers={"X-Call": "c1"}, idempotency_key="k1"
        )
    assert (reply.status, reply.body) == (200, {"ref": "A7"})
    sent = house.asked[0]
    assert (sent.method, sent.raw_path) == ("POST", "/api/orders?dry=1")
    assert {name: sent.headers[name] for name in ("X-Site", "Authorization", "X-Call", "Idempotency-Key")} == {
        "X-Site": "bella", "Authorization": "secret of POS_TOKEN", "X-Call": "c1", "Idempotency-Key": "k1",
    }  # fmt: skip
    assert json.loads(house.bodies[0]) == {"dish": "pizza", "count": 2}
    assert sent.headers["Content-Type"] == "application/json"


async def test_no_body_no_content_type_and_a_slash_where_none_was_written() -> None:
    async with company() as house:
        await house.ask("x")
        await house.ask("")
    assert "Content-Type" not in house.asked[0].headers
    assert house.paths == ["/x", "/"]


async def test_a_timestamp_in_a_body_is_text() -> None:
    async with company() as house:
        await house.ask(method="POST", json={"at": datetime(2026, 12, 25, 9, tzinfo=UTC)})
    assert json.loads(house.bodies[0]) == {"at": "2026-12-25T09:00:00+00:00"}


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (web.Response(text="plain"), "plain"),
        (web.Response(body=b"\xff!", content_type="text/plain"), "�!"),
        (web.Response(text='{"a": 1}', content_type="application/problem+json"), {"a": 1}),
        (web.Response(text='{"a": 1}', content_type="text/html"), '{"a": 1}'),
        (web.Response(text=" ", content_type="application/json"), None),
        (web.Response(status=204, content_type="application/json"), None),
    ],
)
async def test_only_what_says_that_it_is_json_is_read_as_json(answer: web.Response, body: Any) -> None:
    async with company(answer) as house:
        assert (await house.ask()).body == body


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "nonsense"])
async def test_broken_json_is_a_failure(text: str) -> None:
    async with company(web.Response(text=text, content_type="application/json")) as house:
        error = await failure(house)
    assert str(error).startswith("pos answered with broken JSON")
    assert (error.kind, error.status) == ("http_error", 0)


async def test_no_cookie_is_kept_for_the_next_call() -> None:
    answer = web.json_response({})
    answer.set_cookie("session", "of another caller")
    async with company(answer, {}) as house:
        http = Http()
        named = Endpoint("pos", house.endpoint.base_url.replace("127.0.0.1", "localhost"))
        await http.request(named, "GET", "/a")
        await http.request(named, "GET", "/b")
        await http.close()
        await http.close()
    assert "Cookie" not in house.asked[1].headers


# ── What goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 500])
async def test_an_answer_that_is_no_success_is_a_failure(status: int) -> None:
    headers = {"Location": "https://elsewhere.example/"} if status < 400 else {}
    async with company(web.Response(status=status, headers=headers), {"never": 1}) as house:
        error = await failure(house)
    assert (error.kind, error.status, str(error)) == ("http_error", status, f"pos answered {status} to GET")
    assert len(house.asked) == 1


async def test_a_redirect_is_not_followed_even_to_the_same_host() -> None:
    async with company(web.Response(status=301, headers={"Location": "/other"}), {}) as house:
        await failure(house)
    assert house.paths == ["/x"]


async def test_too_large_an_answer_is_refused_before_it_is_whole() -> None:
    async with company(web.Response(body=b"x" * (8 * MAX_BODY))) as house:
        error = await failure(house)
        assert "more than 256 kB" in str(error)
    async with company(web.Response(body=b"x" * MAX_BODY)) as house:
        assert len((await house.ask()).body) == MAX_BODY


async def test_an_answer_that_takes_too_long_is_a_timeout() -> None:
    async with company(5.0, timeout=0.1) as house:
        began = time.monotonic()
        error = await failure(house)
        assert (error.kind, str(error)) == ("timeout", "pos did not answer within 0.1 s")
        error = await failure(house, timeout=0.05)
        assert str(error) == "pos did not answer within 0.05 s"
        assert time.monotonic() - began < 2


async def test_the_time_holds_for_all_tries_together() -> None:
    async with company(None, None, 5.0, timeout=0.6) as house:
        began = time.monotonic()
        error = await failure(house)
        assert error.kind == "timeout"
        assert time.monotonic() - began < 2


async def test_nobody_listens() -> None:
    async with company() as house:
        endpoint = house.endpoint
    error = await failure(Company([], endpoint))
    assert (error.kind, error.status) == ("http_error", 0)
    assert "pos cannot be reached" in str(error)


# ── Repeats ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", [502, 503, 504, None])
@pytest.mark.parametrize(
    ("method", "more"), [("GET", {}), ("POST", {"idempotency_key": "k"}), ("DELETE", {"idempotency_key": "k"})]
)
async def test_what_may_be_repeated_is(first: int | None, method: str, more: Any) -> None:
    async with company(first, first, {"ok": 1}) as house:
        assert (await house.ask(method=method, **more)).body == {"ok": 1}
    assert len(house.asked) == 3
    assert {request.headers.get("Idempotency-Key") for request in house.asked} == {more.get("idempotency_key")}


@pytest.mark.parametrize(
    ("method", "first"),
    [("POST", 503), ("PUT", 503), ("PATCH", 503), ("DELETE", 503), ("POST", None), ("PATCH", None), ("POST", 500)],
)
async def test_what_may_not_be_repeated_is_not(method: str, first: int | None) -> None:
    async with company(first, {"ok": 1}) as house:
        await failure(house, method=method, json={"dish": "pizza"})
    assert len(house.asked) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_http_calls_idempotent_is_sent_again_once_when_the_connection_breaks(method: str) -> None:
    async with company(None) as house:
        await failure(house, method=method)
    assert len(house.asked) == 2


async def test_three_tries_and_no_more() -> None:
    async with company(503) as house:
        error = await failure(house)
    assert (len(house.asked), error.status) == (3, 503)


# ── Hostile values ────────────────────────────────────────────────────────────────────────────────────────────────────

PATH = Text("/menu/${vars.x}/price?q=${vars.x}&n=1")


@pytest.mark.parametrize(
    "value", ["../../admin", "a&n=2", "a?n=2", "a#b", "a/b", "a\nb", "a%2fb", "%2e%2e", "ä ü", "a\\b", "a+b=c;d"]
)
async def test_a_value_stays_one_value(value: str) -> None:
    async with company(base="/api") as house:
        await house.ask(PATH.render({"vars": {"x": value}}, escape))
    request = house.asked[0]
    assert request.path == f"/api/menu/{value}/price"
    assert request.raw_path.split("?")[0].count("/") == 4
    assert dict(request.query) == {"q": value, "n": "1"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_reaches_another_place(value: str) -> None:
    """Whatever a value holds, the path has as many parts as the author wrote, or the request is refused."""
    from yarl import URL

    try:
        url = URL(Http._url(Endpoint("pos", "https://pos.example/api"), PATH.render({"vars": {"x": value}}, escape)))
    except HttpFailedError:
        assert value in (".", "..")
        return
    assert (url.host, url.fragment) == ("pos.example", "")
    assert url.raw_parts[:3] == ("/", "api", "menu")
    assert len(url.raw_parts) == 5
    assert list(url.query) == ["q", "n"]


@pytest.mark.parametrize("path", ["/a/../b", "/..", "..", "/./a", "/%2e%2e/a", "//evil.example/x", "/a\\b"])
async def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    async with company() as house:
        error = await failure(house, path)
    assert "would lead elsewhere" in str(error)
    assert house.asked == []


@pytest.mark.parametrize("where", ["headers", "idempotency_key"])
async def test_a_value_does_not_become_a_header_of_its_own(where: str) -> None:
    value = "a\r\nX-Admin: true"
    async with company() as house:
        error = await failure(house, **{where: {"X-Name": value} if where == "headers" else value})
    assert "holds a line break" in str(error)
    assert "X-Admin" not in str(error)
    assert house.asked == []


# ── Secrets ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_comes_from_the_environment_or_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from the file\n")
    monkeypatch.setenv("POS_TOKEN_FILE", str(tmp_path / "token"))
    assert secret("POS_TOKEN") == "from the file"
    monkeypatch.setenv("POS_TOKEN", "from the environment")
    assert secret("POS_TOKEN") == "from the environment"


def test_a_secret_that_is_not_there_says_where_it_belongs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(HttpFailedError, match="set the environment variable POS_TOKEN or POS_TOKEN_FILE"):
        secret("POS_TOKEN")
    monkeypatch.setenv("POS_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(HttpFailedError, match=r"cannot be read from .*none: No such file"):
        secret("POS_TOKEN")
    (tmp_path / "key").write_bytes(b"\xff\xfehush")
    monkeypatch.setenv("POS_TOKEN_FILE", str(tmp_path / "key"))
    with pytest.raises(HttpFailedError, match="it is not text"):
        secret("POS_TOKEN")


@pytest.mark.parametrize("answer", [500, None, 3.0, web.Response(text="{", content_type="application/json")])
async def test_no_error_tells_a_secret(answer: Any) -> None:
    headers = {"Authorization": {"secret": "POS_TOKEN"}}
    async with company(answer, headers=headers, timeout=0.2) as house:
        error = await failure(house, "/x?card=4111", method="POST")
        assert house.asked[0].headers["Authorization"] == "secret of POS_TOKEN"
    assert "secret of" not in repr(error) + str(error.__cause__)
    assert "4111" not in str(error)


async def test_a_secret_with_a_line_break_is_refused_without_being_told() -> None:
    async with company(headers={"Authorization": {"secret": "TOKEN"}}) as house:
        http = Http(lambda name: "hush\nhush")
        with pytest.raises(HttpFailedError, match="the header Authorization for pos holds a line break") as caught:
            await http.request(house.endpoint, "GET", "/")
    assert "hush" not in str(caught.value)


async def test_a_file_comes_as_it_is() -> None:
    content = bytes(range(256)) * 4096
    answers = [web.Response(body=content, content_type="audio/wav") for _ in range(2)]
    async with company(*answers) as here:
        http = Http(lambda name: f"secret of {name}")
        try:
            assert await http.fetch(here.endpoint, "/a.wav", len(content)) == content
            with pytest.raises(HttpFailedError, match="more than 1023 kB"):
                await http.fetch(here.endpoint, "/a.wav", len(content) - 1)
            with pytest.raises(HttpFailedError, match="lead elsewhere"):
                await http.fetch(here.endpoint, "/../a.wav", 10)
        finally:
            await http.close()
    assert here.paths == ["/a.wav"] * 2
