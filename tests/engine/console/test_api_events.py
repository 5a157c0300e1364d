"""The live feed as clients of server-sent events get it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.call import Call
from engine.console import feed, stream, tokens
from engine.console.feed import KEPT
from flows.flow import Variable
from tests.engine.console.desk import Desk, answers, desk, until
from tests.engine.support import flow, forever, step


class Client:
    """Reads a stream of events, as a browser does."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.last_id = ""
        self.seen: list[tuple[str, Any]] = []

    async def next(self, within: float = 5.0) -> tuple[str, Any]:
        """The next event: its kind and data."""
        kind, data = "message", ""
        async with asyncio.timeout(within):
            while True:
                line = (await self._answer.content.readline()).decode()
                if not line:
                    raise EOFError("the stream ended")
                if line == "\n":
                    if data:
                        self.seen.append((kind, json.loads(data)))
                        return self.seen[-1]
                    continue
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    data = value

    async def to_the_end(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                await self.next()

    async def until(self, kind: str, **fields: Any) -> Any:
        """The next event of this kind with these fields (``a__b``: the field b of a)."""
        while True:
            found, data = await self.next()
            if found == kind and all(_at(data, name) == value for name, value in fields.items()):
                return data


def _at(data: Any, name: str) -> Any:
    for part in name.split("__"):
        data = data.get(part) if isinstance(data, dict) else None
    return data


@asynccontextmanager
async def watching(house: Desk, role: str = "admin", last: str = "", **query: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {house.tokens[role]}", **({"Last-Event-ID": last} if last else {})}
    async with (
        aiohttp.ClientSession(read_bufsize=1 << 22) as http,
        http.get(f"{house.api}/events", headers=headers, params=query) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Client(answer)


async def test_calls_as_they_happen(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        first, _ = await house.rings()
        async with watching(house) as client:
            kind, reset = await client.next()
            assert (kind, reset["reason"], reset["detail"]) == ("reset", "start", None)
            assert [call["id"] for call in reset["calls"]] == [first.record.id]
            assert reset["engine"]["ready"] is True
            call, line = await house.rings("+14155550111")
            id_ = call.record.id
            told = await client.until("call", id=id_, step="talk")
            assert (told["caller"], told["state"]) == ("+14155550111", "in_flow")
            await house.act(f"/calls/{id_}/handoff", json={"target": "desk"})
            told = await client.until("call", id=id_, state="with_person")
            assert told["target"] == "pjsip:desk"
            await line.caller.hangs_up()
            told = await client.until("call", id=id_, state="ended")
            assert told["outcome"] == "handed_off"
            await house.over(id_)
            await house.get("/calls")
        assert not any("entry" in kind for kind, _ in client.seen)


async def test_the_details_of_one_call(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        other, _ = await house.rings()
        async with watching(house, call=call.record.id) as client:
            reset = (await client.next())[1]
            assert reset["detail"]["call"]["id"] == call.record.id
            known = {entry["id"] for entry in reset["detail"]["entries"]}
            other.said("voice", "not for here")
            call.live.voice_says = "Good mor"
            call.changed()
            assert (await client.until("interim"))["voice"] == "Good mor"
            spoken = call.said("voice", "Good morning")
            told = await client.until("entry", entry__kind="said")
            assert (told["call"], told["entry"]["text"]) == (call.record.id, "Good morning")
            assert told["entry"]["id"] not in known
            spoken.interrupted = True
            call.changed()
            again = await client.until("entry", entry__kind="said")
            assert (again["entry"]["id"], again["entry"]["interrupted"]) == (told["entry"]["id"], True)
            call.walker.set("topic", "refund")
            held = await client.until("variables")
            assert {one["name"]: one["value"] for one in held["variables"]} == {"topic": "refund", "card": None}
        assert "not for here" not in str(client.seen)
        assert "4111111111111111" not in str(client.seen)


async def test_a_viewer_is_told_no_values(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        async with watching(house, "viewer", call=call.record.id) as client, watching(house, "admin") as admin:
            await client.next()
            call.said("caller", "It is 415 555 0199")
            call.walker.set("topic", "a secret")
            assert "0199" not in str(await client.until("entry", entry__kind="said"))
            assert (await client.until("variables"))["variables"][0] == {
                "flow": "reception", "name": "topic", "value": None, "masked": True,
            }  # fmt: skip
            await house.rings("+14155550177")
            await client.until("call", caller="+1•••••••177")
            await admin.until("call", caller="+14155550177")
        for secret in ("0199", "4155550177", "invoice", "a secret", "Ada"):
            assert secret not in str(client.seen)


async def test_who_comes_back_gets_what_was_missed(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        async with watching(house, call=call.record.id) as client:
            await client.next()
            call.said("voice", "one")
            await client.until("entry", entry__text="one")
        call.said("voice", "two")
        other, _ = await house.rings()
        for how in ({"last": client.last_id}, {"last_event_id": client.last_id}):
            async with watching(house, call=call.record.id, **how) as back:
                assert (await back.until("entry", entry__kind="said"))["entry"]["text"] == "two"
                await back.until("call", id=other.record.id, step="talk")
                assert not any(kind == "reset" for kind, _ in back.seen)
        async with watching(house, last=client.last_id) as back:  # of no call's details
            await back.until("call", id=other.record.id)
            assert not any(kind in ("reset", "entry") for kind, _ in back.seen)


@pytest.mark.parametrize("last", ["deadbeef-3", "x", "-", "{epoch}-999999999999", "{epoch}-1", "{epoch}-²"])
async def test_who_comes_back_too_late_begins_anew(last: str, tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        async with watching(house) as client:
            await client.next()
            epoch = client.last_id.rpartition("-")[0]
        async with watching(house, last_event_id=last.format(epoch=epoch), call=call.record.id) as back:
            kind, told = await back.next()
            assert (kind, told["reason"]) == ("reset", "gap")
            assert told["detail"]["call"]["id"] == call.record.id


async def test_of_what_is_told_again_and_again_only_the_newest_is_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        async with watching(house) as client:
            await client.next()
            for n in range(5):
                call.live.response_ms = n
                call.changed()
                house.console.api.feed.now()
            await client.until("call", response_ms=4)
        events = house.console.api.feed.since(house.console.api.feed._floor, None)
        assert events is not None
        assert [event.kind for event in events].count("call") == 1


async def test_a_client_that_does_not_keep_up_begins_anew_and_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        held = house.console.api.feed
        async with watching(house, call=call.record.id) as client:
            await client.next()
            monkeypatch.setattr(stream.Stream, "_go_on", _held_back(stream.Stream._go_on, release := asyncio.Event()))
            call.changed()
            for n in range(KEPT + 50):
                call.said("voice", f"utterance {n}")
            held.now()
            assert len(held._events) == KEPT
            release.set()
            told = await client.until("reset")
            assert told["reason"] == "slow"
            assert len([entry for entry in told["detail"]["entries"] if entry["kind"] == "said"]) == KEPT + 50


def _held_back(go_on: Any, release: asyncio.Event) -> Any:
    async def later(self: Any) -> bool:
        await release.wait()
        told: bool = await go_on(self)
        return told

    return later


async def test_nobody_watches_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LINGER", 0.3)
    monkeypatch.setattr(feed, "SWEEP", 0.1)
    monkeypatch.setattr(stream, "ASK_AGAIN", 0.05)
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        watch = call.services.watch
        assert watch.told is None
        async with watching(house) as client:
            await client.next()
            assert watch.told is not None
        await until(lambda: watch.told is None, "the feed to stop")
        call.said("voice", "unheard")
        async with watching(house, last=client.last_id) as back:
            assert (await back.next())[1]["reason"] == "gap"


async def test_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    monkeypatch.setattr(stream, "ASK_AGAIN", 0.05)
    async with desk(tmp_path) as house, watching(house) as client:
        await client.next()
        before = client.last_id
        assert (await client.until("heartbeat"))["now"]
        assert client.last_id == before, "a heartbeat is no place to come back to"


async def test_who_is_revoked_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ASK_AGAIN", 0.05)
    async with desk(tmp_path) as house, watching(house, "viewer") as client:
        await client.next()
        tokens.revoke(tmp_path / "tokens.json", "viewer")
        await client.to_the_end()


async def test_the_engine_is_told_of(tmp_path: Path) -> None:
    async with desk(tmp_path) as house, watching(house) as client:
        await client.next()
        await house.switchboard.drain(0.0)
        assert (await client.until("engine", draining=True))["ready"] is False


async def test_streams_end_with_the_engine(tmp_path: Path) -> None:
    async with desk(tmp_path) as house, watching(house) as client:
        await client.next()
        house.console.api.feed.close()
        await client.to_the_end()


async def test_the_newest_state_arrives_within_a_second_whatever_is_forgotten(tmp_path: Path) -> None:
    """Something changed and nobody said so: the sweep finds it."""
    async with desk(tmp_path) as house:
        call, _ = await house.rings()
        async with watching(house) as client:
            await client.next()
            call.live.response_ms = 777
            async with asyncio.timeout(3):
                await client.until("call", response_ms=777)


async def test_a_call_that_cannot_be_shown_hides_no_other(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        bad, _ = await house.rings()
        good, _ = await house.rings()
        async with watching(house) as client:
            await client.next()
            bad.record.direction = "sideways"  # type: ignore[assignment]
            bad.changed()
            good.live.response_ms = 5
            good.changed()
            await client.until("call", id=good.record.id, response_ms=5)
            bad.record.direction = "inbound"


async def test_flows_that_call_flows(tmp_path: Path) -> None:
    """A step of another flow is told with the name of that flow, and its variables come first."""
    inner = flow(step(forever, id="inside"), name="inner", vars={"x": Variable("string", "i")})

    async def calls(at: Any, call: Call) -> None:
        await call.walker.subflow("inner", {})

    outer = flow(step(answers), step(calls, id="talk"), name="reception", vars={"y": Variable("string", "o")})
    inner = replace(inner, file="inner.flow.yaml")
    outer = replace(outer, file="outer.flow.yaml")
    async with desk(tmp_path, outer, inner) as house:
        call, _ = await house.rings(up_to="inside")
        told = await house.get(f"/calls/{call.record.id}")
        assert [(one["flow"], one["name"]) for one in told["variables"]] == [("inner", "x"), ("reception", "y")]
