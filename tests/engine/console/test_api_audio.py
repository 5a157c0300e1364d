"""Listening over the WebSocket: tickets, frames, and how it ends."""

from __future__ import annotations

import asyncio
import audioop
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.audio import tone
from engine.call import Call
from engine.console import audio, tokens
from engine.console.audio import OF_A_CALL, Audience
from engine.console.gate import Identity
from engine.console.problems import ProblemError
from engine.tee import Listener, Tee
from tests.engine.console.desk import Desk, answers, desk, until
from tests.engine.support import flow, forever, step

TONE = tone((1000.0,), 1000, "ulaw")


async def hums(at: Any, call: Call) -> None:
    """The engine plays a tone for a second, again and again."""
    playout = await call.playout()
    while await playout.play(TONE):
        pass


HUMS = flow(step(answers), step(hums, id="talk"), step(forever), name="reception")


class Ear:
    """One listener's socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []
        self.sound = b""

    async def frames(self, number: int) -> None:
        """Until so many frames came."""
        while number:
            message = await self.socket.receive(5.0)
            if message.type is aiohttp.WSMsgType.BINARY:
                assert len(message.data) == 640
                self.sound += message.data
                number -= 1
            else:
                assert message.type is aiohttp.WSMsgType.TEXT, message
                self.told.append(json.loads(message.data))

    async def to_the_end(self) -> int | None:
        """Until it is closed; the code."""
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.told.append(json.loads(message.data))
        return self.socket.close_code


@asynccontextmanager
async def listening(house: Desk, url: str, **headers: str) -> AsyncIterator[Ear]:
    async with aiohttp.ClientSession() as http, http.ws_connect(house.url + url, headers=headers) as socket:
        yield Ear(socket)


async def ticket(house: Desk, call: Call, role: str = "supervisor", status: int = 200) -> Any:
    return await house.ask("POST", f"/calls/{call.record.id}/audio-ticket", role, status=status)


async def test_a_call_is_heard(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, line = await house.rings()
        given = await ticket(house, call)
        async with listening(house, given["url"], Origin=house.url) as ear:
            await ear.frames(60)
            assert ear.told[0] == {
                "type": "format", "encoding": "s16le", "rate": 8000, "channels": 2, "frame_ms": 20, "left": "caller",
                "right": "other", "call": call.record.id,
            }  # fmt: skip
            assert [told["source"] for told in ear.told[1:]] == ["none", "engine"]
            assert audioop.rms(audioop.tomono(ear.sound, 2, 0, 1), 2) > 1000
            assert audioop.rms(audioop.tomono(ear.sound, 2, 1, 0), 2) < 10
            assert (await house.get("/calls"))["calls"][0]["listeners"] == 1
            assert (await house.get("/engine"))["listeners"] == 1
            await line.caller.hangs_up()
            assert await ear.to_the_end() == 1000
            assert ear.told[-1] == {"type": "ended", "reason": "the call is over"}
        await house.over(call.record.id)
        assert [line["action"] for line in house.audit() if line["who"] == "supervisor"] == ["listen"]


async def test_many_listeners_share_one_tee_and_leave_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        first, second = await ticket(house, call), await ticket(house, call, "admin")
        async with listening(house, first["url"]) as one:
            await one.frames(5)
            async with listening(house, second["url"]) as two:
                await two.frames(5)
                assert len(call.taps) == 1
                assert house.console.api.audience.of(call.record.id) == 2
            await one.frames(5)
        await until(lambda: call.taps == (), "the tee to end")
        assert house.console.api.audience.all == 0
        again = await ticket(house, call)
        async with listening(house, again["url"]) as ear:
            await ear.frames(5)


async def test_a_ticket_is_good_once_for_one_call_and_for_its_owner(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        other, _ = await house.rings()
        given = await ticket(house, call)
        async with listening(house, given["url"]) as ear:
            await ear.frames(1)
        wrong = [
            given["url"],
            (await ticket(house, call))["url"].replace(call.record.id, other.record.id),
            f"/api/v1/calls/{call.record.id}/audio?ticket=x",
            f"/api/v1/calls/{call.record.id}/audio",
        ]
        for url in wrong:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with listening(house, url):
                    pass
            assert refused.value.status in (400, 401), url
        url = (await ticket(house, call))["url"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with listening(house, url, Origin="https://evil.example"):
                pass
        assert refused.value.status == 403
        late = (await ticket(house, call))["url"]
        tokens.revoke(tmp_path / "tokens.json", "supervisor")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with listening(house, late):
                pass
        assert refused.value.status == 401
        await ticket(house, call, "analyst", status=403)


async def test_a_ticket_runs_out(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        audience: Audience = house.console.api.audience
        who = Identity("a", "admin")
        old = audience.ticket("c", who, datetime.now(UTC) - timedelta(seconds=31))
        with pytest.raises(ProblemError, match="not good"):
            audience.take(old.ticket, "c")
        many = [audience.ticket("c", who, datetime.now(UTC)) for _ in range(audio.TICKETS + 5)]
        assert len(audience._tickets) == audio.TICKETS
        assert many[0].ticket not in audience._tickets


async def test_so_many_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        monkeypatch.setattr(Audience, "of", lambda self, call: OF_A_CALL)
        problem = await ticket(house, call, status=409)
        assert problem["reasons"]


async def test_more_tickets_than_places_let_nobody_in_beyond_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "OF_A_CALL", 3)
    async with desk(tmp_path, HUMS) as house, AsyncExitStack() as stack:
        call, _ = await house.rings()
        given = [(await ticket(house, call))["url"] for _ in range(6)]

        async def listens(url: str) -> int:
            try:
                await stack.enter_async_context(listening(house, url))
            except aiohttp.WSServerHandshakeError as refused:
                return refused.status
            return 101

        assert sorted(await asyncio.gather(*map(listens, given))) == [101, 101, 101, 409, 409, 409]
        assert house.console.api.audience.all == 3


async def test_a_sound_that_failed_is_told_from_a_call_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tee: Tee) -> bytes:
        raise RuntimeError("a mistake")

    async with desk(tmp_path, HUMS) as house:
        call, line = await house.rings()
        given, again = [(await ticket(house, call))["url"] for _ in range(2)]
        with monkeypatch.context() as broken:
            broken.setattr(Tee, "_frame", fails)
            async with listening(house, given) as ear:
                assert await ear.to_the_end() == 1011
                assert ear.told[-1] == {"type": "ended", "reason": "the sound failed"}
        async with listening(house, again) as ear:
            await ear.frames(1)
            await line.caller.hangs_up()
            assert await ear.to_the_end() == 1000


async def test_a_second_tee_of_a_call_does_not_mind_who_leaves_the_first(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        audience = house.console.api.audience
        early, late = Listener(), Listener()
        first, second = audience._seat(call, early), audience._seat(call, late)
        with first:
            _, running = audience._tees[call.record.id]
            running.cancel()
            await asyncio.wait([running])
            with second:
                assert audience.of(call.record.id) == 1
            assert audience.all == 0
        assert audience._tees == {}


async def test_who_is_revoked_hears_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "ASK_AGAIN", 0.05)
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        given = await ticket(house, call)
        async with listening(house, given["url"]) as ear:
            await ear.frames(1)
            tokens.revoke(tmp_path / "tokens.json", "supervisor")
            assert await ear.to_the_end() == 1008


async def test_the_engine_stops(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        given = await ticket(house, call)
        async with listening(house, given["url"]) as ear:
            await ear.frames(1)
            house.console.api.audience.close()
            assert await ear.to_the_end() == 1001


async def test_a_call_that_is_over_by_then(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, line = await house.rings()
        given = await ticket(house, call)
        await line.caller.hangs_up()
        await house.over(call.record.id)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with listening(house, given["url"]):
                pass
        assert refused.value.status == 404


async def test_what_listeners_send_is_not_read(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        given = await ticket(house, call)
        async with listening(house, given["url"]) as ear:
            await ear.socket.send_str("hello")
            await ear.socket.send_bytes(b"x" * 500)
            await ear.frames(10)
            await ear.socket.send_bytes(b"x" * 5000)
            assert await ear.to_the_end() == 1009
        await until(lambda: call.taps == (), "the tee to end")
        assert not call.line.ended.done()


async def test_listening_is_no_plain_request(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        given = await ticket(house, call)
        await house.ask("GET", given["url"].removeprefix("/api/v1"), None, status=400)
        async with listening(house, given["url"]) as ear:  # which did not use the ticket up
            await ear.frames(1)


async def test_a_listener_who_reads_nothing_delays_nobody(tmp_path: Path) -> None:
    async with desk(tmp_path, HUMS) as house:
        call, _ = await house.rings()
        idle, good = await ticket(house, call), await ticket(house, call)
        async with listening(house, idle["url"]), listening(house, good["url"]) as ear:
            clock = asyncio.get_running_loop().time
            await ear.frames(5)
            began = clock()
            await ear.frames(100)
            assert clock() - began < 4.0, "two seconds of sound take two seconds"
