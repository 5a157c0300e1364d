"""The stage: Asterisk, the phones and the provider, and on it either the engine or the floor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asterisk import sandbox
from asterisk.config import AsteriskConfig, Trunk
from asterisk.instance import Instance
from bench.child import BenchError, Child, busy_seconds, cpu_seconds, resident_bytes
from bench.floor import APP as FLOOR_APP
from bench.stamp import FRAME_MS

TALK, HANDOFF, FLOOR = "+12125550100", "+12125550101", "+12125550900"
SETTLE = 1.5  # seconds between the last call that came up and the first frame that is counted
GONE_WITHIN = 10.0
RTP_PORTS = (40_000, 48_000)  # above the sandbox's own ranges
_DIALPLAN = f"""
[bench]
exten => {FLOOR},1,Stasis({FLOOR_APP})
 same => n,Hangup()
include => hookflash
"""


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured while so many calls were up."""

    calls: int
    seconds: float
    cpu: float  # seconds of the engine, or of the floor
    pbx_cpu: float
    provider_cpu: float
    phones_cpu: float
    others_cpu: float  # all other programs of this machine
    resident: int  # bytes of the engine
    heard: dict[str, Any]  # by the phones
    received: dict[str, Any]  # by the provider

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of a call in a second."""
        return self.cpu * 1000 / (self.calls * self.seconds)

    @property
    def core_share(self) -> float:
        """Share of one core, 1.0 is all of it."""
        return self.cpu / self.seconds

    @property
    def due(self) -> int:
        """Frames that were due in this window, both ways."""
        return int(self.calls * self.seconds * 1000 / FRAME_MS * 2)

    @property
    def missed(self) -> int:
        """Frames that somebody at either end missed when they were due: lost, late, or silence in their place."""
        return sum(int(end[how]) for end in (self.heard, self.received) for how in ("lost", "late", "filler"))


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that stands while the benchmark runs."""

    pbx: Instance
    phones: Child
    provider: Child
    folder: Path

    @asynccontextmanager
    async def engine(self, *, probe: bool = False) -> AsyncIterator[Child]:
        """The engine, ready for calls to `TALK` and `HANDOFF`."""
        told = {**self._told, "app": self.pbx.application, "probe": probe, "folder": str(self.folder)}
        async with Child("bench.engine", "engine-probed" if probe else "engine", self.folder, told) as engine:
            if engine.told["media"] != "websocket":
                raise BenchError(f"the engine's media go by {engine.told['media']}, not by websocket")
            yield engine

    @asynccontextmanager
    async def floor(self) -> AsyncIterator[Child]:
        """The floor, ready for calls to `FLOOR`."""
        async with Child("bench.floor", "floor", self.folder, self._told) as floor:
            yield floor

    @property
    def _told(self) -> dict[str, Any]:
        pbx, provider = self.pbx, self.provider.told["url"]
        return {"url": pbx.ari_url, "user": pbx.ari_user, "password": pbx.ari_password, "provider": provider}

    @asynccontextmanager
    async def calls(self, who: Child, number: str, calls: int, per_second: float) -> AsyncIterator[None]:
        """So many calls to a number of ``who`` are up and hear it while the block runs; none is left after it."""
        dialled = await self.phones.ask("dial", number=number, calls=calls, per_second=per_second)
        try:
            if dialled["up"] != calls:
                raise BenchError(f"{dialled['up']} of {calls} calls to {number} came up, refused: {dialled['refused']}")
            heard = await self.phones.ask("hear", calls=calls)
            if heard["hearing"] < calls:
                raise BenchError(f"{heard['hearing']} of {calls} phones heard {number}")
            await asyncio.sleep(SETTLE)
            yield
        finally:
            await self.phones.ask("hang_up")
            await self.pbx.idle(GONE_WITHIN)
            async with asyncio.timeout(GONE_WITHIN):
                while (await who.ask("live"))["calls"]:  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.05)

    async def window(self, who: Child, calls: int, seconds: float) -> Window:
        """Measure for so long."""
        await self.reset()
        processes = (who.pid, self.pbx.pid, self.provider.pid, self.phones.pid)
        loop = asyncio.get_running_loop()
        before, all_before, began = [cpu_seconds(pid) for pid in processes], busy_seconds(), loop.time()
        await asyncio.sleep(seconds)
        after, all_after, ended = [cpu_seconds(pid) for pid in processes], busy_seconds(), loop.time()
        heard, received = await asyncio.gather(self.phones.ask("heard"), self.provider.ask("heard"))
        if heard["phones"] != calls or received["sessions"] != calls:
            live = min(heard["phones"], received["sessions"])
            raise BenchError(f"only {live} of {calls} calls lived to the end of the window; see {self.folder}")
        cpu, pbx, provider, phones = (b - a for a, b in zip(before, after, strict=True))
        others = max(0.0, all_after - all_before - cpu - pbx - provider - phones)
        resident = resident_bytes(who.pid)
        return Window(calls, ended - began, cpu, pbx, provider, phones, others, resident, heard, received)

    async def reset(self) -> None:
        """Count anew, on both ends."""
        await asyncio.gather(self.phones.ask("reset"), self.provider.ask("reset"))


@asynccontextmanager
async def raised(folder: Path) -> AsyncIterator[Stage]:
    """Start all but the engine and the floor; stop them at the end."""
    async with AsyncExitStack() as stack:
        phones = await stack.enter_async_context(Child("bench.phones", "phones", folder, {}))

        def choose(config: AsteriskConfig) -> AsteriskConfig:
            port = phones.told["port"]
            trunk = Trunk(
                name="phones", host="127.0.0.1", port=port, match=(f"127.0.0.1:{port}",), context="bench", qualify_s=0
            )
            start, end = RTP_PORTS
            return config.model_copy(update={"trunks": (trunk,), "rtp_start": start, "rtp_end": end})

        pbx = await stack.enter_async_context(
            sandbox.start("pbx", folder / "asterisk", choose=choose, extra={"extensions.conf": _DIALPLAN})
        )
        await phones.ask("use", port=pbx.sip_port)
        provider = await stack.enter_async_context(Child("bench.provider", "provider", folder, {}))
        yield Stage(pbx, phones, provider, folder)
