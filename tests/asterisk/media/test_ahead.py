"""Writing ahead, against a simulated queue on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asterisk.media.ahead import DEAF_S, Flushed, WriteAhead
from asterisk.media.control import MarkProcessed, Status, parse
from asterisk.media.leg import Drained, MarkReached

from .simulated import TICK, SimulatedQueue

FRAME = 160
SILENCE = b"\xff" * FRAME


class Rig:
    """A WriteAhead joined to a simulated queue; `run` moves the clock by a millisecond at a time."""

    def __init__(self, phase: float = 0.007) -> None:
        self.now = 0.0
        self.ahead = WriteAhead("ulaw", FRAME, 0.0)
        self.asterisk = SimulatedQueue(FRAME, phase)
        self.events: list[tuple[float, object]] = []
        self.statuses: list[Status] = []
        self.messages: list[bytes | str] = []
        self._wake_at = 0.0

    def run(self, ms: int, each: Callable[[], None] = lambda: None) -> None:
        for _ in range(ms):
            each()
            self.now += 0.001
            self.asterisk.run_to(self.now)
            self.exchange()
            if min(self._wake_at, self.ahead.wake_at) <= self.now:
                self._wake_at = self.ahead.wake(self.now)
            self.exchange()

    def exchange(self) -> None:
        while self.ahead.outbox or self.asterisk.answers:
            while self.ahead.outbox:
                self.messages.append(self.ahead.outbox[0])
                self.asterisk.write(self.ahead.outbox.popleft())
            while self.asterisk.answers:
                event = parse(self.asterisk.answers.popleft())
                if isinstance(event, MarkProcessed):
                    self.events += ((self.now, said) for said in self.ahead.processed(event, self.now))
                elif isinstance(event, Status):
                    self.statuses.append(event)

    def send(self, audio: bytes) -> None:
        """As the leg does it: at once where there is room, else by way of the backlog."""
        if len(audio) <= self.ahead.room and len(audio) % FRAME == 0:
            self.ahead.direct(len(audio), self.now)
            self.messages.append(audio)
            self.asterisk.write(audio)
        else:
            self.ahead.send(audio, self.now)
            self.exchange()

    def mark(self, name: str) -> None:
        self.ahead.mark(name, self.now)
        self.exchange()

    def flush(self) -> Flushed:
        flushed = self.ahead.flush(self.now)
        self.exchange()
        return flushed

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        """Frames that are not silence of ours."""
        return [(at, frame) for at, frame in self.asterisk.played if frame and frame != SILENCE]

    @property
    def holes(self) -> int:
        """Ticks with nothing to play."""
        return sum(1 for _, frame in self.asterisk.played if frame is None)

    def said(self, kind: type) -> list[tuple[float, object]]:
        return [(at, event) for at, event in self.events if isinstance(event, kind)]


def tone(frames: int, start: int = 0) -> bytes:
    """Frames that can be told apart, and from silence."""
    return b"".join(bytes([(start + n) % 200 + 1]) * FRAME for n in range(frames))


def test_an_idle_line_hears_silence_without_a_hole_and_with_few_messages() -> None:
    rig = Rig()
    rig.run(10_000)
    assert rig.holes <= 1  # the first tick may come before the first write
    assert len(rig.messages) <= 26
    assert not rig.asterisk.dropped
    assert not rig.events


def test_a_long_burst_lies_in_asterisk_for_two_seconds_at_most_and_is_played_whole() -> None:
    rig = Rig()
    rig.run(300)
    rig.asterisk.longest = 0
    audio = tone(1000)
    rig.send(audio)
    rig.mark("end")
    rig.run(21_000)
    assert rig.asterisk.longest <= 100
    assert b"".join(frame for _, frame in rig.heard) == audio
    assert rig.holes <= 1
    [(marked_at, mark)] = rig.said(MarkReached)
    assert mark == MarkReached("end")
    assert marked_at == pytest.approx(rig.heard[-1][0] + TICK, abs=0.002)
    [(drained_at, _)] = rig.said(Drained)
    assert drained_at == pytest.approx(marked_at, abs=0.002)


def test_speech_after_idleness_goes_out_on_the_next_tick_whole() -> None:
    for offset in range(0, 1100, 37):
        rig = Rig()
        rig.run(1000 + offset)
        rig.send(tone(20))
        sent_at = rig.now
        rig.run(1000)
        assert rig.heard[0][0] - sent_at <= TICK
        assert b"".join(frame for _, frame in rig.heard) == tone(20)
        assert rig.heard[-1][0] - rig.heard[0][0] == pytest.approx(19 * TICK)
        assert rig.holes <= 1


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_audio_at_the_pace_of_speech_neither_thrashes_nor_gains_gaps(frames: int) -> None:
    rig = Rig()
    rig.run(1500)
    before, flushes = len(rig.messages), rig.asterisk.flushes
    pieces = 100 // frames
    for number in range(pieces):
        rig.send(tone(frames, number * frames))
        rig.run(20 * frames)
    during = len(rig.messages) - before
    rig.run(500)
    assert rig.asterisk.flushes == flushes + 1
    assert during <= pieces + 1 + 5  # the flush, and a mark each 500 ms
    assert b"".join(frame for _, frame in rig.heard) == tone(100)
    assert rig.heard[-1][0] - rig.heard[0][0] == pytest.approx(99 * TICK)
    assert len(rig.said(Drained)) == 1


def test_a_late_piece_costs_its_lateness_only() -> None:
    rig = Rig()
    rig.run(1500)
    for number, wait in enumerate([20, 20, 55, 20, 20, 20, 20, 20]):
        rig.send(tone(1, number))
        rig.run(wait)
    rig.run(500)
    steps = [round((b - a) / TICK) for (a, _), (b, _) in zip(rig.heard, rig.heard[1:], strict=False)]
    assert sum(step - 1 for step in steps) <= 2
    assert len(rig.said(Drained)) == 1


def test_a_last_half_frame_is_completed_with_silence() -> None:
    rig = Rig()
    rig.send(tone(3) + b"\x10" * 40)
    rig.mark("end")
    rig.run(400)
    assert rig.heard[-1][1] == b"\x10" * 40 + b"\xff" * 120
    assert [event for _, event in rig.events] == [MarkReached("end"), Drained()]
    assert not rig.asterisk.dropped


def test_pieces_of_any_length_are_joined_without_padding() -> None:
    rig = Rig()
    audio = tone(50)
    for at in range(0, len(audio), 333):
        rig.send(audio[at : at + 333])
        rig.run(10)
    rig.run(1500)
    assert b"".join(frame for _, frame in rig.heard) == audio


@pytest.mark.parametrize("play_ms", [50, 480, 1031, 3777])
def test_a_flush_knows_to_the_frame_what_was_heard(play_ms: int) -> None:
    rig = Rig()
    rig.run(700)
    rig.send(tone(250))
    rig.mark("never")
    rig.run(play_ms)
    flushed = rig.flush()
    heard = len(rig.heard) * 20
    assert flushed.asked
    assert heard + flushed.exact_ms(rig.statuses[-1]) == 5000
    assert abs(heard + flushed.estimated_ms - 5000) <= 20
    rig.run(1000)
    assert len(rig.heard) * 20 == heard
    assert not rig.events
    assert rig.holes <= 1


def test_a_flush_clears_a_pause() -> None:
    rig = Rig()
    rig.send(tone(50))
    rig.run(200)
    rig.asterisk.paused = True
    rig.flush()
    rig.send(tone(5, 100))
    rig.run(300)
    assert [frame for _, frame in rig.heard[-5:]] == [tone(1, 100 + n) for n in range(5)]


def test_a_flush_of_nothing_asks_nothing() -> None:
    rig = Rig()
    rig.run(500)
    before = len(rig.messages)
    flushed = rig.flush()
    assert (flushed.estimated_ms, flushed.asked) == (0, False)
    assert len(rig.messages) == before
    rig.send(tone(10))
    rig.run(1000)
    assert rig.flush().estimated_ms == 0
    assert [event for _, event in rig.events] == [Drained()]


def test_a_flush_cancels_a_mark_even_when_all_before_it_was_heard() -> None:
    rig = Rig()
    rig.run(500)
    rig.mark("cancelled")
    rig.flush()
    rig.run(500)
    assert not rig.events


def test_a_mark_on_an_idle_line_comes_at_once() -> None:
    rig = Rig()
    rig.run(1500)
    rig.mark("now")
    asked_at = rig.now
    rig.run(200)
    [(at, event)] = rig.events
    assert event == MarkReached("now")
    assert at - asked_at <= TICK + 0.001


def test_xoff_is_respected() -> None:
    rig = Rig()
    rig.run(100)
    rig.ahead.hold(True, rig.now)
    before = len(rig.messages)
    rig.send(tone(10))
    rig.run(200)
    assert len(rig.messages) == before
    rig.ahead.hold(False, rig.now)
    rig.run(300)
    assert b"".join(frame for _, frame in rig.heard) == tone(10)


def test_an_asterisk_that_answers_no_mark_is_deaf() -> None:
    ahead = WriteAhead("ulaw", FRAME, 0.0)
    ahead.send(tone(200), 0.0)
    assert not ahead.is_deaf(DEAF_S)
    assert ahead.is_deaf(DEAF_S + 0.1)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 6000)),
        st.tuples(st.just("wait"), st.integers(1, 900)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(operations, st.integers(0, 19))
@example([("send", 1), ("wait", 1), ("send", 160), ("flush", 0)], 0)  # silence lies before the real audio
@example([("wait", 1), ("mark", 0), ("wait", 1), ("mark", 0)], 0)  # the second mark flushes silence
def test_whatever_is_done_nothing_real_is_lost_or_miscounted(steps: list[tuple[str, int]], phase: int) -> None:
    rig = Rig(phase / 1000)
    sent = discarded = marks = cancelled = 0
    for what, amount in steps:
        if what == "send":
            rig.send(b"\x01" * amount)
            sent += amount
        elif what == "wait":
            rig.run(amount)
        elif what == "mark":
            rig.mark(f"m{marks}")
            marks += 1
        else:
            flushed = rig.flush()
            discarded += flushed.exact_ms(rig.statuses[-1]) if flushed.asked else flushed.estimated_ms
            cancelled = marks - len(rig.said(MarkReached))  # all that are still out, and those cancelled before
    rig.run(sent // 8 + 1500)
    heard = sum(frame.count(1) for _, frame in rig.heard)
    flushes = sum(1 for what, _ in steps if what == "flush")
    assert abs(sent - heard - discarded * 8) <= 20 * 8 * flushes  # the padding of a last frame counts as audio
    assert len(rig.said(MarkReached)) == marks - cancelled
    assert not rig.asterisk.dropped
    assert rig.asterisk.longest <= 100 + 2
    names = [event.name for _, event in rig.said(MarkReached) if isinstance(event, MarkReached)]
    assert names == sorted(names, key=lambda name: int(name[1:]))
