"""Prompts: played, interrupted, answered with keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.call import Call
from engine.outcome import Outcome, StepError
from engine.prompting import Interruptible, collect, prompt, synthesise
from engine.virtual import VirtualLine, VirtualProvider, virtual_services, virtual_time
from engine.virtual.words import spoken
from flows.flow import Step
from providers.voice import VoiceError
from tests.engine.support import flow, run_call, step

TEXT = spoken("A prompt of two seconds", 2000)
Act = Callable[[Call], Awaitable[Any]]


async def run(act: Act, script: Any = None, line: VirtualLine | None = None, **services: Any) -> Any:
    """What ``act`` gives inside a call."""
    results: list[Any] = []

    async def acts(at: Step, call: Call) -> Outcome | None:
        results.append(await act(call))
        return None

    made = line or VirtualLine()
    house = virtual_services(VirtualProvider(), **services)
    await run_call(flow(step(acts, takes_digits=True)), made, script, services=house)
    return results[0] if results else None


def after(seconds: float, act: Callable[[VirtualLine], Awaitable[None]]) -> Any:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(seconds)
        await act(line)

    return script


async def presses(line: VirtualLine) -> None:
    await line.caller.presses("5")


async def speaks(line: VirtualLine) -> None:
    await line.caller.says("Hello?", 0.8)


@virtual_time
async def test_a_prompt_that_nothing_may_stop() -> None:
    async def act(call: Call) -> tuple[bool, str]:
        heard = await prompt(call, TEXT)
        return heard, await call.line.digit()  # the key was kept

    line = VirtualLine()
    assert await run(act, after(1, presses), line) == (True, "5")
    assert [(entry.what, entry.ms) for entry in line.log.find("heard", "cut")] == [("heard", 2000)]


@pytest.mark.parametrize(("by", "ms"), [("dtmf", 1000), ("any", 1000)])
@virtual_time
async def test_a_key_stops_it_and_stays_for_the_next_reader(by: Interruptible, ms: int) -> None:
    async def act(call: Call) -> tuple[bool, str]:
        heard = await prompt(call, TEXT, by)
        return heard, await call.line.digit()

    line = VirtualLine()
    assert await run(act, after(1, presses), line) == (False, "5")
    assert [(entry.what, entry.ms) for entry in line.log.find("heard", "cut")] == [("cut", ms)]


@virtual_time
async def test_a_key_that_waits_already_stops_it_before_it_begins() -> None:
    async def act(call: Call) -> bool:
        await call.playout()
        await asyncio.sleep(1)
        return await prompt(call, TEXT, "dtmf")

    line = VirtualLine()
    assert await run(act, after(0.5, presses), line) is False
    assert line.log.heard() == []


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
@pytest.mark.parametrize("by", ["speech", "any"])
@virtual_time
async def test_speech_stops_it(by: Interruptible, law: Any) -> None:
    async def act(call: Call) -> tuple[bool, object]:
        playout = await call.playout()
        return await prompt(call, spoken("A prompt of two seconds", 2000, law), by), playout.listener

    line = VirtualLine(format=law)
    assert await run(act, after(1, speaks), line, law=law) == (False, None)
    cut = line.log.find("cut")[0]
    assert 1000 < cut.ms < 1300


@virtual_time
async def test_speech_does_not_stop_what_only_a_key_may_stop() -> None:
    assert await run(lambda call: prompt(call, TEXT, "dtmf"), after(0.5, speaks)) is True


@virtual_time
async def test_whoever_listened_before_listens_again() -> None:
    async def before(audio: bytes) -> None:
        pass

    async def act(call: Call) -> list[object]:
        playout = await call.playout()
        playout.listener = before
        found: list[object] = [await prompt(call, TEXT, "speech"), playout.listener is before]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await prompt(call, TEXT, "any")
        found.append(playout.listener is before)
        playout.listener = None
        return found

    line = VirtualLine()
    assert await run(act, None, line) == [True, True, True]
    assert [(entry.what, entry.ms) for entry in line.log.find("heard", "cut")] == [("heard", 2000), ("cut", 500)]


@virtual_time
async def test_nothing_to_say_is_said_at_once() -> None:
    async def act(call: Call) -> tuple[bool, float]:
        heard = await prompt(call, b"", "any")
        return heard, asyncio.get_running_loop().time()

    assert await run(act) == (True, 0.0)


@virtual_time
async def test_a_prompt_that_cannot_be_made() -> None:
    class Broken:
        async def audio(self, *args: Any, **options: Any) -> bytes:
            raise VoiceError("no such speaker")

    async def act(call: Call) -> str:
        with pytest.raises(StepError) as caught:
            await synthesise(call, "Hello")
        return str(caught.value)

    assert await run(act, speech=Broken()) == "the prompt cannot be spoken: no such speaker"


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def reads(**options: Any) -> Act:
    given: dict[str, Any] = {"most": 3, "first_within": 2.0, "between": 1.0, "finish": "#", **options}

    async def act(call: Call) -> tuple[str, float]:
        digits = await collect(call, TEXT, **given)
        return digits, round(asyncio.get_running_loop().time(), 2)

    return act


def types(*acts: tuple[float, str]) -> Any:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        for seconds, key in acts:
            await line.caller.waits(seconds)
            if not line.ended.done():  # it was too late
                await line.caller.presses(key)

    return script


@pytest.mark.parametrize(
    ("acts", "digits", "at"),
    [
        ([], "", 4.0),  # the prompt, then two seconds
        ([(3.9, "1")], "1", 4.9),
        ([(4.1, "1")], "", 4.0),
        ([(1.0, "1")], "1", 2.0),  # it interrupts the prompt
        ([(1.0, "1"), (0.9, "2"), (0.9, "3")], "123", 2.8),  # so many are enough
        ([(1.0, "1"), (1.1, "2")], "1", 2.0),
        ([(1.0, "1"), (0.5, "#")], "1", 1.5),
        ([(1.0, "#")], "", 1.0),
        ([(0.0, "1"), (0.0, "2"), (0.0, "3"), (0.0, "4")], "123", 0.0),
    ],
)
@virtual_time
async def test_keys_are_read_in_their_time(acts: Any, digits: str, at: float) -> None:
    assert await run(reads(), types(*acts)) == (digits, at)


@virtual_time
async def test_without_a_finishing_key_all_keys_are_input() -> None:
    assert await run(reads(finish=""), types((0.5, "#"), (0.5, "*"))) == ("#*", 2.0)


@virtual_time
async def test_a_key_is_a_sign_of_life() -> None:
    jumps: list[int] = []

    async def act(call: Call) -> None:
        call.walker._jumps = 30
        await collect(call, TEXT, most=1, first_within=1.0)
        jumps.append(call.walker._jumps)

    await run(act, types((0.5, "1")))
    await run(act)
    assert jumps == [0, 30]


@pytest.mark.parametrize("at", [0.5, 2.5])
@virtual_time
async def test_a_caller_who_hangs_up_ends_the_call_while_keys_are_read(at: float) -> None:
    async def leaves(line: VirtualLine) -> None:
        await line.caller.hangs_up()

    line = VirtualLine()
    assert await run(reads(), after(at, leaves), line) is None
    assert line.log.now == pytest.approx(at)
