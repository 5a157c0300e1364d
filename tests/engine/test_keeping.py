"""What is kept of a call in the middle of a long step, and how often."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from structlog.testing import capture_logs

from engine.checkpoint import SOON, Checkpoint
from engine.record import CallRecord
from engine.virtual import Calls, Says, VirtualLine, VirtualProvider, virtual_time
from tests.engine.test_cost import ON, asks_on, prices
from tests.engine.test_resume import House, Shelf
from tests.engine.verbs.phone import flow, library

TALK = """
- id: talk
  converse:
    greeting: Hello.
    exits: {done_: {}}
    silence: {after: 50s, reprompts: 0}
    tools: {order: {description: Orders., input: {size: {type: string}}, set: {size: "${input.size}"}}}
  outcomes: {silence: [], max_duration: [], provider_error: []}
"""
HEAD = "vars: {size: {type: string, default: ''}}"


class Disk(Shelf):
    """What is really stored, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[tuple[float, CallRecord, Checkpoint]] = []

    async def save(self, record: CallRecord) -> None:
        await super().save(record)
        if record.id in self.states:
            now = asyncio.get_running_loop().time()
            self.stored.append((now, record.model_copy(deep=True), self.states[record.id]()))


async def seconds(folder: Path, disk: Disk, provider: VirtualProvider, many: float) -> VirtualLine:
    """The caller asks on and on, and the engine dies after so many seconds of the call."""
    made = House(library(folder, flow(TALK, head=HEAD, name="shop")), disk, provider=provider, prices=prices())
    with capture_logs():
        running = asyncio.create_task(made.board.run(made.incoming))
        line = made.incoming.call()
        asking = asyncio.create_task(asks_on(line))
        await asyncio.sleep(many)
        at = len(disk.stored)
        running.cancel()
        asking.cancel()
        await asyncio.gather(running, asking, return_exceptions=True)
        del disk.stored[at:]  # of the dead engine nothing more comes
    return line


@virtual_time
async def test_a_talk_is_kept_while_it_goes_on(tmp_path: Path) -> None:
    """Variables that a tool has set, the tool, what was said and what it cost."""
    disk = Disk()
    replies = [[Calls("order", {"size": "L"})], [Says("It is ordered.")], *ON]
    await seconds(tmp_path, disk, VirtualProvider(replies), 20)
    _, record, state = disk.stored[-1]
    assert state.vars == {"size": "L"}
    assert [(tool.name, tool.outcome) for tool in record.tools] == [("order", "ok")]
    said = [one.text for one in record.transcript]
    assert said[0] == "Hello."
    assert "It is ordered." in said
    assert said.count("And then?") >= 2
    assert record.cost > Decimal(1)
    assert [step.outcome for step in record.steps] == [None], "all in one step, which has not ended"


@virtual_time
async def test_many_changes_are_one_write(tmp_path: Path) -> None:
    """However much a talk says and costs, the database hears of it every two seconds at most, and the longer the
    record, the more seldom."""
    disk = Disk()
    await seconds(tmp_path, disk, VirtualProvider([[Says("And."), Calls("order", {"size": "S"})]] * 60), 24)
    times = [at for at, _, _ in disk.stored]
    pauses = [after - before for before, after in pairwise(times[2:])]
    assert 4 < len(pauses) < 10
    assert min(pauses) > SOON - 0.001
    assert pauses[-1] > SOON + 0.5


@virtual_time
async def test_a_silent_step_writes_nothing(tmp_path: Path) -> None:
    disk = Disk()
    made = House(library(tmp_path, flow("- wait: 600s\n- hangup: {}", name="shop")), disk)
    with capture_logs():
        running = asyncio.create_task(made.board.run(made.incoming))
        made.incoming.call()
        made.incoming.queue.put_nowait(None)
        await running
    assert len(disk.stored) <= 6
