"""A voice that listens while it speaks: the engine lets it, and stops it only when it has given way itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.turn import (
    CallerPauses,
    CallerSounds,
    CallerSpeaks,
    End,
    FinishAsked,
    Hush,
    PlayedOut,
    Reprompt,
    Turn,
    TurnOptions,
    VoiceAsked,
    VoiceCut,
    VoiceEnded,
    VoiceSpeaks,
)
from engine.virtual import Closes, Says, VirtualLine, VirtualProvider, virtual_services, virtual_time
from engine.virtual.voice import CAPABILITIES
from providers.voice import Capabilities, Interrupted, SpeechStarted, SpeechStopped, ToolCall, TurnDone, UserText
from tests.engine.test_turn import ticks, turn
from tests.engine.verbs.phone import counted, dial, library
from tests.engine.verbs.talking import Directed, asks, audio, converse, directed, finish, outcome, sounds

DUPLEX = replace(CAPABILITIES, duplex=True, truncation=False)
ALONE = Capabilities(formats=CAPABILITIES.formats, tools=True, understands=True, turn_detection=True, duplex=True)


def duplex(*events: object, **options: object) -> Turn:
    return turn(*events, duplex=True, **options)  # type: ignore[arg-type]


# ── Turn-taking ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_caller_who_speaks_stops_nothing() -> None:
    made = duplex(VoiceAsked(), VoiceSpeaks("a"))
    assert made.handle(CallerSpeaks(), 3.0) == []
    assert made.playing == "a"
    assert made.handle(VoiceCut(), 4.0) == [Hush()], "the voice gave way: the rest of it is not wanted"


def test_nobody_is_asked_whether_they_are_there_while_they_speak() -> None:
    made = duplex(VoiceSpeaks("a"), CallerSpeaks(), VoiceEnded(), PlayedOut("a"), VoiceSpeaks("b"), PlayedOut("b"))
    assert made.deadline() == 2 + 60


def test_after_a_pause_the_voice_may_keep_silent() -> None:
    made = duplex(CallerSpeaks(), CallerPauses(), answer_within=3.0)
    assert ticks(made)[0] == (2 + 8, Reprompt(1)), "the silence counts, not a debt"


def test_a_caller_who_fell_silent_does_not_speak_and_is_owed_nothing() -> None:
    made = duplex(CallerSpeaks())
    assert made.handle(CallerSounds(loud=False), 2.0) == []
    assert made.caller_speaks_since == 1.0, "a breath"
    assert made.handle(CallerSounds(loud=False), 3.0) == []
    assert (made.caller_speaks_since, made.owed_since) == (None, None)


def test_what_was_asked_of_it_it_owes() -> None:
    made = duplex(VoiceAsked())
    assert ticks(made) == [(1 + 6, End("stalled"))]
    made = duplex(VoiceAsked(), CallerSpeaks(), CallerPauses())
    assert made.owed_since is None, "the caller came first"


def test_a_caller_who_speaks_into_the_farewell_hears_it_all_the_same() -> None:
    made = duplex(VoiceSpeaks("a"), FinishAsked("bye"))
    assert made.handle(CallerSpeaks(), 3.0) == []
    assert made.handle(PlayedOut("a"), 4.0) == [End("exit", "bye")]


def test_options_are_those_of_the_voice_that_talks() -> None:
    made = Turn(TurnOptions(), 0.0)
    made.handle(VoiceSpeaks("a"), 1.0)
    assert made.handle(CallerSpeaks(), 2.0) == [Hush()]


# ── On a line ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_both_speak_at_once_and_nothing_is_cut(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 2000))
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted(), UserText("Mm-hm.", item="c"), SpeechStopped())
        await line.caller.waits(0.5)
        voice.tells(TurnDone("completed", item="a"))
        await line.caller.waits(3)
        voice.tells(ToolCall("1", "finish", {"exit": "done_"}))

    over = await directed(tmp_path, acts, capabilities=ALONE, fields="silence: {reprompts: 0, after: 5s}")
    assert sounds(over)[0] == ("heard", 2000)
    assert outcome(over) == "done_"
    assert [said.text for said in over.record.transcript] == ["Mm-hm."]
    assert "barge_in_ms" not in over.record.timings
    assert not counted(over, "barge_in_total")


@virtual_time
async def test_when_it_gives_way_what_waits_is_dropped(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 3000))  # a network that was late
        await line.caller.waits(1.0)
        voice.tells(SpeechStarted(), Interrupted(), TurnDone("interrupted", item="a"), SpeechStopped())
        await line.caller.waits(0.5)
        voice.tells(audio("b", 500), TurnDone("completed", item="b"), ToolCall("1", "finish", {"exit": "done_"}))

    over = await directed(tmp_path, acts, capabilities=ALONE)
    (cut, ms), (heard, rest) = sounds(over)[:2]
    assert (cut, heard, rest) == ("cut", "heard", 500)
    assert 900 <= ms <= 1100
    assert outcome(over) == "done_"


@virtual_time
async def test_the_caller_speaks_for_long_and_is_not_asked_anything(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(SpeechStarted())
        await line.caller.says("A long story.", 6)
        voice.tells(SpeechStopped(), UserText("A long story."))
        await line.caller.waits(2)
        voice.tells(ToolCall("1", "finish", {"exit": "done_"}))

    over = await directed(
        tmp_path, acts, capabilities=ALONE, fields="answer_within: 1s\nsilence: {after: 3s, reprompts: 0}"
    )
    assert outcome(over) == "done_"


@virtual_time
async def test_a_voice_that_takes_turns_goes_on_after_it_and_is_interrupted_as_ever(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.waits(4.0)
        await line.caller.says("Stop it!", 0.6)

    first = VirtualProvider([[Closes()]], name="openai", capabilities=DUPLEX)
    second = VirtualProvider(
        [[Says("We have many dishes, all of them good, and more.", 6000)], [finish()]], name="grok"
    )
    services = virtual_services(first, default_voice="openai")
    services.voices.add("grok", second)
    services.voices.add("openai", first)
    fields = "provider: [openai, grok]\ngreeting: Hello."
    over = await dial(library(tmp_path, converse(fields)), script, provider=first, services=services)
    assert outcome(over) == "done_"
    assert any(what == "cut" for what, _ in sounds(over))
    assert counted(over, "barge_in_total") == 1
