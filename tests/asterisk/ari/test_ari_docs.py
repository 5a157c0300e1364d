"""The scripts in docs/ari.md do what the page says, on a real Asterisk."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from asterisk import ari
from asterisk.ari import models

pytestmark = pytest.mark.asterisk

PAGE = Path(__file__).parents[3] / "docs/ari.md"


def script(function: str, before: str, after: str) -> dict[str, Any]:
    """The names that the block with `function` defines, with its endpoint, sound or address `before` made `after`."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    block = next(each for each in blocks if f"async def {function}(" in each)
    assert before in block, f"{before} is no longer in the script"
    names: dict[str, Any] = {"ari": ari, "asyncio": asyncio, "contextlib": contextlib} | vars(models)
    exec(compile(block.replace(before, after), str(PAGE), "exec"), names)
    return names


async def kinds(stream: ari.EventStream, count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [(await anext(stream)).type for _ in range(count)]


async def test_the_originate_script_joins_two_and_cleans_up(real: ari.Client) -> None:
    arrive = script("dial", "PJSIP/bob", "Local/wait@ari-test")["arrive"]
    async with real.events(types=["ChannelEnteredBridge", "BridgeDestroyed"]) as stream:
        real.on_channel_event("StasisStart", arrive)
        caller = await real.channels.originate(endpoint="Local/wait@ari-test", app=real.app)
        assert await kinds(stream, 2) == ["ChannelEnteredBridge", "ChannelEnteredBridge"]
        await caller.hangup()
        assert await kinds(stream, 1) == ["BridgeDestroyed"]
    await empty(real)


async def test_the_playback_script_obeys_keys(real: ari.Client) -> None:
    listen = script("arrive_and_listen", "sound:tt-monkeys", "tone:1000")["arrive_and_listen"]
    async with real.events(types=["ChannelDtmfReceived", "PlaybackFinished"]) as stream:
        real.on_channel_event("StasisStart", listen)
        await real.channels.originate(endpoint="Local/digits@ari-test", app=real.app)
        got = await kinds(stream, 4)
    assert sorted(got) == ["ChannelDtmfReceived"] * 3 + ["PlaybackFinished"]
    await empty(real)


async def test_the_bridge_script_keeps_callers_company(real: ari.Client) -> None:
    room = script("waiting_room", 'ari.Client("http://localhost:8088", "user", "secret", "waiting-room")', "given()")

    listening = asyncio.Event()  # a caller who comes before the script listens is no part of it

    class Watched:
        def __getattr__(self, name: str) -> Any:
            if name == "on_channel_event":
                asyncio.get_running_loop().call_soon(listening.set)
            return getattr(real, name)

    @contextlib.asynccontextmanager
    async def given() -> Any:
        yield Watched()

    room["given"] = given
    async with real.events(types=["ChannelEnteredBridge"]) as stream:
        running = asyncio.create_task(room["waiting_room"]())
        await asyncio.wait_for(listening.wait(), 5)
        caller = await real.channels.originate(endpoint="Local/wait@ari-test", app=real.app)
        assert await kinds(stream, 1) == ["ChannelEnteredBridge"]
        running.cancel()
    await caller.hangup()
    for bridge in await real.bridges.list():
        await bridge.destroy()
    await empty(real)


async def empty(client: ari.Client) -> None:
    """Wait until the last half of the Local channels is gone."""
    async with asyncio.timeout(5):
        while await client.channels.list():  # noqa: ASYNC110 - no event says that the last one of all is gone
            await asyncio.sleep(0.02)
