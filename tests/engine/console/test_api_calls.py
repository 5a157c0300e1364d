"""Calls as the API shows them, and what a supervisor does to them."""

from __future__ import annotations

import asyncio
import threading
import wave
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.console import archive
from engine.record import Tokens, ToolUse
from engine.recording import new_file
from tests.engine.console.desk import Desk, desk, until


async def test_live_calls(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        assert (await house.get("/calls"))["calls"] == []
        call, _ = await house.rings()
        other, line = await house.rings("")
        (first, second) = (await house.get("/calls"))["calls"]
        assert (first["id"], second["id"]) == (call.record.id, other.record.id)
        assert first["state"] == "in_flow"
        assert (first["step"], first["verb"], first["flow"], first["step_flow"]) == (
            "talk", "does", "reception", "reception",
        )  # fmt: skip
        assert first["step_path"] == call.record.steps[-1].path
        assert (first["caller"], first["caller_name"], first["did"]) == ("+14155550199", "Ada", "+14155550100")
        assert (first["cost"], first["currency"]) == (0.0, "USD")
        assert second["caller"] == ""
        await line.caller.hangs_up()
        await house.over(other.record.id)
        assert [one["id"] for one in (await house.get("/calls"))["calls"]] == [call.record.id]


async def test_one_call_with_everything(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        call.said("caller", "My number is 415 555 0199.")
        call.record.tokens.append(Tokens(provider="openai", output_audio=7, cost=Decimal("0.25")))
        told = await house.get(f"/calls/{call.record.id}")
        assert told["live"] is True
        assert told["handoff"] == {"possible": True, "reasons": []}
        kinds = [entry["kind"] for entry in told["entries"]]
        assert kinds == ["call", "step", "call", "step", "step", "step", "said"]
        assert [entry["at"] for entry in told["entries"]] == sorted(entry["at"] for entry in told["entries"])
        talk = next(entry for entry in told["entries"] if entry.get("step") == "talk")
        assert (talk["ms"], talk["outcome"]) == (None, None)
        said = told["entries"][-1]
        assert (said["role"], said["text"], said["step_path"]) == (
            "caller", "My number is 415 555 0199.", talk["step_path"],
        )  # fmt: skip
        assert [(one["provider"], one["output_audio"], one["cost"]) for one in told["tokens"]] == [("openai", 7, 0.25)]
        assert told["variables"] == [
            {"flow": "reception", "name": "topic", "value": "invoice 4711", "masked": False},
            {"flow": "reception", "name": "card", "value": None, "masked": True},
        ]
        assert "4111111111111111" not in str(told)


async def test_a_viewer_sees_no_values(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        call.said("caller", "My number is 415 555 0199, on the 12th.")
        call.record.error = "tel:+14155550188 failed"
        for path in ("/calls", f"/calls/{call.record.id}"):
            seen = str(await house.get(path, "viewer"))
            for secret in ("4155550199", "555 0199", "12th", "invoice", "Ada", "4155550188"):
                assert secret not in seen, f"{secret} in {path}"
            assert "•" in seen
        assert (await house.get("/calls", "viewer"))["calls"][0]["caller"] == "+1•••••••199"
        assert "+14155550199" in str(await house.get("/calls", "analyst"))


async def test_past_calls_are_for_analysts(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, line = await house.rings()
        await line.caller.hangs_up()
        await house.over(call.record.id)
        told = await house.get(f"/calls/{call.record.id}", "analyst")
        assert (told["live"], told["call"]["state"], told["call"]["outcome"]) == (False, "ended", "caller_hung_up")
        assert told["entries"][-1]["event"] == "ended"
        assert told["handoff"]["possible"] is False
        problem = await house.get(f"/calls/{call.record.id}", "viewer", status=403)
        assert problem["type"] == "urn:hookflash:problem:not-allowed"
        assert problem["reasons"] == ["this needs the role analyst; viewer is viewer"]
        await house.get(f"/calls/{call.record.id[:-1]}", "analyst", status=404)


async def test_history_in_pages_and_by_filter(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        ids = []
        for n in range(5):
            call, line = await house.rings(f"+1415555020{n}")
            ids.append(call.record.id)
            if n == 3:
                await house.act(f"/calls/{call.record.id}/hangup", key=str(n))
            else:
                await line.caller.hangs_up()
            await house.over(call.record.id)
        live, _ = await house.rings()
        await live.save()
        await house.records.flush()
        newest_first, found, cursor = list(reversed(ids)), [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await house.get("/history", "analyst", params={"limit": 2, **more})
            found += [one["id"] for one in page["calls"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == newest_first

        async def ids_of(**query: str) -> list[str]:
            return [one["id"] for one in (await house.get("/history", "analyst", params=query))["calls"]]

        assert await ids_of(number="50202") == [ids[2]]
        assert await ids_of(number="+14155550100") == newest_first
        assert await ids_of(outcome="completed") == [ids[3]]
        assert await ids_of(flow="reception") == newest_first
        assert await ids_of(flow="other") == []
        third = (await house.get(f"/calls/{ids[2]}"))["call"]["started"]
        fresh = await ids_of(since=third)
        assert fresh == newest_first[: len(fresh)]
        assert set(fresh) | set(await ids_of(until=third)) == set(ids)


@pytest.mark.parametrize(
    "query", ["cursor=none", "cursor=aGVsbG8", "limit=0", "limit=x", "since=yesterday", "since=2026-03-04T09:30:00",
              "nonsense=1", "limit=1&limit=2", "outcome=%00", "since=9999-12-31T23:59:59-12:00",
              "until=0001-01-01T00:00:00%2B14:00", "cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCBh"],
)  # fmt: skip
async def test_history_refuses_what_it_does_not_know(query: str, tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        problem = await house.get(f"/history?{query}", status=400)
        assert problem["type"].endswith("bad-request")
        assert problem["reasons"]


async def test_hang_up_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, line = await house.rings()
        path = f"/calls/{call.record.id}/hangup"
        first, again = await asyncio.gather(house.act(path), house.act(path))
        assert first == again == {
            "action": "hangup", "call": call.record.id, "target": None, "status": "hanging_up", "key": "k1",
        }  # fmt: skip
        await house.over(call.record.id)
        assert await house.act(path) == first
        assert (call.record.outcome, call.record.hangup_by) == ("completed", "supervisor")
        assert len([entry for entry in line.log if entry.what == "hung_up"]) == 1
        assert (await house.act(path, key="k2", status=404))["type"].endswith("not-found")


async def test_hand_off(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, line = await house.rings()
        path = f"/calls/{call.record.id}"
        told = await house.get(f"{path}/targets", "supervisor")
        assert told["possible"] is True
        assert [(one["name"], one["kind"]) for one in told["targets"]] == [
            ("busy", "destination"), ("desk", "destination"), ("slow", "destination"), ("everybody", "group"),
        ]  # fmt: skip
        done = await house.act(f"{path}/handoff", json={"target": "desk"})
        assert (done["status"], done["target"]) == ("ringing", "desk")
        await line.log.until("connected", who="pjsip:desk")
        await until(lambda: call.with_person, "the person")
        (shown,) = (await house.get("/calls"))["calls"]
        assert (shown["state"], shown["target"]) == ("with_person", "pjsip:desk")
        refused = await house.act(f"{path}/handoff", key="k2", status=409, json={"target": "busy"})
        assert refused["reasons"] == ["the caller talks to pjsip:desk already"]
        entries = (await house.get(path))["entries"]
        attempt = next(entry for entry in entries if entry["kind"] == "attempt")
        assert (attempt["target"], attempt["status"], attempt["by"]) == ("pjsip:desk", "answered", "supervisor")
        await line.caller.hangs_up()
        await house.over(call.record.id)
        assert call.record.outcome == "handed_off"


async def test_one_hand_off_at_a_time_while_the_talk_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        path = f"/calls/{call.record.id}/handoff"
        await house.act(path, json={"target": "slow"})
        refused = await house.act(path, key="k2", status=409, json={"target": "desk"})
        assert refused["reasons"] == ["slow is being rung already"]
        (shown,) = (await house.get("/calls"))["calls"]
        await until(lambda: call.record.attempts, "the attempt")
        (shown,) = (await house.get("/calls"))["calls"]
        assert (shown["state"], shown["target"]) == ("in_flow", "pjsip:slow")


async def test_what_cannot_be_asked_of_a_call(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        path = f"/calls/{call.record.id}"
        assert (await house.act(f"{path}/handoff", json={"target": "nobody"}, status=404))["type"].endswith("not-found")
        await house.act(f"{path}/handoff", json={"target": "far"}, status=404, key="far")
        await house.ask("POST", f"{path}/hangup", "supervisor", status=400)
        await house.act(f"{path}/hangup", key="x" * 256, status=400)
        await house.act(f"{path}/handoff", json={"target": ""}, status=400, key="a")
        await house.act(f"{path}/handoff", json={"target": "desk", "more": 1}, status=400, key="b")
        await house.act(f"{path}/handoff", data=b"{", status=415, key="c")
        too_much = b'{"target": "' + b"x" * 70_000 + b'"}'
        headers = {"Idempotency-Key": "d", "Content-Type": "application/json"}
        await house.ask("POST", f"{path}/handoff", status=413, data=too_much, headers=headers)
        await house.act(f"{path}/handoff", "analyst", json={"target": "desk"}, status=403)
        await house.act("/calls/none/hangup", status=404)
        await house.act(f"{path}/handoff", json={"target": "busy"}, key="same")
        problem = await house.act(f"{path}/hangup", key="same", status=409)
        assert problem["type"].endswith("key-in-use")
        assert not call.line.ended.done()


async def test_graphs(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        graph = await house.get("/flows/reception/graph", "viewer")
        assert graph["nodes"][0] == {"id": "start", "kind": "start", "title": "reception", "detail": "", "line": 0}
        (shown,) = (await house.get(f"/calls/{call.record.id}/graph", "viewer"))["flows"]
        assert shown == graph
        assert (await house.get("/calls"))["calls"][0]["step_path"] in [node["id"] for node in graph["nodes"]]
        await house.get("/flows/other/graph", status=404)
        heads = await house.get("/flows", "viewer")
        assert heads == {
            "revision": "all",
            "flows": [{"name": "reception", "version": 1, "revision": "r1", "description": "", "next": False}],
        }


async def record_of(house: Desk, seconds: float = 2.0) -> tuple[str, Path]:
    """A call that is over, with a recording of some seconds."""
    call, line = await house.rings()
    path = new_file(house.folder / "recordings", call.record.started, call.record.id, len(call.record.steps))
    path.parent.mkdir()
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(256)) * round(seconds * 125))
    await line.caller.hangs_up()
    await house.over(call.record.id)
    return call.record.id, path


async def test_recordings_by_range(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        id_, path = await record_of(house)
        told = await house.get(f"/calls/{id_}", "analyst")
        (kept,) = told["recordings"]
        assert told["call"]["recorded"] is True
        assert (kept["ms"], kept["bytes"], kept["complete"]) == (2000, path.stat().st_size, True)
        headers = {"Authorization": f"Bearer {house.tokens['analyst']}"}
        async with house._http.get(house.url + kept["url"], headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/wav")
            assert answer.headers["Cache-Control"] == "no-store"
            assert await answer.read() == path.read_bytes()
        async with house._http.get(house.url + kept["url"], headers={**headers, "Range": "bytes=100-199"}) as answer:
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes 100-199/{kept['bytes']}"
            assert await answer.read() == path.read_bytes()[100:200]
        async with house._http.get(house.url + kept["url"], headers={**headers, "Range": "bytes=9999999-"}) as answer:
            assert answer.status == 416
        await house.get(f"/calls/{id_}/recordings/1", "analyst", status=404)
        await house.get(f"/calls/{id_}/recordings/..", "analyst", status=404)
        await house.get(f"/calls/{id_}/recordings/0", "viewer", status=403)


async def test_a_folder_of_recordings_is_not_read_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers, files = set[threading.Thread](), archive.files

    def noted(*asked: Any) -> list[Path]:
        readers.add(threading.current_thread())
        return files(*asked)

    monkeypatch.setattr(archive, "files", noted)
    async with desk(tmp_path) as house:
        id_, path = await record_of(house)
        headers = {"Authorization": f"Bearer {house.tokens['analyst']}"}
        async with house._http.get(f"{house.api}/calls/{id_}/recordings/0", headers=headers) as answer:
            assert await answer.read() == path.read_bytes()
    assert readers
    assert threading.main_thread() not in readers


async def test_health(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        told = await house.get("/engine", "viewer")
        assert (told["ready"], told["draining"], told["asterisk"], told["calls"]) == (True, False, True, 0)
        assert told["voices"] == ["virtual"]
        await house.switchboard.drain(0.1)
        told = await house.get("/engine", "viewer")
        assert (told["ready"], told["reasons"]) == (False, ["draining: the engine is stopping"])


async def test_keys_tools_and_what_could_not_be_dialled(tmp_path: Path) -> None:
    """Keys that belong to a secret are not told to anybody, others not to viewers."""
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        call.pressed("4")
        call.pressed("2", secret=True)
        call.record.tools.append(ToolUse(name="look_up", arguments={"number": "4711"}))
        call.steering.hand_off("slow")
        await until(lambda: call.record.attempts, "the attempt")
        call.record.attempts[0].reason = "4711 may not be dialled"
        entries = (await house.get(f"/calls/{call.record.id}"))["entries"]
        assert [entry["key"] for entry in entries if entry["kind"] == "key"] == ["4", "•"]
        (tool,) = (entry for entry in entries if entry["kind"] == "tool")
        assert (tool["name"], tool["outcome"], tool["ms"], tool["arguments"]) == (
            "look_up", "", None, {"number": "4711"},
        )  # fmt: skip
        seen = (await house.get(f"/calls/{call.record.id}", "viewer"))["entries"]
        assert [entry["key"] for entry in seen if entry["kind"] == "key"] == ["•", "•"]
        assert "4711" not in str(seen)


async def test_a_mistake_of_the_engine_is_a_problem_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        monkeypatch.setattr(call, "steering", None)
        problem = await house.get(f"/calls/{call.record.id}", status=500)
        assert problem["type"] == "urn:hookflash:problem:failed"
        assert "NoneType" not in str(problem)
        assert "NoneType" in capsys.readouterr().out, "the log tells what it was"


async def test_a_database_that_fails_is_told_apart_from_no_call(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        await house.get("/calls/none", status=404)
        (tmp_path / "calls.db").unlink()
        (tmp_path / "calls.db").mkdir()
        await house.records._engine.dispose()
        for path in ("/calls/none", "/history"):
            problem = await house.get(path, status=503)
            assert problem["type"].endswith("no-records")
            assert "calls.db" not in str(problem)
        (tmp_path / "calls.db").rmdir()
