"""Tests in which a model takes part: each runs several times, since a model does not do the same every time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal

from structlog.testing import capture_logs

from engine.scenario.file import Scenario
from engine.scenario.model import HeldModel, Spent
from engine.scenario.run import Result, Runs, run_scenario
from engine.virtual import Outside
from providers.parts import TextModel

Mode = Literal["scripted", "model", "simulated"]
AT_ONCE: Final = 4  # calls side by side


def needs(scenario: Scenario, mode: Mode) -> str:
    """The mode that a test needs, when it cannot run in this one; else empty."""
    if scenario.fields.simulate is not None:
        return "" if mode == "simulated" else "simulated"
    return "scripted" if mode == "simulated" else ""


async def run_rated(
    scenarios: Sequence[Scenario], model: TextModel, *, name: str | None = None, runs: int = 1, wanted: float = 1.0,
    on_run: Callable[[Result], None] = lambda _: None, on_test: Callable[[Result], None],
) -> None:  # fmt: skip
    """Every test ``runs`` times; it passes when the share ``wanted`` of them does. To be called on a real event loop.

    ``name``: which of the provider's models is asked. ``on_run`` hears of every single run, ``on_test`` of every test,
    in order. When this is cancelled, no model is asked any more, and calls that still run end by themselves at once.
    """
    outside, room = Outside(), asyncio.Semaphore(AT_ONCE)

    async def once(scenario: Scenario, spent: Spent) -> Result:
        async with room:
            result = await asyncio.to_thread(run_scenario, scenario, HeldModel(outside, model, spent, name))
        on_run(result)
        return result

    async def several(scenario: Scenario) -> Result:
        spent = Spent()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(once(scenario, spent)) for _ in range(runs)]
        return combined([task.result() for task in tasks], wanted, spent)

    try:
        with capture_logs():
            async with asyncio.TaskGroup() as group:
                for task in [group.create_task(several(scenario)) for scenario in scenarios]:
                    on_test(await task)
    finally:
        outside.close()


def combined(results: Sequence[Result], wanted: float, spent: Spent) -> Result:
    """One result of several runs: it shows the first that failed, if there is one."""
    failed = [result for result in results if not result.passed]
    shown = failed[0] if failed else results[0]
    passed = len(results) - len(failed)
    enough = passed >= wanted * len(results) - 1e-9
    told = [] if enough else list(shown.failures)
    also = {failure: None for result in failed for failure in result.failures if failure not in told}
    return Result(
        shown.scenario, tuple(told), shown.rows, shown.met, shown.seconds, sum(result.ms for result in results),
        frozenset().union(*(result.ran for result in results)), Runs(passed, len(results), wanted, spent, tuple(also)),
    )  # fmt: skip
