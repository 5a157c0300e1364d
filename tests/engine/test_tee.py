"""Listening to a call on the virtual line: who is on which side, before and after the hand-off, and who is too slow."""

from __future__ import annotations

import asyncio
import audioop
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from engine.audio import tone
from engine.call import Call
from engine.line import LineError
from engine.outcome import Outcome
from engine.tee import FRAME, QUEUE, Listener, Lost, Moved, Muted, Over, Tee
from engine.virtual import VirtualLine, run, virtual_services
from flows.flow import Step
from flows.verb import Fields
from tests.engine.support import beside_script, flow, forever, make_call, speaks, step
from tests.engine.test_handoff import HandsOff, ringing

LOW, HIGH = 500.0, 1500.0
Script = Callable[[Call, VirtualLine], Awaitable[None]]


class Heard:
    """What one listener got."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.told: list[Any] = []
        self.listener = Listener()

    async def listen(self) -> None:
        async for heard in self.listener.heard():
            if type(heard) is bytes:
                assert len(heard) == 4 * FRAME
                self.frames.append(heard)
            else:
                self.told.append(heard)

    def side(self, left: bool) -> bytes:
        return audioop.tomono(b"".join(self.frames), 2, int(left), int(not left))

    def share(self, hertz: float, *, left: bool) -> float:
        """How much of this side's sound, without the silence around it, is a tone of this pitch."""
        every = memoryview(self.side(left)).cast("h")
        loud = [n for n, sample in enumerate(every) if abs(sample) > 100] or [0]
        samples = every[loud[0] : loud[-1] + 1]
        energy = sum(sample * sample for sample in samples)
        if not energy:
            return 0.0
        step = 2 * math.pi * hertz / 8000
        real = sum(sample * math.cos(step * n) for n, sample in enumerate(samples))
        imaginary = sum(sample * math.sin(step * n) for n, sample in enumerate(samples))
        return 2 * (real**2 + imaginary**2) / len(samples) / energy


@asynccontextmanager
async def listening(call: Call, *who: Heard) -> AsyncIterator[Tee]:
    tee = Tee(call)
    for one in who:
        tee.join(one.listener)
    running = asyncio.create_task(tee.run())
    reading = [asyncio.create_task(one.listen()) for one in who]
    try:
        yield tee
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.gather(*reading)


def a_call(script: Script, *steps: Step, **options: Any) -> None:
    async def call() -> None:
        line = VirtualLine(**options)
        made = make_call(flow(*steps), line, virtual_services())
        await beside_script(made, lambda: script(made, line))
        assert line.left_over == []
        assert made.taps == ()

    run(call())


async def hums(at: Any, call: Call) -> None:
    """The engine plays a tone for two seconds."""
    playout = await call.playout()
    await playout.play(tone((HIGH,), 2000, playout.law))


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_the_caller_is_left_and_the_engine_right(law: str) -> None:
    heard = Heard()

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.1)
        async with listening(call, heard):
            await line.caller.beeps(LOW, 2.0)
            await line.caller.waits(0.5)
        await line.caller.hangs_up()

    a_call(script, step(hums), step(forever), format=law)
    assert heard.told == [Moved("none"), Moved("engine"), Over("the call is over")]
    assert heard.share(LOW, left=True) > 0.9
    assert heard.share(HIGH, left=True) < 0.01
    assert heard.share(HIGH, left=False) > 0.9
    assert heard.share(LOW, left=False) < 0.01


def test_all_listeners_hear_the_same_of_one_tee() -> None:
    first, second = Heard(), Heard()

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        async with listening(call, first, second):
            await line.caller.beeps(LOW, 0.5)
            assert len(call.taps) == 1
        await line.caller.hangs_up()

    a_call(script, step(hums), step(forever))
    assert first.frames == second.frames != []


def test_after_the_hand_off_the_person_is_right() -> None:
    heard = Heard()
    act = HandsOff(ringing("pjsip:desk"))

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("connected")
        async with listening(call, heard):
            await line.caller.waits(0.2)
            line.legs[0]._speak(tone((HIGH,), 1000, "ulaw"))
            await line.caller.beeps(LOW, 1.0)
            await line.caller.waits(0.5)
        assert line.ears == []
        await line.caller.hangs_up()

    a_call(script, step(act), targets={"pjsip:desk": "answer"})
    assert heard.told[1:-1] == [Moved("bridge")]
    assert heard.share(LOW, left=True) > 0.9
    assert heard.share(HIGH, left=False) > 0.9


def test_it_goes_on_through_the_hand_off_to_the_end_of_the_call() -> None:
    heard = Heard()
    act = HandsOff(ringing("pjsip:desk"))

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        async with listening(call, heard):
            await line.log.until("connected")
            await line.caller.waits(1)
            await line.caller.hangs_up()
            await asyncio.sleep(0.5)
            assert heard.told[-1] == Over("the call is over")

    a_call(script, step(speaks("Hello.")), step(act), targets={"pjsip:desk": "answer"})
    sources = [told.source for told in heard.told if isinstance(told, Moved)]
    assert [source for source in sources if source != "none"] == ["engine", "bridge"]


def test_the_flow_goes_on_after_the_person() -> None:
    """The engine speaks again at the very moment at which the person is gone."""
    heard = Heard()
    act = HandsOff(ringing("pjsip:desk"))

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("connected")
        async with listening(call, heard):
            await line.log.until("hung_up", who="pjsip:desk")
            await line.caller.waits(2.5)
        await line.caller.hangs_up()

    desk = {"answer": 1, "hangs_up_after": 3}
    a_call(script, step(act), step(hums), step(forever), targets={"pjsip:desk": desk})
    sources = [told.source for told in heard.told if isinstance(told, Moved)]
    assert sources in (["none", "bridge", "engine"], ["none", "bridge", "none", "engine"])
    assert heard.share(HIGH, left=False) > 0.9


def test_a_line_that_cannot_be_overheard_ends_nothing() -> None:
    heard = Heard()
    act = HandsOff(ringing("pjsip:desk"))

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("connected")
        async with listening(call, heard):
            await line.caller.waits(5)
            assert call.with_person
        await line.caller.hangs_up()

    a_call(script, step(act), targets={"pjsip:desk": "answer"}, faults={"overhear": LineError("no")})
    assert heard.told == [Moved("none"), Over("the call is over")]
    assert heard.frames == []


class Secret(Fields):
    sensitive: bool = True


@pytest.mark.parametrize("late", [False, True])
def test_nobody_hears_a_sensitive_step(late: bool) -> None:
    """Neither who listened before, nor who comes in the middle of it."""
    heard = Heard()
    began, ends = asyncio.Event(), asyncio.Event()

    async def reads(at: Any, call: Call) -> Outcome | None:
        began.set()
        await ends.wait()
        return None

    async def script(call: Call, line: VirtualLine) -> None:
        await line.log.until("answered")
        if late:
            await began.wait()
        async with listening(call, heard):
            await began.wait()
            await line.caller.waits(0.1)
            before = len(heard.frames)
            await line.caller.beeps(LOW, 1.0)
            assert len(heard.frames) == before
            ends.set()
            await line.caller.beeps(LOW, 1.0)
        await line.caller.hangs_up()

    async def media(at: Any, call: Call) -> None:
        await call.playout()

    a_call(script, step(media), replace(step(reads), fields=Secret()), step(forever))
    assert [told for told in heard.told if isinstance(told, Muted)] == [Muted(True), Muted(False)]
    assert 30 < len(heard.frames) < 60


def test_who_is_too_slow_loses_frames_and_is_told() -> None:
    async def check() -> None:
        listener = Listener()
        for _ in range(QUEUE + 7):
            listener.give(b"f")
        heard = listener.heard()
        assert [await anext(heard) for _ in range(QUEUE)] == [b"f"] * QUEUE
        listener.give(b"g")
        listener.give(Over("done"))
        assert [one async for one in heard] == [Lost(7), b"g", Over("done")]

    run(check())


def test_what_is_told_is_never_lost() -> None:
    async def check() -> None:
        listener = Listener()
        for _ in range(QUEUE + 1):
            listener.give(b"f")
        listener.give(Over("the call is over"))
        assert [one async for one in listener.heard()][-1] == Over("the call is over")

    run(check())
