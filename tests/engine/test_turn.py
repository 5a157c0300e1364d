from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.turn import Turn, TurnOptions
from engine.turn_events import (
    Action,
    CallerPauses,
    CallerSounds,
    CallerSpeaks,
    Comfort,
    End,
    Fill,
    FinishAsked,
    Hush,
    Nudge,
    PlayedOut,
    RanDry,
    Reprompt,
    Tick,
    ToolClosed,
    ToolOpened,
    TurnEvent,
    VoiceAsked,
    VoiceCut,
    VoiceEnded,
    VoiceSpeaks,
)  # fmt: skip

OPTIONS = TurnOptions(silence=8, reprompts=2, answer_within=6, farewell=4, longest_speech=60, comfort_after=None)


def turn(*events: TurnEvent, **options: object) -> Turn:
    """A conversation in which these events happened, one second after the other, from second 1."""
    made = Turn(replace(OPTIONS, **options), 0.0)  # type: ignore[arg-type]
    for second, event in enumerate(events, 1):
        assert not [action for action in made.handle(event, float(second)) if isinstance(action, End)]
    return made


def ticks(made: Turn, until: float = 1000.0) -> list[tuple[float, Action]]:
    """What happens when nothing happens any more."""
    found: list[tuple[float, Action]] = []
    now = 0.0
    while (due := made.deadline()) is not None and due <= until and not made.ended:
        assert due >= now or not found, "time goes backwards"
        now = max(now, due)
        found += [(now, action) for action in made.handle(Tick(), now)]
    return found


# ── Silence ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_silence_reprompts_and_then_gives_up() -> None:
    made = turn()
    assert made.deadline() == 8
    for count in (1, 2):
        now = made.deadline()
        assert now is not None
        assert made.handle(Tick(), now) == [Reprompt(count)]
        made.handle(VoiceSpeaks(f"r{count}"), now + 1)
        assert made.deadline() is None
        made.handle(PlayedOut(f"r{count}"), now + 2)
        assert made.deadline() == now + 2 + 8
    assert made.handle(Tick(), 28.0) == [End("silence")]
    assert made.handle(CallerSpeaks(), 29.0) == []


def test_an_answer_that_failed_is_asked_for_again_soon_and_a_second_one_ends_it() -> None:
    made = turn(CallerSpeaks(), CallerPauses())
    assert made.handle(VoiceEnded(spoke=False, failed=True), 3.0) == []
    assert made.deadline() == 4.0
    assert made.handle(Tick(), 4.0) == [Reprompt(1)]
    assert made.handle(VoiceEnded(spoke=False, failed=True), 5.0) == [End("failed")]


def test_an_answer_between_two_failures_forgives_the_first() -> None:
    made = turn(VoiceEnded(spoke=False, failed=True), VoiceSpeaks("a"), VoiceEnded(), PlayedOut("a"))
    assert made.handle(VoiceEnded(spoke=False, failed=True), 5.0) == []


def test_what_it_was_told_to_say_forgives_nothing() -> None:
    made = turn(VoiceEnded(spoke=False, failed=True), VoiceAsked(), VoiceSpeaks("a"), VoiceEnded(), PlayedOut("a"))
    assert made.handle(VoiceEnded(spoke=False, failed=True), 6.0) == [End("failed")]


def test_a_word_of_the_caller_starts_the_count_again() -> None:
    made = turn()
    made.handle(Tick(), 8)
    made.handle(CallerSpeaks(), 9)
    made.handle(CallerPauses(), 10)
    made.handle(VoiceSpeaks("a"), 11)
    made.handle(PlayedOut("a"), 12)
    assert made.handle(Tick(), 20) == [Reprompt(1)]


def test_the_silence_timer_runs_from_the_end_of_what_is_heard() -> None:
    made = turn(VoiceAsked(), VoiceSpeaks("a"), VoiceEnded())
    assert made.deadline() is None  # a long utterance plays as long as it takes
    made.handle(PlayedOut("a"), 100)
    assert made.deadline() == 108


def test_a_reprompt_that_is_never_spoken_is_a_stall() -> None:
    assert ticks(turn()) == [(8, Reprompt(1)), (14, End("stalled"))]


def test_no_silence_limit_no_deadline() -> None:
    assert turn(silence=None).deadline() is None


def test_for_the_caller_an_empty_answer_is_one_that_failed() -> None:
    made = turn(CallerSpeaks(), CallerPauses())
    assert made.handle(VoiceEnded(spoke=False, empty=True), 3.0) == []
    assert made.handle(Tick(), 4.0) == [Reprompt(1)]


def test_an_empty_answer_that_nobody_waits_for_changes_nothing() -> None:
    made = turn(VoiceEnded(spoke=False, empty=True))
    assert made.deadline() == 8


def test_an_answer_that_only_calls_tools_leaves_owed_what_is_owed() -> None:
    made = turn(CallerSpeaks(), CallerPauses(), VoiceAsked(), VoiceEnded(spoke=False))
    assert made.handle(Tick(), 3 + 6) == [End("stalled")]


def test_without_a_silence_timer_a_failed_answer_is_still_owed() -> None:
    made = turn(CallerSpeaks(), CallerPauses(), VoiceEnded(spoke=False, failed=True), silence=None)
    assert made.handle(Tick(), 2 + 6) == [End("stalled")]


# ── A caller who waits ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "events",
    [
        (VoiceAsked(),),
        (CallerSpeaks(), CallerPauses()),
        (ToolOpened("t"),),
        (VoiceSpeaks("a"), RanDry()),
        (CallerSpeaks(), CallerPauses(), VoiceEnded(spoke=False, failed=True)),
    ],
)
def test_who_waits_hears_something_once(events: tuple[TurnEvent, ...]) -> None:
    made = turn(*events, comfort_after=0.5)
    waits = made.waiting_since
    assert waits is not None
    assert made.deadline() == waits + 0.5
    assert made.handle(Tick(), waits + 0.5) == [Comfort()]
    assert made.comforting
    assert made.handle(Tick(), waits + 0.6) == []
    made.handle(VoiceSpeaks("b"), waits + 1)
    assert not made.comforting


def test_nobody_waits_while_nothing_is_owed() -> None:
    made = turn(VoiceAsked(), VoiceSpeaks("a"), VoiceEnded(), PlayedOut("a"), comfort_after=0.5)
    assert made.deadline() == 4 + 8


def test_a_caller_who_speaks_ends_the_comfort() -> None:
    made = turn(CallerSpeaks(), CallerPauses(), comfort_after=0.5)
    assert made.handle(Tick(), 2.5) == [Comfort()]
    assert made.handle(CallerSpeaks(), 3) == [Hush()]
    assert not made.comforting


def test_a_lost_end_of_speech_is_noticed_by_the_line() -> None:
    made = turn(CallerSpeaks(), comfort_after=1.5)
    for tenth in range(11, 21):
        assert made.handle(CallerSounds(True), tenth / 10) == []
    assert made.handle(CallerSounds(False), 3.3) == []
    assert made.handle(CallerSounds(False), 3.4) == []
    assert (made.caller_speaks_since, made.owed_since) == (None, 3.4)
    assert made.handle(Tick(), 3.5) == [Comfort()], "1.5 s after the last sound"
    assert made.handle(CallerSounds(True), 3.8) == [Hush()]
    assert made.caller_speaks_since == 3.8, "who goes on to speak is heard again"
    made.handle(CallerPauses(), 4.0)
    assert made.handle(CallerSounds(True), 4.1) == [], "the voice knows of it again"


def test_speech_of_nobody_is_noticed_by_the_line() -> None:
    made = turn(VoiceAsked(), VoiceSpeaks("a"), CallerSpeaks())
    assert made.handle(CallerSounds(False), 3 + 1.3) == []
    assert made.handle(CallerSounds(False), 3 + 1.4) == [Nudge()]
    assert made.owed_since == 3 + 1.4


def test_a_turn_that_the_voice_has_missed_is_noticed_once() -> None:
    made = turn()
    for _ in range(2):
        for tenth in range(10, 16):
            assert made.handle(CallerSounds(True), tenth / 10) == []
        assert made.handle(CallerSounds(False), 2.8) == []
        expected = [] if made.nudged else [Nudge()]
        assert made.handle(CallerSounds(False), 2.9) == expected
    assert made.owed_since == 2.9
    made.handle(VoiceSpeaks("a"), 3.5)
    assert made.nudged, "else noise would have it speak for ever"
    made.handle(CallerSpeaks(), 4.0)
    assert not made.nudged


def test_late_words_of_a_voice_that_hears_while_it_speaks_end_no_wait() -> None:
    made = turn(CallerSpeaks(), duplex=True, comfort_after=1.5)
    made.handle(CallerSounds(True), 1.2)
    made.handle(CallerPauses(), 2.2)
    assert made.handle(CallerSpeaks(), 2.5) == []
    made.handle(CallerPauses(), 2.6)
    assert made.handle(Tick(), 1.2 + 1.5) == [Comfort()]


def test_a_cough_is_no_turn() -> None:
    made = turn()
    for tenth in (10, 12, 14):
        made.handle(CallerSounds(True), tenth / 10)
    assert made.handle(CallerSounds(False), 3.0) == []
    assert made.owed_since is None


def test_waiting_counts_from_what_the_line_heard_last() -> None:
    made = turn(CallerSpeaks(), comfort_after=1.5)
    made.handle(CallerSounds(True), 1.4)
    made.handle(CallerPauses(), 2.0)
    assert made.deadline() == 1.4 + 1.5
    assert made.owed_since == 2.0


def test_who_is_given_time_to_think_does_not_wait_meanwhile() -> None:
    made = turn(CallerSpeaks(), comfort_after=1.5, fell_silent_after=4.0)
    made.handle(CallerSounds(True), 1.2)
    assert made.handle(CallerSounds(False), 4.0) == []
    made.handle(CallerPauses(), 4.2)
    assert made.deadline() == pytest.approx(4.2 - 0.8 + 1.5)


def test_who_speaks_into_the_comfort_does_not_need_it() -> None:
    made = turn(CallerSpeaks(), CallerPauses(), comfort_after=0.5)
    assert made.handle(Tick(), 2.5) == [Comfort()]
    assert made.handle(CallerSounds(True), 3.0) == []
    assert (made.comforting, made.waiting_since) == (False, 3.0)


# ── What the voice owes ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "events",
    [
        (VoiceAsked(),),
        (CallerSpeaks(), CallerPauses()),
        (ToolOpened("t"), ToolClosed("t")),
        (VoiceSpeaks("a"), RanDry()),
    ],
)
def test_a_voice_that_owes_speech_and_gives_none_has_failed(events: tuple[TurnEvent, ...]) -> None:
    made = turn(*events)
    assert ticks(made) == [(len(events) + 6, End("stalled"))]


def test_speech_after_running_dry_goes_on() -> None:
    made = turn(VoiceSpeaks("a"), RanDry(), RanDry(), VoiceSpeaks("a"))
    assert made.deadline() is None
    made.handle(PlayedOut("a"), 9)
    assert made.deadline() == 17


def test_something_asked_for_during_an_utterance_is_owed_from_its_end() -> None:
    made = turn(VoiceSpeaks("long"), VoiceAsked())
    assert made.deadline() is None
    made.handle(PlayedOut("long"), 60)
    assert ticks(made) == [(66, End("stalled"))]


def test_a_tool_result_given_while_the_caller_speaks_is_not_owed_before_they_stop() -> None:
    made = turn(ToolOpened("t"), CallerSpeaks(), ToolClosed("t"))
    assert made.deadline() == 2 + 60
    made.handle(CallerPauses(), 30)
    assert made.deadline() == 36


def test_only_the_last_of_several_tools_leaves_an_answer_owed() -> None:
    made = turn(ToolOpened("a"), ToolOpened("b"), ToolClosed("a"))
    assert made.deadline() is None
    made.handle(ToolClosed("b"), 9)
    assert made.deadline() == 15


def test_a_cancelled_tool_leaves_silence() -> None:
    assert turn(ToolOpened("a"), ToolClosed("a", owed=False)).deadline() == 10


# ── The caller speaks ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_barge_in_silences_the_line_at_once_and_only_once() -> None:
    made = turn(VoiceSpeaks("a"))
    assert made.handle(CallerSpeaks(), 2) == [Hush()]
    assert made.handle(CallerSpeaks(), 3) == []
    made.handle(PlayedOut("a"), 3)
    assert made.handle(CallerPauses(), 4) == []
    assert made.deadline() == 10


def test_a_caller_who_speaks_before_the_answer_comes_takes_it_back() -> None:
    made = turn(CallerSpeaks(), CallerPauses())
    assert made.handle(CallerSpeaks(), 3) == [Hush()]


def test_speaking_into_silence_silences_nothing() -> None:
    assert turn().handle(CallerSpeaks(), 1) == []


def test_no_interruptions_where_the_flow_allows_none() -> None:
    made = turn(VoiceSpeaks("a"), allow_interruptions=False)
    assert made.handle(CallerSpeaks(), 2) == []
    assert made.handle(CallerPauses(), 3) == []
    assert made.deadline() is None  # the utterance is heard to its end, however long it is
    made.handle(PlayedOut("a"), 60)
    assert made.deadline() == 68
    assert made.handle(CallerSpeaks(), 61) == []
    assert made.caller_speaks_since == 61


def test_speech_without_an_end_is_noise() -> None:
    made = turn(CallerSpeaks())
    made.handle(CallerSpeaks(), 30)  # said again: still the same speech
    assert made.deadline() == 61
    assert made.handle(Tick(), 61) == []
    assert made.deadline() == 69
    assert made.handle(Tick(), 69) == [Reprompt(1)]


def test_a_voice_that_stops_itself_although_nobody_speaks_is_asked_to_go_on() -> None:
    made = turn(VoiceSpeaks("a"))
    assert made.handle(VoiceCut(), 2) == [Hush()]
    assert made.handle(VoiceCut(), 3) == []
    assert made.handle(CallerSounds(False), 2 + 1.4) == [Nudge()]
    assert made.handle(Tick(), 3.4 + 6) == [End("stalled")]


# ── Tools and fillers ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_tool_that_takes_long_is_filled_once() -> None:
    made = turn(ToolOpened("menu", 0.8))
    assert made.handle(Tick(), 1.8) == [Fill("menu")]
    made.handle(VoiceAsked(), 1.8)
    made.handle(VoiceSpeaks("filler"), 2)
    made.handle(PlayedOut("filler"), 3)
    assert made.deadline() is None
    made.handle(ToolClosed("menu"), 5)
    assert made.deadline() == 11


def test_a_filler_waits_for_whoever_speaks() -> None:
    made = turn(VoiceSpeaks("a"), ToolOpened("menu", 0.8))
    assert made.deadline() is None
    assert made.handle(Tick(), 3) == []
    made.handle(PlayedOut("a"), 5)
    assert made.handle(Tick(), 5) == [Fill("menu")]
    made = turn(ToolOpened("menu", 0.8), CallerSpeaks())
    assert made.handle(Tick(), 3) == []
    made.handle(CallerPauses(), 4)
    assert made.handle(Tick(), 4) == [Fill("menu")]


def test_no_filler_for_a_tool_that_was_quick() -> None:
    made = turn(ToolOpened("menu", 5.0), ToolClosed("menu"))
    assert ticks(made) == [(8, End("stalled"))]


def test_silence_is_not_counted_while_a_tool_runs() -> None:
    assert turn(ToolOpened("slow")).deadline() is None


# ── The end ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_finish_in_silence_ends_at_once() -> None:
    assert turn().handle(FinishAsked("ordered"), 1) == [End("exit", "ordered")]


def test_finish_lets_the_running_utterance_play_out() -> None:
    made = turn(VoiceSpeaks("bye"), FinishAsked("ordered"), VoiceEnded())
    assert made.handle(PlayedOut("bye"), 5) == [End("exit", "ordered")]
    assert made.ended


def test_a_farewell_has_its_bound_and_no_second_finish_moves_it() -> None:
    made = turn(VoiceSpeaks("blah"), FinishAsked("ordered"), ToolOpened("t", 0.1), FinishAsked("person"))
    assert ticks(made) == [(6, Hush()), (6, End("exit", "ordered"))]


def test_a_caller_may_interrupt_the_farewell() -> None:
    made = turn(VoiceSpeaks("bye"), FinishAsked("ordered"))
    assert made.handle(CallerSpeaks(), 3) == [Hush(), End("exit", "ordered")]


def test_a_farewell_that_the_voice_cuts_is_over() -> None:
    made = turn(VoiceSpeaks("bye"), FinishAsked("ordered"))
    assert made.handle(VoiceCut(), 3) == [Hush(), End("exit", "ordered")]


def test_the_last_turn_is_heard_before_the_step_ends() -> None:
    made = turn(VoiceSpeaks("a"), VoiceEnded(), VoiceSpeaks("b"), max_turns=2)
    assert made.handle(VoiceEnded(), 4) == []
    assert made.handle(PlayedOut("b"), 6) == [End("max_turns")]


def test_the_longest_duration_ends_it_at_once_when_the_voice_is_silent() -> None:
    made = turn(CallerSpeaks(), max_duration=30)
    assert made.deadline() == 30
    assert made.handle(Tick(), 29.9) == []
    assert made.handle(Tick(), 30) == [End("max_duration")]
    assert made.handle(CallerSpeaks(), 31) == []


def test_what_is_said_at_the_longest_duration_may_end_within_the_bound_of_a_farewell() -> None:
    made = turn(VoiceSpeaks("a"), max_duration=30)
    assert ticks(made) == [(34, Hush()), (34, End("max_duration"))]
    made = turn(VoiceSpeaks("a"), VoiceEnded(), max_duration=30)
    assert made.handle(Tick(), 30) == []
    assert made.handle(PlayedOut("a"), 31) == [End("max_duration")]


def test_an_exit_that_is_taken_in_the_last_words_is_the_way_out() -> None:
    made = turn(VoiceSpeaks("a"), VoiceEnded(), max_duration=30)
    assert made.handle(Tick(), 30) == []
    assert made.handle(FinishAsked("ordered"), 31) == []
    assert made.deadline() == 34
    assert made.handle(PlayedOut("a"), 32) == [End("exit", "ordered")]


# ── Whatever happens ──────────────────────────────────────────────────────────────────────────────────────────────────

ITEMS = st.sampled_from(["a", "b"])


class AnyConversation(RuleBasedStateMachine):
    """Any events in any order: nobody waits in silence without a deadline, and ticking always leads somewhere."""

    duplex = False

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turn = Turn(replace(OPTIONS, allow_interruptions=True, duplex=self.duplex), 0.0)
        self.tools: set[str] = set()
        self.ends = 0

    def take(self, event: TurnEvent) -> list[Action]:
        before = self.turn.ended
        actions = self.turn.handle(event, self.now)
        assert not (before and actions), "it acted after its end"
        ends = [action for action in actions if isinstance(action, End)]
        assert actions[-1:] == ends or not ends, "something follows the end"
        self.ends += len(ends)
        assert self.ends <= 1
        assert self.turn.ended == (self.ends == 1)
        return actions

    @rule(event=st.sampled_from([VoiceAsked(), CallerSpeaks(), CallerPauses(), RanDry(), VoiceCut(), Tick()]))
    def happens(self, event: TurnEvent) -> None:
        self.take(event)

    @rule(item=ITEMS)
    def voice_speaks(self, item: str) -> None:
        self.take(VoiceSpeaks(item))

    @rule(item=ITEMS)
    def played_out(self, item: str) -> None:
        self.take(PlayedOut(item))

    @rule(spoke=st.booleans(), failed=st.booleans())
    def voice_ended(self, spoke: bool, failed: bool) -> None:
        self.take(VoiceEnded(spoke, failed))

    @rule(name=st.sampled_from(["x", "y"]), after=st.none() | st.floats(0.1, 3))
    def tool_opens(self, name: str, after: float | None) -> None:
        self.tools.add(name)
        self.take(ToolOpened(name, after))

    @rule(name=st.sampled_from(["x", "y"]), owed=st.booleans())
    def tool_closes(self, name: str, owed: bool) -> None:
        self.tools.discard(name)
        self.take(ToolClosed(name, owed))

    @rule()
    @precondition(lambda self: self.turn.playing is not None)
    def finish(self) -> None:
        self.take(FinishAsked("x"))

    @rule(seconds=st.floats(0.01, 5))
    def time_passes(self, seconds: float) -> None:
        """As the engine lets it pass: ticking at every deadline on the way."""
        until = self.now + seconds
        for _ in range(50):
            due = self.turn.deadline()
            if due is None or due > until or self.turn.ended:
                break
            self.now = max(self.now, due)
            self.take(Tick())
        else:
            raise AssertionError(f"ticking leads nowhere: {self.turn}")
        self.now = until

    @invariant()
    def nobody_waits_in_silence_without_a_deadline(self) -> None:
        made = self.turn
        hears_the_voice = made.playing is not None and not made.dry
        if not made.ended and not hears_the_voice and not self.tools:
            assert made.deadline() is not None, made

    @invariant()
    def a_deadline_is_near(self) -> None:
        due = self.turn.deadline()
        assert due is None or due <= self.now + 60, "no deadline is farther away than the longest limit"

    def teardown(self) -> None:
        """Left alone, with tools that end and audio that plays, every conversation comes to its end."""
        for _ in range(30):
            for name in sorted(self.tools):
                self.take(ToolClosed(name))
            self.tools.clear()
            if self.turn.playing is not None:
                self.take(PlayedOut(self.turn.playing))
            self.time_passes(70)
        assert self.turn.ended


AnyConversation.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyConversation = AnyConversation.TestCase


class AnyDuplexConversation(AnyConversation):
    """The same of a voice that listens while it speaks."""

    duplex = True


AnyDuplexConversation.TestCase.settings = AnyConversation.TestCase.settings
TestAnyDuplexConversation = AnyDuplexConversation.TestCase
