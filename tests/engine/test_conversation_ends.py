"""How a conversation ends: voices that fail, limits, hang-ups at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.line import LineError
from engine.virtual import (
    Calls,
    Closes,
    Fails,
    Says,
    Stalls,
    VirtualLine,
    VirtualProvider,
    VirtualVoice,
    Waits,
    virtual_time,
)
from providers.voice import (
    TurnDone,
    VoiceError,
    VoiceEvent,
    VoiceText,
)
from tests.engine.verbs.phone import counted, dial, library
from tests.engine.verbs.talking import (
    LONG,
    Directed,
    asks,
    audio,
    converse,
    detail,
    directed,
    finish,
    interrupts,
    outcome,
    provider_of,
    quiet,
    sounds,
    talk,
)

# ── A voice that fails ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ([Stalls()], "no audio for 6 s"),
        ([Says("One mo", 400), Stalls()], "no audio for 6 s"),
        ([Fails("no such model", "bad")], "bad: no such model"),
        ([Fails()], "server_error: the provider failed"),
        ([Closes()], "the session ended"),
        ([Says("One mo", 400), Closes()], "the session ended"),
    ],
    ids=["owes an answer", "dry in a word", "fatal", "fatal by default", "closes", "closes in a word"],
)
@virtual_time
async def test_a_voice_that_is_gone_or_useless_ends_the_step(tmp_path: Path, reply: Any, said: str) -> None:
    replies = (reply, reply)  # a lost connection is tried again, once
    over = await talk(tmp_path, asks, *replies, fields="greeting: Hello.\nanswer_within: 6s", after="- say: Sorry.\n")
    assert (outcome(over), detail(over)) == ("provider_error", f"virtual: {said}")
    assert over.heard[-1] == "Sorry."


@virtual_time
async def test_a_greeting_that_is_never_spoken_is_a_stall(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        pass

    over = await directed(tmp_path, acts, fields="greeting: Hello.\nanswer_within: 4s")
    assert (outcome(over), detail(over)) == ("provider_error", "virtual: no audio for 4 s")
    assert over.record.steps[0].ms == 4100


@virtual_time
async def test_a_voice_that_runs_dry_and_goes_on_is_heard(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        for _ in range(4):
            voice.tells(audio("a", 200))
            await line.caller.waits(1.5)
        voice.tells(TurnDone("completed", item="a"), VoiceText("All of it", "a", final=True))

    over = await directed(tmp_path, acts, fields="answer_within: 2s\nsilence: {after: 3s, reprompts: 0}")
    assert sum(entry.ms for entry in over.line.log.find("heard")) == 800
    assert outcome(over) == "silence"
    assert over.record.transcript[-1].text == "All of it"


@virtual_time
async def test_an_error_that_is_recoverable_ends_nothing(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Fails("a hiccup", "rate", recoverable=True), Says("Pizza."), finish()])
    assert over.heard == ["Hello.", "Pizza."]
    assert outcome(over) == "done_"
    assert counted(over, "provider_errors_total", provider="virtual", kind="rate") == 1


@virtual_time
async def test_a_turn_that_failed_is_counted_and_the_talk_goes_on(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(TurnDone("failed", detail="content filter"))
        await line.caller.waits(0.5)
        voice.tells(audio("a", 300), TurnDone("completed", item="a"))

    over = await directed(tmp_path, acts)
    assert sounds(over) == [("heard", 300)]
    assert counted(over, "provider_errors_total", provider="virtual", kind="turn") == 1


class Breaks(VirtualVoice):
    """Its iterator raises what no voice should raise."""

    async def events(self) -> AsyncIterator[VoiceEvent]:
        async for event in super().events():
            if isinstance(event, TurnDone):
                raise KeyError("response.done")
            yield event


@virtual_time
async def test_a_voice_that_raises_ends_the_step_and_not_the_call(tmp_path: Path) -> None:
    over = await talk(tmp_path, quiet, after="- say: Sorry.\n", provider=provider_of(Breaks))
    assert (outcome(over), detail(over)) == ("provider_error", "virtual: KeyError: 'response.done'")
    assert over.heard[-1] == "Sorry."


@pytest.mark.parametrize("error", [OSError("gone"), KeyError("x")])
@virtual_time
async def test_a_voice_that_cannot_even_be_closed_changes_no_outcome(tmp_path: Path, error: Exception) -> None:
    class Clings(VirtualVoice):
        async def close(self) -> None:
            await super().close()
            raise error

    over = await talk(tmp_path, asks, provider=provider_of(Clings, [[finish()]]), after="- say: Next.\n")
    assert outcome(over) == "done_"

    async def leaves(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1)
        await line.caller.hangs_up()

    over = await talk(tmp_path, leaves, provider=provider_of(Clings), after="- say: Next.\n")
    assert over.ways == [("converse", "cancelled")]


@virtual_time
async def test_nobody_waits_for_a_voice_that_never_says_goodbye_and_it_is_left_after_two_seconds(
    tmp_path: Path,
) -> None:
    class Clings(VirtualVoice):
        async def close(self) -> None:
            await super().close()
            await asyncio.Event().wait()

    over = await talk(tmp_path, asks, provider=provider_of(Clings, [[finish()]]))
    said = over.line.log.find("said")[0].at
    assert over.record.steps[0].ms == int((said + 1.0 + 0.5) * 1000)
    assert asyncio.get_running_loop().time() == pytest.approx(said + 1.0 + 0.5 + 2.0, abs=0.01)


@pytest.mark.parametrize("method", ["say", "truncate", "tool_result"])
@virtual_time
async def test_a_voice_that_takes_no_command_is_gone(tmp_path: Path, method: str) -> None:
    async def hangs(*args: Any, **options: Any) -> None:
        await asyncio.Event().wait()

    kind = type("Hangs", (VirtualVoice,), {method: hangs})
    fields = "silence: {after: 4s}" if method == "say" else f"greeting: {LONG}"
    provider = provider_of(kind, [[finish("no such exit")], [Says("Yes?")]])
    over = await talk(tmp_path, quiet if method == "say" else interrupts, provider=provider, fields=fields)
    assert (outcome(over), detail(over)) == ("provider_error", "virtual: it took no command for 3 s")
    assert over.record.steps[0].ms < 8000  # type: ignore[operator]


@virtual_time
async def test_a_provider_that_takes_no_audio_is_gone(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, asks, provider=VirtualProvider(deaf=True), fields="greeting: Hello.", after="- say: Sorry.\n"
    )
    assert (outcome(over), detail(over)) == ("provider_error", "virtual: it took no audio for 3 s")
    assert over.heard[-1] == "Sorry."  # and the line is still alive


@virtual_time
async def test_a_provider_that_answers_before_its_command_is_confirmed_owes_nothing(tmp_path: Path) -> None:
    """The answer may overtake the end of the command: it must not be awaited a second time."""

    class Slow(VirtualVoice):
        async def say(self, text: str) -> None:
            await super().say(text)
            await asyncio.sleep(0.6)

        async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
            await super().tool_result(call_id, output, respond=respond)
            await asyncio.sleep(0.6)

    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.waits(4)
        await line.caller.says("One more time", 0.5)

    fields = "greeting: Hello.\nanswer_within: 2s\nsilence: {after: 6s, reprompts: 0}"
    over = await talk(
        tmp_path, script, fields=fields, provider=provider_of(Slow, [[finish("gone")], [Says("One, two.", 900)]])
    )
    assert outcome(over) == "silence"
    assert over.heard == ["Hello.", "One, two."]


@virtual_time
async def test_audio_that_breaks_off_while_the_caller_is_there_is_noticed(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.medias[0].close()

    over = await talk(tmp_path, script, after="- say: Can you hear me?\n")
    assert (outcome(over), detail(over)) == ("provider_error", "virtual: the audio of the call was lost")
    assert over.heard[-1] == "Can you hear me?"


@virtual_time
async def test_audio_that_ends_a_moment_before_the_call_is_a_hang_up(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.medias[0].close()
        await line.caller.waits(0.5)
        await line.caller.hangs_up()

    over = await talk(tmp_path, script, after="- say: Never.\n")
    assert over.ways == [("converse", "cancelled")]


# ── Connecting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("after", "said", "kind"),
    [
        (VoiceError("wrong key", code="auth"), "virtual: wrong key", "auth"),
        (VoiceError("no route"), "virtual: no route", "connect"),
        (60.0, "virtual: no session within 5 s", "timeout"),
    ],
)
@virtual_time
async def test_a_voice_that_cannot_be_reached(tmp_path: Path, after: Any, said: str, kind: str) -> None:
    over = await talk(tmp_path, quiet, provider=VirtualProvider(connects_after=after), after="- say: Sorry.\n")
    assert (outcome(over), detail(over)) == ("provider_error", said)
    assert counted(over, "provider_errors_total", provider="virtual", kind=kind) == 1
    assert over.heard == ["Sorry."]


@virtual_time
async def test_a_voice_is_closed_when_the_line_has_no_audio(tmp_path: Path) -> None:
    line = VirtualLine(faults={"open_media": LineError("no ports left")})
    over = await talk(tmp_path, quiet, line=line)
    assert (outcome(over), detail(over)) == ("provider_error", "no ports left")
    assert over.voice.closed


@virtual_time
async def test_a_voice_that_fails_at_once_does_not_wait_for_the_line(tmp_path: Path) -> None:
    line = VirtualLine(faults={"open_media": 4.0})
    over = await talk(tmp_path, quiet, line=line, provider=VirtualProvider(connects_after=VoiceError("no key")))
    assert outcome(over) == "provider_error"
    assert over.record.steps[0].ms == 0


@virtual_time
async def test_a_greeting_that_cannot_be_rendered_opens_no_session(tmp_path: Path) -> None:
    over = await talk(tmp_path, quiet, fields='greeting: "Hello, ${steps.talk.outcome.upperAscii()}."')
    assert outcome(over) == "provider_error"
    assert "0.flow.yaml:6:27: 'steps.talk.outcome' has no value yet" in detail(over)
    assert over.provider.voices == []


# ── Limits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_the_longest_talk_ends_whoever_speaks_within_four_seconds(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, asks, [Says(LONG, 20_000)], fields="greeting: Hello.\nmax_duration: 5s", after="- say: Time is up.\n"
    )
    assert outcome(over) == "max_duration"
    assert over.record.steps[0].ms == 9100
    assert over.heard == ["Hello.", f"{LONG}…", "Time is up."]
    assert over.line.log.find("heard")[-1].at < 10.0, "nothing is left of what was said"


@virtual_time
async def test_the_longest_talk_ends_with_its_last_words(tmp_path: Path) -> None:
    fields = "greeting: Hello.\nmax_duration: 5s"
    over = await talk(tmp_path, asks, [Says(LONG, 4_000)], fields=fields, after="- say: Time is up.\n")
    assert outcome(over) == "max_duration"
    assert over.heard == ["Hello.", LONG, "Time is up."]


@virtual_time
async def test_the_last_of_so_many_answers_is_heard(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Says("Pizza.", 2500)], [Says("never")], fields="greeting: Hello.\nmax_turns: 2")
    assert (outcome(over), detail(over)) == ("max_duration", "2 turns")
    assert over.heard == ["Hello.", "Pizza."]


# ── The end in every phase ────────────────────────────────────────────────────────────────────────────────────────────

PHASES = [0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 1.5, 2.0, 2.2, 2.4, 2.7, 3.5, 4.5, 5.5, 6.5]


@pytest.mark.parametrize("latency", [0.0, 0.13])
@pytest.mark.parametrize("at", PHASES)
@virtual_time
async def test_the_caller_may_hang_up_at_any_moment(tmp_path: Path, at: float, latency: float) -> None:
    async def leaves(line: VirtualLine) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hangs_up(line))
            while not line.ended.done():
                await line.caller.waits(0.9)
                if not line.ended.done():
                    await line.caller.says("Well", 0.4)

    async def hangs_up(line: VirtualLine) -> None:
        await asyncio.sleep(at)
        await line.caller.hangs_up()

    replies = [[Says(LONG), Waits(1), Says("More.")], [finish("gone")], [Says("Yes."), Waits(2)]] * 3
    line = VirtualLine(latency=latency)
    over = await talk(tmp_path, leaves, *replies, fields="greeting: Hello there.", after="- say: Never.\n", line=line)
    assert over.record.outcome == "caller_hung_up"
    assert over.ways == [("converse", "cancelled")]


@pytest.mark.parametrize("at", PHASES)
@virtual_time
async def test_the_step_may_be_cancelled_at_any_moment(tmp_path: Path, at: float) -> None:
    """By its own time limit: the flow goes on at once, in silence."""
    fields = "greeting: Hello there."
    text = converse(fields, after="- say: Next.\n").replace(
        "  - id: talk", f"  - id: talk\n    timeout: {at + 0.001:.3f}s"
    )

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1.2)
        if not line.ended.done():
            await line.caller.says("Well", 0.4)

    over = await dial(library(tmp_path, text), script, [Says(LONG), Calls("finish", {"exit": "x"})], [Says("Yes.")])
    assert over.ways[:2] == [("converse", "max_duration"), ("say", "done")]
    assert over.heard[-1] == "Next."
    assert over.line.log.find("heard")[-1].at == pytest.approx(max(at, 0.0) + 0.3, abs=0.1)


@virtual_time
async def test_a_key_that_a_handler_waits_for_cuts_the_voice(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1.4)
        await line.caller.presses("70")

    over = await talk(
        tmp_path, script, fields=f"greeting: {LONG}",
        head="handlers: [{event: dtmf, digits: '0', goto: desk}]\nsections: {desk: [{say: The desk.}]}",
    )  # fmt: skip
    assert over.ways == [("converse", "cancelled"), ("say", "done")]
    assert over.heard == [f"{LONG}…", "The desk."]
    assert over.line.log.find("cut")[0].at == 1.7
