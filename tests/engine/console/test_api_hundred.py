"""A hundred live calls and people who watch them: how old is what they see. The figures are in docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from statistics import quantiles

from engine.call import Call
from tests.engine.console.desk import Desk, answers, desk, until
from tests.engine.console.test_api_events import Client, watching
from tests.engine.support import flow, forever, step

CALLS, WATCHERS, SECONDS = 100, 5, 10.0
CHANGES = 2.0  # of each call in a second: somebody begins to speak, says something, a step ends


async def talks(call: Call, sent: dict[tuple[str, int], float], chance: random.Random, until: float) -> None:
    clock, number = asyncio.get_running_loop().time, 0
    while clock() < until:
        await asyncio.sleep(chance.expovariate(CHANGES))
        number += 1
        call.live.response_ms = number
        sent[call.record.id, number] = clock()
        call.said("voice", f"This is sentence {number} of the talk, and it has about as many words as people say.")


async def reads(house: Desk, sent: dict[tuple[str, int], float], took: list[float], call: str) -> None:
    async with watching(house, call=call) as client:
        await follows(client, sent, took)


async def follows(client: Client, sent: dict[tuple[str, int], float], took: list[float]) -> None:
    now = asyncio.get_running_loop().time
    while True:
        kind, data = await client.next(30.0)
        if kind == "call" and data["response_ms"] is not None:
            took.append(now() - sent[data["id"], data["response_ms"]])


async def test_the_list_of_a_hundred_calls_is_half_a_second_old_at_most(tmp_path: Path) -> None:
    waits = flow(step(answers), step(forever, id="talk"), name="reception")
    async with desk(tmp_path, waits) as house:
        calls = [(await house.rings(f"+1415555{n:04d}"))[0] for n in range(CALLS)]
        clock, sent, took = asyncio.get_running_loop().time, {}, []  # type: ignore[var-annotated]
        readers = [asyncio.create_task(reads(house, sent, took, calls[n].record.id)) for n in range(WATCHERS)]
        await until(lambda: house.console.api.feed.watchers == WATCHERS, "the clients")
        began, busy = clock(), time.process_time()
        await asyncio.gather(*(talks(call, sent, random.Random(n), began + SECONDS) for n, call in enumerate(calls)))
        cpu = (time.process_time() - busy) / (clock() - began)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        p = quantiles(took, n=100)
        print(f"{len(took)} updates: p50 {p[49] * 1000:.0f} ms, p95 {p[94] * 1000:.0f} ms, p99 {p[98] * 1000:.0f} ms; "
              f"{cpu:.0%} of a core, with the {WATCHERS} clients in it")  # fmt: skip
        assert len(took) > CALLS * CHANGES * SECONDS * WATCHERS / 2
        assert p[94] < 0.5
