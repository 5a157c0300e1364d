"""Who may come in: tokens, sessions, this machine alone, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.console import tokens
from engine.console.gate import COOKIE, SESSIONS, Gate, engine_key, is_loopback
from engine.console.patience import ADDRESSES, FROM_ALL, FROM_ONE, WITHIN, Patience
from engine.console.problems import ProblemError
from engine.console.tokens import TokensError
from tests.engine.console.desk import Desk, desk


def other_client() -> aiohttp.ClientSession:
    """A browser: it keeps cookies, also of an address."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def log_in(house: Desk, browser: aiohttp.ClientSession, role: str = "supervisor") -> dict[str, Any]:
    async with browser.post(f"{house.api}/session", json={"token": house.tokens[role]}) as answer:
        assert answer.status == 200, await answer.text()
        cookie = answer.headers["Set-Cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
        assert "Secure" not in cookie
        told: dict[str, Any] = await answer.json()
        return told


async def test_without_a_token_nothing_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        paths = ("/calls", f"/calls/{call.record.id}", "/history", "/engine", "/flows", "/events", "/audit", "/session")
        for path in paths:
            problem = await house.get(path, None, status=401)
            assert problem["type"] == "urn:hookflash:problem:not-logged-in"
            assert call.record.id not in str(problem)
        await house.ask("POST", f"/calls/{call.record.id}/hangup", None, status=401)
        await house.ask("GET", "/calls", None, status=401, headers={"Authorization": "Basic YTpi"})
        assert not call.line.ended.done()


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("viewer", {"/calls"}), ("analyst", {"/calls", "/history"}), ("supervisor", {"/calls", "/history"}),
     ("admin", {"/calls", "/history", "/audit"})],
)  # fmt: skip
async def test_each_role_sees_its_part(role: str, allowed: set[str], tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        for path in ("/calls", "/history", "/audit"):
            await house.get(path, role, status=200 if path in allowed else 403)
        call, _ = await house.rings()
        status = 200 if role in ("supervisor", "admin") else 403
        await house.ask("POST", f"/calls/{call.record.id}/audio-ticket", role, status=status)


async def test_a_session_in_a_browser(tmp_path: Path) -> None:
    async with desk(tmp_path) as house, other_client() as browser:
        call, _ = await house.rings()
        told = await log_in(house, browser)
        assert (told["name"], told["role"], told["open"]) == ("supervisor", "supervisor", False)
        assert told["may"] == ["live", "values", "history", "recordings", "listen", "act"]
        async with browser.get(f"{house.api}/session") as answer:
            assert await answer.json() == told
        path = f"{house.api}/calls/{call.record.id}/hangup"
        key = {"Idempotency-Key": "k"}
        for wrong in ({}, {"X-CSRF-Token": "no"}, {"X-CSRF-Token": told["csrf"], "Origin": "https://evil.example"},
                      {"X-CSRF-Token": told["csrf"], "Origin": "null"},
                      {"X-CSRF-Token": told["csrf"], "Sec-Fetch-Site": "cross-site"}):  # fmt: skip
            async with browser.post(path, headers={**key, **wrong}) as answer:
                assert answer.status == 403
                assert (await answer.json())["type"].endswith("wrong-origin")
        assert not call.line.ended.done()
        async with browser.post(path, headers={**key, "X-CSRF-Token": told["csrf"], "Origin": house.url}) as answer:
            assert answer.status == 202
        (cookie,) = (one for one in browser.cookie_jar if one.key == COOKIE)
        identity = house.console.api._gate._session(cookie.value)
        async with browser.delete(f"{house.api}/session", headers={"X-CSRF-Token": told["csrf"]}) as answer:
            assert answer.status == 204
        await house.get("/calls", None, status=401, headers={"Cookie": f"{COOKIE}={cookie.value}"})
        assert not house.console.api._gate.still(identity), "who follows by it is let go"
        async with browser.get(f"{house.api}/calls") as answer:
            assert answer.status == 401


async def test_a_session_survives_a_restart_and_ends_with_its_token(tmp_path: Path) -> None:
    async with other_client() as browser:
        async with desk(tmp_path) as house:
            await log_in(house, browser)
            given = house.tokens
        (tmp_path / "tokens.json").rename(tmp_path / "kept.json")
        (tmp_path / "calls.db").unlink()
        async with desk(tmp_path, named=()) as house:
            (tmp_path / "kept.json").rename(tmp_path / "tokens.json")
            house.tokens = given
            async with browser.get(f"{house.api}/calls") as answer:
                assert answer.status == 200
            tokens.revoke(tmp_path / "tokens.json", "supervisor")
            async with browser.get(f"{house.api}/calls") as answer:
                assert answer.status == 401
            again = tokens.create(tmp_path / "tokens.json", "supervisor", "supervisor", datetime.now(UTC))
            async with browser.get(f"{house.api}/calls") as answer:
                assert answer.status == 401, "the session of another token of the same name is over"
            await house.ask("GET", "/calls", None, headers={"Authorization": f"Bearer {again}"})


def gate_of(folder: Path) -> tuple[Gate, tokens.Token]:
    file = folder / "tokens.json"
    made = tokens.create(file, "ada", "viewer", datetime.now(UTC))
    held = tokens.Tokens(file)
    token = held.find(made)
    assert token is not None
    return Gate(held, folder / "console.key", loopback=True), token


def test_a_session_that_was_tampered_with_is_none(tmp_path: Path) -> None:
    gate, token = gate_of(tmp_path)
    cookie, identity = gate.open_session(token, datetime.now(UTC))
    assert gate._session(cookie) == identity
    name, ends, chance, signature = cookie.split(".")
    changed = [
        f"{name}.{int(ends) + 1}.{chance}.{signature}", f"{name}.{ends}.x.{signature}", f"YWRh.{ends}.{chance}.",
        f"{name}.{ends}.{chance}.{signature[:-1]}", f"{name}.{ends}.{chance}", "", "....", "\x00.1.a.b",
        f"{name}.9e9.{chance}.{signature}", f"{name}.{10**30}.{chance}.{signature}",
        f"Ym9i.{ends}.{chance}.{signature}",
    ]  # fmt: skip
    for wrong in changed:
        with pytest.raises(ProblemError) as refused:
            gate._session(wrong)
        assert refused.value.status == 401, wrong


def test_sessions_that_were_taken_back_are_forgotten_at_their_ends(tmp_path: Path) -> None:
    gate, token = gate_of(tmp_path)
    now = datetime.now(UTC)
    for hours in (13, 13, 1, 1):
        cookie, identity = gate.open_session(token, now - timedelta(hours=hours))
        gate.end_session(identity)
    assert len(gate._ended) == 2
    with pytest.raises(ProblemError, match="over"):
        gate._session(cookie)
    for _ in range(SESSIONS):
        gate.end_session(gate.open_session(token, now)[1])
    assert len(gate._ended) == SESSIONS


def test_a_session_ends(tmp_path: Path) -> None:
    gate, token = gate_of(tmp_path)
    cookie, identity = gate.open_session(token, datetime.now(UTC) - timedelta(hours=13))
    assert not gate.still(identity)
    with pytest.raises(ProblemError, match="over"):
        gate._session(cookie)


async def test_too_many_wrong_tokens(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        for _ in range(FROM_ONE):
            await house.ask("POST", "/session", None, status=401, json={"token": "hf_wrong"})
        for _ in range(200):
            problem = await house.ask("POST", "/session", None, status=429, json={"token": "hf_wrong"})
            assert problem["type"].endswith("too-many")
        await house.ask("GET", "/calls", None, status=429, headers={"Authorization": "Bearer hf_wrong"})
        refused = [line.get("detail", "") for line in house.audit() if line["action"] == "login refused"]
        assert refused == [*[""] * FROM_ONE, "1 times: too many"]


async def test_a_right_token_never_waits_for_wrong_ones_of_the_same_address(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        for _ in range(FROM_ONE + 1):
            await house.ask("GET", "/calls", None, status=None, headers={"Authorization": "Bearer hf_wrong"})
        await house.get("/calls", "viewer")
        await house.ask("POST", "/session", None, json={"token": house.tokens["admin"]})


def test_refused_attempts_are_told_once_a_minute_with_their_number() -> None:
    patience = Patience()
    for _ in range(FROM_ONE):
        patience.failed("a", 0.0)
    assert [patience.refused("a", at) for at in (1.0, 2.0, 30.0)] == [1, 0, 0]
    for _ in range(FROM_ONE):
        patience.failed("a", 60.0)
    assert patience.refused("a", 61.0) == 3
    for n in range(FROM_ALL):
        patience.failed(f"address {n}", 70.0)
    told = [patience.refused(f"another {n}", 71.0) for n in range(5000)]
    assert (told[0], sum(told)) == (1, 1), "while all must wait, all are told together"
    for n in range(5000):
        patience._refused.again(str(n), 71.0)
    assert len(patience._refused._known) <= ADDRESSES


def test_patience_forgets_and_is_bounded() -> None:
    patience = Patience()
    for _ in range(FROM_ONE):
        assert patience.wait("a", 0.0) == 0.0
        patience.failed("a", 0.0)
    assert patience.wait("a", 1.0) == WITHIN - 1.0
    assert patience.wait("b", 1.0) == 0.0
    assert patience.wait("a", WITHIN) == 0.0
    for n in range(FROM_ALL):
        patience.failed(f"address {n}", 100.0)
    assert patience.wait("new", 100.0) == WITHIN
    for n in range(5000):
        patience.failed(f"other {n}", 100.0)
    assert len(patience._failures) <= 4096


# ── Without any token ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_any_token_this_machine_is_served_alone(tmp_path: Path) -> None:
    async with desk(tmp_path, named=()) as house:
        call, _ = await house.rings()
        told = await house.get("/session", None)
        assert (told["name"], told["role"], told["open"]) == ("local", "admin", True)
        await house.get("/calls", None)
        for header in (
            {"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:80"}, {"X-Forwarded-For": "10.0.0.1"},
            {"Forwarded": "for=10.0.0.1"}, {"Host": "[::1"},
        ):  # fmt: skip
            problem = await house.ask("GET", "/calls", None, status=403, headers=header)
            assert problem["type"].endswith("no-tokens"), header
        path = f"/calls/{call.record.id}/hangup"
        key = {"Idempotency-Key": "k"}
        await house.ask("POST", path, None, status=403, headers=key)
        wrong = {**key, "X-CSRF-Token": told["csrf"], "Origin": "http://evil.example"}
        await house.ask("POST", path, None, status=403, headers=wrong)
        await house.ask("POST", path, None, status=202, headers={**key, "X-CSRF-Token": told["csrf"]})
        problem = await house.ask("POST", "/session", None, status=403, json={"token": "hf_x"})
        assert problem["type"].endswith("no-tokens")


async def test_an_engine_that_listens_elsewhere_serves_nobody_without_tokens(tmp_path: Path) -> None:
    async with desk(tmp_path, named=(), host="0.0.0.0") as house:
        problem = await house.get("/calls", None, status=403)
        assert problem["type"].endswith("no-tokens")
        assert "hookflash token create" in problem["detail"]


async def test_behind_a_proxy_nobody_is_served_without_tokens(tmp_path: Path) -> None:
    async with desk(tmp_path, named=(), origin="https://calls.example.com") as house:
        problem = await house.get("/calls", None, status=403)
        assert problem["type"].endswith("no-tokens")
        house.tokens["viewer"] = tokens.create(tmp_path / "tokens.json", "ada", "viewer", datetime.now(UTC))
        await house.get("/calls", "viewer")


async def test_a_bare_proxy_pass_of_nginx_is_not_this_machine(tmp_path: Path) -> None:
    async with desk(tmp_path, named=()) as house:
        port = house.url.rpartition(":")[2]
        for version, status in (("1.0", b"403"), ("1.1", b"200")):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            host = f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            writer.write(f"GET /api/v1/calls HTTP/{version}\r\n{host}".encode())
            assert (await reader.readline()).split()[1] == status
            writer.close()


async def test_the_first_token_closes_the_door(tmp_path: Path) -> None:
    async with desk(tmp_path, named=()) as house:
        await house.get("/calls", None)
        house.tokens["viewer"] = tokens.create(tmp_path / "tokens.json", "ada", "viewer", datetime.now(UTC))
        await house.get("/calls", None, status=401)
        await house.get("/calls", "viewer")
        (tmp_path / "tokens.json").write_text("{")
        await house.get("/calls", "viewer", status=401)
        (tmp_path / "tokens.json").unlink()
        await house.get("/calls", None, status=401)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.1.2.3", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("calls.example.com", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_file_that_is_none_stops_the_start(tmp_path: Path) -> None:
    for content in ("", "{}", '{"tokens": [{"name": "a"}]}', '{"tokens": [], "x": 1}'):
        (tmp_path / "tokens.json").write_text(content)
        with pytest.raises(TokensError, match=r"tokens\.json is no file of tokens"):
            tokens.Tokens(tmp_path / "tokens.json")


def test_the_key_of_sessions_is_kept_and_private(tmp_path: Path) -> None:
    file = tmp_path / "store" / "console.key"
    key = engine_key(file)
    assert engine_key(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"short")
    assert len(engine_key(file)) == 32
    assert engine_key(tmp_path / "store" / "console.key" / "below") != key


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hookflash_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "who" / "tokens.json"
    monkeypatch.setenv("HOOKFLASH_CONSOLE_TOKENS", str(file))
    runner = CliRunner()
    assert "no token yet" in runner.invoke(main, ["token", "list"]).stderr
    made = runner.invoke(main, ["token", "create", "ada", "--role", "supervisor"])
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert token.startswith("hf_")
    assert len(token) > 40
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.Tokens(file).find(token).role == "supervisor"  # type: ignore[union-attr]
    assert "ada" in runner.invoke(main, ["token", "list"]).stdout
    again = runner.invoke(main, ["token", "create", "ada", "--role", "viewer"])
    assert (again.exit_code, "already" in again.stderr) == (2, True)
    assert runner.invoke(main, ["token", "create", "a/b", "--role", "viewer"]).exit_code == 2
    assert runner.invoke(main, ["token", "create", "bob", "--role", "boss"]).exit_code == 2
    assert runner.invoke(main, ["token", "revoke", "bob"]).exit_code == 2
    assert runner.invoke(main, ["token", "revoke", "ada"]).exit_code == 0
    held = tokens.Tokens(file)
    assert held.find(token) is None
    assert not held.open, "who revokes the last token does not open the door"
    assert sorted(path.name for path in file.parent.iterdir()) == ["tokens.json"]


# ── The audit log ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_look_and_action_is_written_down(tmp_path: Path) -> None:
    async with desk(tmp_path) as house, other_client() as browser:
        call, _ = await house.rings()
        id_ = call.record.id
        await house.get("/calls", "viewer")
        await house.get(f"/calls/{id_}", "analyst")
        await house.get("/history", "analyst", params={"number": "0199"}, headers={"X-Forwarded-For": "192.0.2.7"})
        await house.act(f"/calls/{id_}/handoff", json={"target": "desk"})
        await log_in(house, browser)
        await house.ask("POST", "/session", None, status=401, json={"token": "hf_wrong"})
        lines = house.audit()
        assert [(line["who"], line["action"], line.get("call")) for line in lines] == [
            ("viewer", "calls", None), ("analyst", "call", id_), ("analyst", "history", None),
            ("supervisor", "handoff", id_), ("supervisor", "login", None), ("", "login refused", None),
        ]  # fmt: skip
        assert lines[2]["source"] == "127.0.0.1 (for 192.0.2.7)"
        assert lines[2]["detail"] == "number=0199"
        assert lines[3]["detail"] == '{"target":"desk"}'
        assert "hf_" not in json.dumps(lines)
        entries = (await house.get("/audit", params={"call": id_}))["entries"]
        assert [entry["action"] for entry in entries] == ["handoff", "call"]
        assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


async def test_what_was_refused_is_written_down_once_a_minute(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        id_ = call.record.id
        await house.get(f"/calls/{id_}/targets", "supervisor")
        for _ in range(20):
            await house.act(f"/calls/{id_}/hangup", "viewer", status=403)
            await house.get("/history", "viewer", status=403)
        assert [(one["who"], one["action"], one.get("call"), one.get("detail")) for one in house.audit()] == [
            ("supervisor", "targets", id_, None), ("viewer", "hangup refused", id_, "not-allowed"),
            ("viewer", "history refused", None, "not-allowed"),
        ]  # fmt: skip


async def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        (tmp_path / "audit.jsonl").mkdir()
        problem = await house.act(f"/calls/{call.record.id}/hangup", status=503)
        assert problem["type"].endswith("no-audit")
        await house.get(f"/calls/{call.record.id}", status=503)
        assert not call.line.ended.done()


async def test_lines_of_many_are_never_mixed(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        await asyncio.gather(*(house.get("/calls", "viewer", params={"n": n}) for n in range(40)))
        assert sorted(int(line["detail"].removeprefix("n=")) for line in house.audit()) == list(range(40))
