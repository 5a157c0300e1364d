"""Calls for the tests of the line and the exchange: callers in the world, lines on the pbx, nothing left after."""

import asyncio
import audioop
import math
import os
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asterisk import ari
from asterisk.exchange import Exchange, ExchangeSettings
from asterisk.instance import Instance
from asterisk.line import AsteriskLine
from asterisk.media.leg import MediaLeg
from asterisk.targets import Targets

CLEARED_WITHIN = 5.0


@dataclass(frozen=True)
class Options:
    """How to dial, as the engine says it."""

    timeout: float = 5.0
    caller_id: str | None = None
    caller_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def settings(pbx: Instance, **choices: object) -> ExchangeSettings:
    chosen = {"url": pbx.ari_url, "app": pbx.application, "targets": Targets(trunk="carrier"), **choices}
    return ExchangeSettings(user=pbx.ari_user, password=pbx.ari_password, **chosen)  # type: ignore[arg-type]


class House:
    """One pbx with an exchange on it, and the world around."""

    def __init__(self, pbx: Instance, world: Instance, exchange: Exchange) -> None:
        self.pbx = pbx
        self.world = world
        self.exchange = exchange
        self.lines = exchange.lines()
        self._old = set(world.monitor.glob("*-heard.wav"))

    async def call(self, extension: str = "+12125560440@world", number: str = "+12125550100") -> AsteriskLine:
        """A call from the world; when it is answered the caller goes to `extension` (a 440 Hz tone, recorded)."""
        await self.world.cli(f"channel originate PJSIP/{number}@pbx extension {extension}")
        async with asyncio.timeout(5):
            return await anext(self.lines)

    async def caller_hangs_up(self) -> None:
        """Everybody in the world does."""
        await self.world.cli("channel request hangup all")

    async def heard(self, number: str = "") -> Path:
        """What a party in the world heard, once its recording is complete: a target by its number, or the caller."""
        async with asyncio.timeout(5):
            while True:
                new = sorted(set(self.world.monitor.glob("*-heard.wav")) - self._old)
                for file in new:
                    data = file.read_bytes()
                    done = len(data) > 44 and int.from_bytes(data[40:44], "little") == len(data) - 44
                    if done and file.name.startswith(number or "-"):
                        return file
                await asyncio.sleep(0.05)


@asynccontextmanager
async def carrier(
    world: Instance, variables: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.Future[ari.Event]]:
    """A call to the pbx by bare ARI, which also knows how an unanswered one ended: gives its ChannelDestroyed."""
    ended: asyncio.Future[ari.Event] = asyncio.get_running_loop().create_future()
    channel_id = ari.new_id("carrier")
    async with ari.Client(world.ari_url, world.ari_user, world.ari_password, "world") as client:
        client.on_event("ChannelDestroyed", ended.set_result)
        async with client.events(channel_id=channel_id, types=["StasisStart"]) as entered:
            await client.channels.create(
                endpoint="PJSIP/+12125550100@pbx",
                app="world",
                channel_id=channel_id,
                formats="ulaw",
                variables=variables,
            )
            await anext(entered)
        await client.channels.dial(channel_id=channel_id, timeout=10)
        yield ended


async def hear(leg: MediaLeg, ms: int) -> bytes:
    """So much of what comes in on a leg, as 16-bit samples."""
    got = bytearray()
    async with asyncio.timeout(ms / 1000 + 3):
        async for event in leg.events():
            if isinstance(event, bytes):
                got += event
                if len(got) >= ms * 8:
                    break
    return audioop.ulaw2lin(bytes(got), 2)


async def nothing_left(*instances: Instance) -> None:
    """No channel and no bridge in these Asterisks, within some seconds (a BYE may be on its way)."""
    for instance in instances:
        async with ari.Client(instance.ari_url, instance.ari_user, instance.ari_password) as client:
            left: list[str] = []
            for _ in range(int(CLEARED_WITHIN / 0.05)):
                left = [f"{each.name} ({each.id})" for each in await client.channels.list()]
                left += [f"bridge {each.id}" for each in await client.bridges.list()]
                if not left:
                    break
                await asyncio.sleep(0.05)
            assert not left, f"left in {instance.name}: {left}"


def sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@asynccontextmanager
async def open_house(pbx: Instance, world: Instance, **choices: object) -> AsyncIterator[House]:
    """A house in which, at the end, nothing may be left: channels, bridges, lines, tasks, sockets."""
    before, had = asyncio.all_tasks(), sockets()
    async with Exchange.open(settings(pbx, **choices)) as exchange:
        house = House(pbx, world, exchange)
        try:
            yield house
        finally:
            await world.cli("channel request hangup all")
        await nothing_left(pbx, world)
        assert exchange.live == 0, "a line was not closed"
        left = exchange.leftovers()
        assert not left, f"the exchange still follows {left}"
    tasks = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not tasks, f"tasks left behind: {tasks}"
    await asyncio.sleep(0)
    assert not sockets() - had, "sockets left behind"


def ulaw_tone(hertz: float, ms: int) -> bytes:
    """A tone, as a line plays it."""
    samples = [int(6000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(8 * ms)]
    return audioop.lin2ulaw(struct.pack(f"<{len(samples)}h", *samples), 2)
