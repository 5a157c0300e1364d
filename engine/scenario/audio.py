"""`hookflash test --audio`: tests on two private Asterisks, with real speech, keys and time.

Every test runs on the virtual line first: that says how long it will take, and what fails there need not be tried.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Final

import uvloop
from structlog.testing import capture_logs

from asterisk.ari.errors import AriError
from asterisk.arrival import is_wanted
from asterisk.debian import UnpackError
from asterisk.exchange import ExchangeError
from asterisk.instance import SandboxError
from asterisk.ports import NoPortsLeftError
from engine.errors import UserError
from engine.scenario import report
from engine.scenario.audio_house import AudioHouse, AudioResult
from engine.scenario.expect import Failure
from engine.scenario.file import Scenario
from engine.scenario.hearing import LONGEST_SILENCE
from engine.scenario.run import Result, run_scenario
from engine.scenario.trace import Row
from engine.virtual.targets import Target

AT_ONCE: Final = 4  # calls at the same time

_DIALLED = re.compile(r"\+?[0-9][0-9*#+]+")
_CALLER = re.compile(r"\+?[0-9*#]*")
_NAME = re.compile(r"[^\x00-\x1f\x7f\"<>\\]{0,80}")

Ended = Callable[[Result], None]
Stepped = Callable[[Scenario, Row], None]


class AudioError(UserError):
    """Tests cannot run by audio here; the text says what to install, or what is wrong."""


def run_by_audio(
    scenarios: Sequence[Scenario], ended: Ended, *, at_once: int = AT_ONCE, stepped: Stepped | None = None,
    planned: Callable[[float], None] = lambda seconds: None,
) -> list[Result]:  # fmt: skip
    """Run them, some at the same time; their results in their order, each told to ``ended`` when its turn has come.

    ``stepped`` hears of every step of the calls, ``planned`` of the seconds that all will take. Raises `AudioError`.
    """
    rehearsed = [run_scenario(scenario) for scenario in scenarios]
    ready = [_not_run(result) if unsupported(result.scenario) else result for result in rehearsed]
    planned(estimate([result.seconds for result in _in_order(ready, at_once) if result.passed], at_once))
    if not any(result.passed for result in ready):
        for result in ready:
            ended(result)
        return ready
    logging.getLogger("asterisk").setLevel(logging.ERROR)
    broken: BaseException
    try:
        with capture_logs():
            return uvloop.run(_play_all(ready, at_once, ended, stepped))
    except* (UnpackError, SandboxError, NoPortsLeftError, ExchangeError, AriError) as errors:
        broken = errors
    while isinstance(broken, BaseExceptionGroup):
        broken = broken.exceptions[0]
    raise AudioError(f"tests cannot run by audio: {broken}") from broken


def estimate(seconds: Sequence[float], at_once: int) -> float:
    """How long calls of so many seconds take, so many at the same time, one after the other in their order."""
    busy = [0.0] * at_once
    for one in seconds:
        busy[busy.index(min(busy))] += one
    return max(busy)


def _in_order(results: Sequence[Result], at_once: int) -> list[Result]:
    """In which order they begin: where several calls go on, the longest first, so that none is left for the end."""
    return list(results) if at_once == 1 else sorted(results, key=lambda result: -result.seconds)


async def _play_all(rehearsed: Sequence[Result], at_once: int, ended: Ended, stepped: Stepped | None) -> list[Result]:
    free = asyncio.Semaphore(at_once)

    async def play(result: Result) -> Result:
        if not result.passed:
            return result
        async with free:
            tell = None if stepped is None else lambda row: stepped(result.scenario, row)
            return await house.play(result.scenario, result.seconds, tell)

    async with AudioHouse.open() as house, asyncio.TaskGroup() as group:
        playing = {id(result): group.create_task(play(result)) for result in _in_order(rehearsed, at_once)}
        results = []
        for result in rehearsed:
            results.append(await playing[id(result)])
            ended(results[-1])
        return results


def unsupported(scenario: Scenario) -> list[str]:
    """What of a test a telephone cannot do; empty when it can run by audio."""
    given, reasons = scenario.fields.given, []
    if not _DIALLED.fullmatch(given.did):
        reasons.append(f"{given.did!r} cannot be dialled (given.did)")
    if not _CALLER.fullmatch(given.caller.number) or not _NAME.fullmatch(given.caller.name):
        reasons.append("no telephone shows such a caller (given.caller)")
    lost = [name for name in given.headers if not is_wanted(name)]
    reasons += [f"the header {name} does not get through to flows (given.headers)" for name in lost]
    for name, several in scenario.fields.mocks.targets.items():
        for how in several:
            usual = Target.of(how.status)
            if (how.sip_code, how.q850) != (usual.sip_code, usual.q850):
                reasons.append(f"no telephone answers with a code of its own choice (mocks.targets.{name})")
    return reasons


def _not_run(result: Result) -> AudioResult:
    known = {one.name: getattr(result, one.name) for one in fields(Result)}
    where = result.scenario.fields.where
    known["failures"] = tuple(
        Failure(where, "a test that can run by audio", reason) for reason in unsupported(result.scenario)
    )
    return AudioResult(**{**known, "rows": ()}, not_run=True)


def told(result: Result) -> Iterator[str]:
    """A result in words, and what was measured of it."""
    if not isinstance(result, AudioResult):
        lines = list(report.told(result))
        yield lines[0] + "  on the virtual line already" * (not result.passed)
        yield from lines[1:]
        return
    if result.not_run:
        yield f"  NO AUDIO  {result.scenario.name}"
        yield from (f"        {failure.where}: {failure.actual}" for failure in result.failures)
        return
    lines = list(report.told(result))
    yield f"  {'ok  ' if result.passed else 'FAIL'}  {result.scenario.name}  ({_measured(result)})"
    yield from lines[1:]


def _measured(result: AudioResult) -> str:
    parts = [f"{result.seconds:.0f} s by telephone"]
    if result.hearing is not None:
        heard = result.hearing.said - len(result.hearing.mute)
        parts.append(f"{heard} of {result.hearing.said} utterances heard")
        parts.append(f"longest silence {result.hearing.longest_silence:.1f} of {LONGEST_SILENCE:g} s")
        if result.hearing.overlap is not None:
            parts.append(f"talked over for {result.hearing.longest_overlap:.1f} s")
    return ", ".join(parts)
