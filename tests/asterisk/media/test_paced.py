"""What AudioSocket and RTP share, tick by tick."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk.media.leg import Closed, Drained, MarkReached, MediaEvent
from asterisk.media.paced import UNREAD_LIMIT, PacedLeg
from asterisk.media.pacer import Pacer

FRAME = 320
SILENCE = b"\0" * FRAME


class StillPacer(Pacer):
    """A clock that the test moves."""

    def join(self, tick) -> None:
        self._ticks.add(tick)

    def tick(self) -> None:
        for tick in tuple(self._ticks):
            tick(0.0)


class Wire(PacedLeg):
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open = True
        self.clock = StillPacer()
        super().__init__(self.clock, channel_id="c", format="slin")

    def _transmit(self, frame: bytes) -> None:
        self.sent.append(frame)

    def _disconnect(self) -> None:
        self.open = False

    def hear(self, event: MediaEvent) -> None:
        self._emit(event)

    @property
    def unread(self) -> list[MediaEvent]:
        return list(self._unread)


async def test_every_tick_sends_a_frame_silence_when_there_is_nothing() -> None:
    leg = Wire()
    await leg.send(b"a" * FRAME * 2)
    for _ in range(4):
        leg.clock.tick()
    assert leg.sent == [b"a" * FRAME, b"a" * FRAME, SILENCE, SILENCE]


async def test_marks_come_when_the_frame_before_them_has_been_played() -> None:
    leg = Wire()
    await leg.mark("now")
    await leg.send(b"a" * FRAME)
    await leg.mark("one")
    await leg.send(b"b" * FRAME)
    await leg.mark("two")
    seen = []
    for _ in range(4):
        leg.clock.tick()
        seen.append(leg.unread)
        leg._unread.clear()
    assert seen == [[MarkReached("now")], [MarkReached("one")], [MarkReached("two"), Drained()], []]


async def test_half_a_frame_waits_a_little_and_is_completed() -> None:
    leg = Wire()
    await leg.send(b"a" * 100)
    leg.clock.tick()
    await leg.send(b"b" * 220)
    leg.clock.tick()
    await leg.send(b"c" * 100)
    for _ in range(4):
        leg.clock.tick()
    assert leg.sent == [SILENCE, b"a" * 100 + b"b" * 220, SILENCE, SILENCE, b"c" * 100 + b"\0" * 220, SILENCE]
    assert leg.unread == [Drained()]


@given(st.integers(0, 30), st.integers(0, 20), st.integers(0, FRAME - 2))
async def test_a_flush_is_exact(frames: int, played: int, rest: int) -> None:
    leg = Wire()
    await leg.send(b"a" * (frames * FRAME + rest // 2 * 2))
    await leg.mark("never")
    for _ in range(min(played, frames)):
        leg.clock.tick()
    heard = leg.sent.count(b"a" * FRAME)
    assert await leg.flush() == ((frames - heard) * FRAME + rest // 2 * 2) // 16
    leg._unread.clear()
    leg.clock.tick()
    assert leg.sent[-1] == SILENCE
    assert leg.unread == []


async def test_events_end_with_closed() -> None:
    leg = Wire()
    leg.hear(b"x")
    await leg.close()
    await leg.close()
    assert [event async for event in leg.events()] == [b"x", Closed("closed by the engine")]
    assert not leg.open
    await leg.send(b"a" * FRAME)
    await leg.mark("m")
    leg.clock.tick()
    assert leg.sent == []


async def test_audio_that_nobody_takes_is_dropped_but_no_event() -> None:
    leg = Wire()
    for _ in range(UNREAD_LIMIT + 5):
        leg.hear(b"x")
    leg.hear(MarkReached("m"))
    assert len(leg.unread) == UNREAD_LIMIT + 1
    assert leg.dropped == 5


@pytest.mark.parametrize("late", [False, True])
async def test_whoever_waits_is_woken(late: bool) -> None:
    leg = Wire()
    events = leg.events()
    if not late:
        leg.hear(b"x")
        assert await anext(events) == b"x"
        return
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    leg.hear(b"y")
    assert await waiting == b"y"


async def test_a_leg_whose_tick_fails_is_closed_and_not_mute() -> None:
    class Broken(Wire):
        def _transmit(self, frame: bytes) -> None:
            raise ValueError("no frame like this")

    leg = Broken()
    with pytest.raises(ValueError, match="no frame"):
        leg.clock.tick()
    assert leg.is_closed
    assert not leg.open
    assert leg.unread == [Closed("its clock failed: ValueError: no frame like this")]
