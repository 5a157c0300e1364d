"""A supervisor at a real call: what is seen, heard before and after the hand-off, handed off and hung up."""

from __future__ import annotations

import asyncio
import json
import wave
from array import array
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from company import BUSY, Company, Open, until

from asterisk.recording import Track
from engine.audio import decode, tone
from engine.console import tokens
from engine.settings import ConsoleSettings

pytestmark = pytest.mark.asterisk

THEIRS, OURS, CALLERS = 700.0, 1000.0, 440.0  # Hz: the person's, the engine's, the caller's
DESK = "+12125560700"  # answers at once, with its tone
FLOW = """
    steps:
      - id: hum
        play: hum.wav
      - id: talk
        wait: 60s
"""
RESOURCES = f"""
    destinations: {{desk: "tel:{DESK}", busy: "tel:{BUSY}"}}
"""


def hum() -> bytes:
    """The engine's sound: a tone of eight seconds."""
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(decode(tone((OURS,), 8000, "ulaw"), "ulaw"))
    return file.getvalue()


class Supervisor:
    """Works with a token, over HTTP alone."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._keys = iter(range(1000))

    async def get(self, path: str) -> Any:
        async with self._http.get(f"{self._url}/api/v1{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        headers = {"Idempotency-Key": str(next(self._keys))}
        async with self._http.post(f"{self._url}/api/v1{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def live(self) -> dict[str, Any]:
        """The only live call."""
        (call,) = (await self.get("/calls"))["calls"]
        return dict(call)

    @asynccontextmanager
    async def listens(self, call: str) -> AsyncIterator[Sound]:
        status, ticket = await self.post(f"/calls/{call}/audio-ticket")
        assert status == 200
        sound = Sound()
        async with self._http.ws_connect(self._url + ticket["url"]) as socket, asyncio.TaskGroup() as group:
            reading = group.create_task(sound.read(socket))
            yield sound
            await socket.close()
            await reading


class Sound:
    """What came over the WebSocket: the samples of both sides since `anew`, and what was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self._frames: list[bytes] = []

    async def read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self._frames.append(message.data)
            else:
                self.told.append(json.loads(message.data))

    async def next(self, seconds: float) -> tuple[Track, Track]:
        """What both sides sound like from now on, for so long: the caller, the other side."""
        count = len(self._frames)
        await until(lambda: len(self._frames) >= count + seconds * 50, f"{seconds} s of sound")
        both = array("h", b"".join(self._frames[count : count + round(seconds * 50)]))
        return Track(both[0::2]), Track(both[1::2])

    async def hears(self, *, other: float, caller: float | None = None) -> None:
        """Until these tones are on the two sides, each for 0.4 s at the same time."""
        shares: list[tuple[float, float]] = []
        try:
            async with asyncio.timeout(12):
                while not shares or min(shares[-1]) < 0.9:
                    left, right = await self.next(0.4)
                    shares.append((1.0 if caller is None else left.tone_share(caller), right.tone_share(other)))
        except TimeoutError:
            raise AssertionError(f"the tones were never heard together; their shares: {shares}") from None

    async def source(self, name: str) -> None:
        await until(lambda: {"type": "source", "source": name} in self.told, f"sound from {name}; told: {self.told}")


@asynccontextmanager
async def supervised(
    open_company: Open, folder: Path, flow: str = FLOW, **options: Any
) -> AsyncIterator[tuple[Company, Supervisor]]:
    told = ConsoleSettings(tokens=folder / "tokens.json", audit=folder / "audit.jsonl")
    token = tokens.create(told.tokens, "ada", "supervisor", datetime.now(UTC))
    files = {"resources.yaml": RESOURCES, "hum.wav": hum()}
    async with (
        open_company(flow, files=files, console=told, storage=folder, **options) as house,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
    ):
        yield house, Supervisor(http, house.engine.url)


async def test_listening_before_and_after_the_hand_off(open_company: Open, tmp_path: Path) -> None:
    async with supervised(open_company, tmp_path) as (house, ada):
        caller = await house.call()
        call = await ada.live()
        async with ada.listens(call["id"]) as sound:
            await sound.source("engine")
            sounding = asyncio.create_task(caller.sounds(CALLERS, 6.0))
            await sound.hears(caller=CALLERS, other=OURS)
            await sounding
            assert await ada.post(f"/calls/{call['id']}/handoff", {"target": "desk"}) == (
                202,
                {"action": "handoff", "call": call["id"], "target": "desk", "status": "ringing", "key": "1"},
            )
            await house.connected(caller)
            await sound.source("bridge")
            sounding = asyncio.create_task(caller.sounds(CALLERS, 6.0))
            await sound.hears(caller=CALLERS, other=THEIRS)
            await sounding
            assert (await ada.live())["state"] == "with_person"
            snoops = [name for name in await house.pbx.channels() if "Snoop" in name]
            assert len(snoops) == 2
        await until(lambda: not house.engine.switchboard.calls[call["id"]].taps, "the tee to end")
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.outcome == "handed_off"
    assert heard.part(heard.seconds - 1.0, heard.seconds - 0.3).tone_share(THEIRS) > 0.9, "nobody notices a listener"


@pytest.mark.parametrize("media", ["websocket", "audiosocket", "rtp"])
async def test_who_comes_after_the_hand_off_hears_it_and_leaves_nothing(
    open_company: Open, tmp_path: Path, media: str
) -> None:
    async with supervised(open_company, tmp_path, asterisk={"media": media}) as (house, ada):
        caller = await house.call()
        id_ = (await ada.live())["id"]
        await ada.post(f"/calls/{id_}/handoff", {"target": "desk"})
        await house.connected(caller)
        async with ada.listens(id_) as first, ada.listens(id_) as second:
            await asyncio.gather(first.source("bridge"), second.source("bridge"))
            await asyncio.gather(first.hears(other=THEIRS), second.hears(other=THEIRS))
            assert len([name for name in await house.pbx.channels() if "Snoop" in name]) == 2, "they share them"
            await caller.hangs_up()
            await until(lambda: {"type": "ended", "reason": "the call is over"} in second.told, "the end to be told")
        await house.ended(caller)


async def test_a_hand_off_that_nobody_answers_leaves_the_talk_as_it_was(open_company: Open, tmp_path: Path) -> None:
    async with supervised(open_company, tmp_path) as (house, ada):
        caller = await house.call()
        id_ = (await ada.live())["id"]
        status, _ = await ada.post(f"/calls/{id_}/handoff", {"target": "busy"})
        assert status == 202
        record = house.record(caller)
        await until(lambda: record.attempts and record.attempts[0].status == "busy", "the line to be busy")
        steering = house.engine.switchboard.calls[id_].steering
        await until(lambda: not steering.obstacles(), "the ringing to be over")
        told = await ada.get(f"/calls/{id_}")
        attempt = next(entry for entry in told["entries"] if entry["kind"] == "attempt")
        assert (attempt["by"], attempt["sip_code"], attempt["cause_text"]) == ("supervisor", 486, "17 user busy")
        assert told["call"]["state"] == "in_flow"
        assert told["handoff"]["possible"] is True
        await caller.hears_something()
        await caller.hangs_up()
        record = await house.ended(caller)
    assert (record.outcome, record.hangup_by) == ("caller_hung_up", "caller")


async def test_a_supervisor_hangs_up(open_company: Open, tmp_path: Path) -> None:
    async with supervised(open_company, tmp_path) as (house, ada):
        caller = await house.call()
        call = await ada.live()
        assert (call["step"], call["state"]) == ("hum", "in_flow")
        status, _ = await ada.post(f"/calls/{call['id']}/hangup")
        assert status == 202
        record = await house.ended(caller)
        assert (record.outcome, record.hangup_by, record.cause) == ("completed", "supervisor", 16)
        past = (await ada.get("/history"))["calls"]
        assert [(one["id"], one["hangup_by"]) for one in past] == [(call["id"], "supervisor")]
        assert (await ada.post(f"/calls/{call['id']}/hangup"))[0] == 404


async def test_a_recorded_call_is_played_by_range(open_company: Open, tmp_path: Path) -> None:
    flow = """
        steps:
          - id: keep
            record: start
          - play: hum.wav
    """
    async with supervised(open_company, tmp_path, flow) as (house, ada):
        caller = await house.call()
        id_ = (await ada.live())["id"]
        record = await house.ended(caller)
        told = await ada.get(f"/calls/{id_}")
        (kept,) = told["recordings"]
        assert (kept["complete"], told["call"]["recorded"]) == (True, True)
        assert 7500 < kept["ms"] < 10_000
        assert kept["started"] == next(entry["at"] for entry in told["entries"] if entry.get("step") == "keep")
        assert record.outcome == "completed"
