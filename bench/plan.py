"""What is measured, in which order, and what comes of it. Every function here is one measurement on the stage."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.child import BenchError
from bench.figures import Spread, slope, spread
from bench.stage import FLOOR, HANDOFF, TALK, Stage, Window
from bench.stamp import FRAME_MS
from bench.steps import step_overhead

Tell = Callable[[str], None]

PER_SECOND = 20.0  # calls that begin
HANDOFFS_PER_SECOND = 4.0
APART_MS = 25  # between two interruptions
TRIES = 3  # windows of the sweep in which frames may be missed
QUIET_MS = 500  # how long an interrupting caller speaks
SPEAK_AHEAD = 1.5  # seconds in which every voice gets ahead of time before it is interrupted


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it."""

    compared: int  # calls, for the engine beside the floor
    rounds: int  # of both, in turns
    seconds: float  # of a window
    sweep: tuple[int, ...]
    probed: int  # calls, for times inside the engine
    interruptions: int  # of every call
    handoffs: int


FULL = Plan(100, 3, 8.0, (10, 50, 100, 150, 200, 250), 100, 4, 20)
QUICK = Plan(10, 2, 3.0, (10, 20), 10, 2, 4)


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    engine: list[Window] = field(default_factory=list)
    floor: list[Window] = field(default_factory=list)
    sweep: list[Window] = field(default_factory=list)
    stopped_by: str = ""  # why the sweep did not go on
    probed: dict[str, Any] = field(default_factory=dict)  # see `Probe.found`
    provider_own: Spread | None = None  # ms of a session's start that are the provider's
    flushed: Spread | None = None  # ms from the provider's event to the flush
    silent: Spread | None = None  # ms from the provider's event to silence at the caller
    never_silent: int = 0  # interruptions after which the caller went on hearing the voice
    two_way: Spread | None = None
    step: Spread | None = None  # ms of CPU for a step of a flow

    @property
    def cpu_ms(self) -> float:
        """Of the engine for a call in a second."""
        return median(window.cpu_ms for window in self.engine)

    @property
    def floor_cpu_ms(self) -> float:
        """Of the floor for a call in a second."""
        return median(window.cpu_ms for window in self.floor)

    @property
    def held(self) -> Window | None:
        """The window with the most calls in which no frame was missed."""
        return max((window for window in self.sweep if not window.missed), key=lambda held: held.calls, default=None)

    @property
    def memory_per_call(self) -> float | None:
        """Bytes by which the engine grows with each call."""
        return slope([(window.calls, window.resident) for window in self.sweep])


async def measure(stage: Stage, plan: Plan, tell: Tell) -> Results:
    """All of it."""
    results = Results()
    await _compare(stage, plan, results, tell)
    await _sweep(stage, plan, results, tell)
    await _look_inside(stage, plan, results, tell)
    results.step = await asyncio.to_thread(step_overhead)
    tell(f"a step of a flow: {results.step['p50']:.3f} ms of CPU")
    return results


async def _compare(stage: Stage, plan: Plan, results: Results, tell: Tell) -> None:
    """The engine and the floor in turns, at the same number of calls, in the same minutes."""
    calls = plan.compared
    async with stage.engine() as engine, stage.floor() as floor:
        sides = (("engine", engine, TALK, results.engine), ("floor", floor, FLOOR, results.floor))
        for number in range(plan.rounds):
            for name, child, did, windows in sides:
                async with stage.calls(child, did, calls, PER_SECOND):
                    windows.append(await stage.window(child, calls, plan.seconds))
                tell(f"{name}, {calls} calls, round {number + 1}: {windows[-1].cpu_ms:.2f} ms of CPU per call-second")


async def _sweep(stage: Stage, plan: Plan, results: Results, tell: Tell) -> None:
    """More and more calls on one engine, until frames are missed in every try or a call does not come up.

    Then the floor carries as many: what it misses too is not the engine's doing.
    """
    async with stage.engine() as engine:
        for calls in plan.sweep:
            try:
                async with stage.calls(engine, TALK, calls, PER_SECOND):
                    window = await stage.window(engine, calls, plan.seconds)
                    for _ in range(TRIES - 1):  # perhaps it was another program's doing
                        if window.missed:
                            window = min(window, await stage.window(engine, calls, plan.seconds), key=_missed)
            except BenchError as error:
                results.stopped_by = str(error)
                break
            results.sweep.append(window)
            tell(f"{calls} calls: {describe(window)}")
            if window.missed:
                results.stopped_by = f"at {calls} calls {window.missed} of {window.due} frames were missed"
                break
        else:
            return
    tell(results.stopped_by)
    try:
        async with stage.floor() as floor, stage.calls(floor, FLOOR, calls, PER_SECOND):
            window = await stage.window(floor, calls, plan.seconds)
        results.stopped_by += f"; the floor missed {window.missed}"
        tell(f"the floor, {calls} calls: {describe(window)}")
    except BenchError as error:
        results.stopped_by += f"; the floor: {error}"


def _missed(window: Window) -> int:
    return window.missed


def describe(window: Window) -> str:
    """Who took how much, and what was missed."""
    parts = (("it", window.cpu), ("Asterisk", window.pbx_cpu), ("provider", window.provider_cpu),
             ("phones", window.phones_cpu), ("other programs", window.others_cpu))  # fmt: skip
    took = ", ".join(f"{name} {cpu / window.seconds:.2f}" for name, cpu in parts)
    ends = {name: sum(end[name] for end in (window.heard, window.received)) for name in ("lost", "late", "filler")}
    missed = ", ".join(f"{count} {name}" for name, count in ends.items())
    return f"of {window.due} frames {missed}; cores: {took}"


async def _look_inside(stage: Stage, plan: Plan, results: Results, tell: Tell) -> None:
    """Delays, starts, interruptions and hand-offs, in an engine that is watched, so that its CPU does not count."""
    async with stage.engine(probe=True) as engine:
        await stage.provider.ask("reset")
        async with stage.calls(engine, TALK, plan.probed, PER_SECOND):
            results.probed = await engine.ask("probed")  # the starts
            results.provider_own = (await stage.provider.ask("heard"))["own_ms"]
            await asyncio.gather(stage.reset(), engine.ask("reset"))
            await asyncio.sleep(plan.seconds)
            delays = await engine.ask("probed")
            results.probed |= {name: delays[name] for name in ("up", "down", "late")}
            tell(f"inside the engine, {plan.probed} calls: {delays['up']} and {delays['down']} ms")
            await _interrupt(stage, plan, results, engine.ask)
            tell(f"interrupted {plan.probed * plan.interruptions} times: silent after {results.silent} ms")
        async with stage.calls(engine, HANDOFF, plan.handoffs, HANDOFFS_PER_SECOND):
            results.two_way = spread(await stage.phones.ask("two_way"))
        tell(f"{plan.handoffs} hand-offs: both hear each other after {results.two_way} ms")


async def _interrupt(stage: Stage, plan: Plan, results: Results, ask: Callable[..., Any]) -> None:
    """Interrupt every voice while seconds of it wait to be played, and see when the caller hears the last of it."""
    await stage.provider.ask("ahead", on=True)
    await asyncio.gather(stage.reset(), ask("reset"))
    heard: list[tuple[int, int]] = []
    for _ in range(plan.interruptions):
        await asyncio.sleep(SPEAK_AHEAD)
        heard += await stage.provider.ask("interrupt", apart_ms=APART_MS, quiet_ms=QUIET_MS)
    await asyncio.sleep(SPEAK_AHEAD)
    flushes = sorted((await ask("probed"))["flushes"])
    gaps = await stage.phones.ask("quiet")
    await stage.provider.ask("ahead", on=False)
    results.flushed = spread([(at - sent) / 1e6 for _, sent in heard if (at := _next(flushes, sent)) is not None])
    ends = [silent_after(session, sent, gaps) for session, sent in heard]
    results.silent = spread([end for end in ends if end is not None])
    results.never_silent = ends.count(None)


def silent_after(session: int, sent: int, gaps: Sequence[Sequence[int]]) -> float | None:
    """ms from ``sent`` (ns) until the caller heard the last of a session; None when it went on.

    ``gaps``: (session, ns of the last frame before the silence, ns of the first one after it).
    """
    next_one, last = min(
        ((after, before) for who, before, after in gaps if who == session and after > sent), default=(0, 0)
    )
    if not next_one or next_one - sent > (QUIET_MS + 1000) * 1e6:
        return None
    return max(0.0, (last - sent) / 1e6 + FRAME_MS)  # a frame sounds for as long as it is


def _next(times: list[int], after: int) -> int | None:
    at = bisect_left(times, after)
    return times[at] if at < len(times) else None
