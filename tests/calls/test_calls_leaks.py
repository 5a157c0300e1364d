"""Hundreds of calls leave nothing behind: no channel, bridge, task, file descriptor, session, record, or memory.

Callers are cheap: the world's Asterisk makes them by itself, and nobody records them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from aiohttp import web
from company import BUSY, RINGS_FOR_EVER, Company, Open, open_sessions, tasks, until

from asterisk import ari
from tests.emulators.openai_realtime import Emulator, tone

pytestmark = pytest.mark.asterisk

FLOWS = {
    "cloud": """
        - converse: {provider: openai, greeting: Hi., max_turns: 1}
          outcomes: {silence: [], max_duration: [], provider_error: [{hangup: {result: wrong}}]}
        - hangup: {result: right}
    """,
    "offline": """
        - converse:
            exits: {bye: {}}
            options: {rehearsal: {script: [{finish: {exit: bye}}]}}
          outcomes: {silence: [], max_duration: [], provider_error: [{hangup: {result: wrong}}]}
        - hangup: {result: right}
    """,
    "person": f"""
        - transfer: {{attempts: [{{ring: simultaneous, targets: ["tel:{BUSY}", "teams:{BUSY}"]}}]}}
          outcomes: {{busy: [{{hangup: {{result: right}}}}], failed: [{{hangup: {{result: wrong}}}}]}}
    """,
}  # fmt: skip
FIRST = "        - http: {endpoint: gate, path: /gate}\n          timeout: 30s\n"
NUMBERS = ("+12125550121", "+12125550122", "+12125550123")
ROUTES = "routes:\n" + "".join(
    f'  - {{match: {{did: "{number}"}}, flow: {name}}}\n' for name, number in zip(FLOWS, NUMBERS, strict=True)
)
WITHIN = 15.0  # seconds for what is going on to end
WARM_UP = 60  # calls
MORE_MEMORY = 6 * 2**20  # bytes that 300 calls may add (measured: 2 million)


async def click(_: str) -> bytes:
    """The shortest thing that a voice can say."""
    return tone(40)


@dataclass
class House:
    """A company with three numbers: a cloud's voice, the offline voice, and people who are busy.

    Every flow begins with a question to the company, which it answers when the gate is open.
    """

    company: Company
    emulator: Emulator
    gate: asyncio.Event
    client: ari.Client  # of the world
    came: int = 0  # calls

    async def calls(self, count: int) -> None:
        """So many calls at once, to all three numbers in turn; returns when they are over."""
        engine, books = self.company.engine, self.company.books
        numbers = [NUMBERS[number % 3] for number in range(self.came, self.came + count)]
        self.gate.clear()
        await asyncio.gather(*(self._dial(number) for number in numbers))
        await until(lambda: len(engine.switchboard.calls) == count, f"{count} live calls", WITHIN)
        self.gate.set()
        await until(lambda: not engine.switchboard.calls, "the calls to end", WITHIN)
        self.came += count
        assert len(books.ids) == self.came
        assert {record.result for record in books.seen.values()} == {"right"}
        books.seen.clear()  # the memory of the test is not that of the engine
        self.emulator.conversations.clear()

    async def _dial(self, number: str) -> None:
        """Call; once the company has answered wait for its end, which is what 0104 of the world does."""
        await self.client.channels.originate(
            endpoint=f"PJSIP/{number}@pbx", context="world", extension=RINGS_FOR_EVER, priority=1
        )

    async def quiet(self) -> None:
        """Until what the calls began has ended everywhere."""
        await until(lambda: not open_sessions(), "the end of the voice sessions")
        await self.company.nothing_is_left()


@asynccontextmanager
async def house_of_three(open_company: Open) -> AsyncIterator[House]:
    """Open it."""
    gate = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/gate", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    files = {f"{name}.flow.yaml": f"flow: {name}\nsteps:\n{FIRST}{steps}" for name, steps in FLOWS.items()}
    files["resources.yaml"] = f"endpoints: {{gate: {{base_url: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}"
    try:
        async with Emulator(voice=click, oracle=False) as emulator:
            voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
            async with open_company("steps: [{hangup: {}}]", routes=ROUTES, files=files, voices=voices) as company:
                world = company.world
                async with ari.Client(world.ari_url, world.ari_user, world.ari_password) as client:
                    yield House(company, emulator, gate, client)
                    assert emulator.open_sessions == 0
    finally:
        await runner.cleanup()


def memory() -> int:
    """Bytes that this process holds."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> Counter[str]:
    """How many open file descriptors of each kind this process has."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one by which the folder is read
            found[re.sub(r"\d+", "N", os.readlink(f"/proc/self/fd/{number}"))] += 1
    return found


async def test_300_calls_one_after_the_other(open_company: Open) -> None:
    async with house_of_three(open_company) as house:
        for _ in range(WARM_UP):
            await house.calls(1)
        await house.quiet()
        held, running, files = memory(), {task.get_name() for task in tasks()}, descriptors()
        for _ in range(300):
            await house.calls(1)
        more = memory() - held  # before the books are read, which takes memory of its own
        await house.quiet()
        assert {task.get_name() for task in tasks()} <= running
        assert descriptors() <= files, f"more file descriptors: {descriptors() - files}"
        assert more < MORE_MEMORY


async def test_50_calls_at_once(open_company: Open) -> None:
    async with house_of_three(open_company) as house:
        await house.calls(50)  # connections to Asterisk are kept for a while: the second time they are there
        await house.quiet()
        running, files = {task.get_name() for task in tasks()}, descriptors()
        await house.calls(50)
        await house.quiet()
        assert {task.get_name() for task in tasks()} <= running
        assert descriptors() <= files, f"more file descriptors: {descriptors() - files}"
