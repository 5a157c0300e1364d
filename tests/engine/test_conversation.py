"""The conversation on the virtual line: what the caller hears and what the voice is told."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine.virtual import (
    Calls,
    Says,
    VirtualLine,
    VirtualVoice,
    virtual_time,
)
from providers.voice import (
    ULAW,
    Capabilities,
    Interrupted,
    SpeechStarted,
    SpeechStopped,
    TurnDone,
    UserText,
    VoiceText,
)
from tests.engine.verbs.phone import Endpoints, counted, dial, flow, library
from tests.engine.verbs.talking import (
    LONG,
    Directed,
    asks,
    audio,
    directed,
    finish,
    interrupts,
    outcome,
    provider_of,
    quiet,
    sounds,
    talk,
)

# ── Speaking and listening ────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_the_greeting_comes_first_and_the_answer_after_the_question(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Says("Pizza."), finish()])
    assert over.heard == ["Hello.", "Pizza."]
    assert outcome(over) == "done_"
    assert [(said.role, said.text, said.interrupted) for said in over.record.transcript] == [
        ("voice", "Hello.", False), ("caller", "What do you have?", False), ("voice", "Pizza.", False),
    ]  # fmt: skip
    assert {said.step for said in over.record.transcript} == {over.record.steps[0].path}


@virtual_time
async def test_without_a_greeting_the_caller_begins(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.says("Hello?", 0.5)

    over = await talk(tmp_path, script, [Says("Good day."), finish()], fields="prompt: Be kind.")
    assert over.heard == ["Good day."]
    assert over.voice.instructions == "Be kind."


@virtual_time
async def test_tokens_and_times_are_on_record(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Says("Pizza.")], [finish()], fields="greeting: Hello.\nsilence: {reprompts: 0}")
    tokens = over.record.tokens[0]
    assert (tokens.provider, tokens.turns, tokens.input_audio, tokens.output_audio) == ("virtual", 2, 20, 40)
    assert over.record.timings["voice_ready_ms"] == 100
    assert over.record.timings["first_audio_ms"] == 400
    assert counted(over, "tokens_total", provider="virtual", type="output_audio") == 40
    assert counted(over, "turn_response_seconds_count", provider="virtual") == 1
    assert counted(over, "turn_response_seconds_sum", provider="virtual") == pytest.approx(0.3)
    assert counted(over, "provider_sessions_active", provider="virtual") == 0


@virtual_time
async def test_only_what_was_really_said_is_on_record(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(UserText("I w", final=False), UserText("  "), UserText(" I want pizza "))
        voice.tells(VoiceText("What ", "a"), audio("a", 2000), VoiceText("size", "a"))
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted(), TurnDone("interrupted", item="a"), VoiceText("?", "a"))
        voice.tells(SpeechStopped())
        await line.caller.waits(0.1)
        voice.tells(VoiceText("Thin or ", "b"), VoiceText("Thin or thick?", "b", final=True), audio("b", 500))
        voice.tells(TurnDone("completed", item="b"), VoiceText("never heard", "c"), TurnDone("completed"))

    over = await directed(tmp_path, acts)
    assert [(said.role, said.text, said.interrupted) for said in over.record.transcript] == [
        ("caller", "I want pizza", False), ("voice", "What size?", True), ("voice", "Thin or thick?", False),
    ]  # fmt: skip


@virtual_time
async def test_a_voice_may_say_itself_that_it_was_interrupted_and_use_a_name_again(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        for text, status in (("One, two", "interrupted"), ("Three.", "completed")):
            voice.tells(audio("a", 300), VoiceText(text, "a"), TurnDone(status, item="a"))  # type: ignore[arg-type]
            await line.caller.waits(1)

    over = await directed(tmp_path, acts, fields="max_turns: 2")
    assert sounds(over) == [("heard", 300), ("heard", 300)]
    assert over.record.transcript[0].interrupted
    assert outcome(over) == "max_duration"  # two answers were counted


# ── Barge-in ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_barge_in_silences_first_and_then_tells_exactly_what_was_heard(tmp_path: Path) -> None:
    order: list[str] = []

    class Voice(VirtualVoice):
        async def truncate(self, item: str, played_ms: int) -> None:
            order.append("truncated" if line.log.find("cut") else "too early")
            await super().truncate(item, played_ms)

    line = VirtualLine()
    over = await talk(
        tmp_path, interrupts, [finish()], fields=f"greeting: {LONG}", line=line, provider=provider_of(Voice, [finish()])
    )
    cut = line.log.find("cut")[0]
    assert (cut.text, cut.ms, cut.at) == (LONG, 1020, 1.42)  # with the first 20 ms of the caller's word
    assert over.voice.truncated == [("item1", 1020)]
    assert order == ["truncated"]
    assert over.record.transcript[0].interrupted
    assert over.voice.interrupted == 0  # the provider itself noticed
    assert counted(over, "barge_in_total") == 1
    assert counted(over, "barge_in_stop_seconds_count") == 1
    assert over.record.timings["barge_in_ms"] < 100


@virtual_time
async def test_the_rest_of_an_interrupted_utterance_is_dropped_and_the_next_one_plays(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 2000))
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted(), audio("a", 3000), TurnDone("interrupted", item="a"), audio("a", 100))
        await line.caller.waits(0.1)
        voice.tells(audio("b", 700), TurnDone("completed", item="b"))

    over = await directed(tmp_path, acts)
    assert sounds(over) == [("cut", 500), ("heard", 700)]
    assert over.voice.truncated == [("a", 500)]


@virtual_time
async def test_no_more_is_truncated_than_was_received(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 300))
        await line.caller.waits(2.0)  # the voice ran dry long ago
        voice.tells(SpeechStarted())
        await line.caller.waits(0.1)
        voice.tells(audio("b", 1000))
        await line.caller.waits(0.25)
        voice.tells(SpeechStarted())

    over = await directed(tmp_path, acts)
    assert over.voice.truncated == [("b", 250)]


@virtual_time
async def test_speech_that_starts_twice_is_one_interruption(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 2000))
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted(), SpeechStarted(), Interrupted(), TurnDone("interrupted", item="a"), Interrupted())
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted())

    over = await directed(tmp_path, acts)
    assert over.voice.truncated == [("a", 500)]
    assert counted(over, "barge_in_total") == 1


@virtual_time
async def test_a_provider_that_interrupts_itself_silences_the_line(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(Interrupted())  # with nothing active
        voice.tells(audio("a", 2000))
        await line.caller.waits(0.5)
        voice.tells(Interrupted(), audio("a", 500), TurnDone("interrupted", item="a"))

    over = await directed(tmp_path, acts)
    assert sounds(over) == [("cut", 500)]
    assert over.voice.truncated == [("a", 500)]
    assert counted(over, "barge_in_total") == 1
    assert outcome(over) == "provider_error", "nobody spoke, so it was asked to go on, and did not"


@virtual_time
async def test_a_voice_that_hears_nothing_itself_is_told_to_stop(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 2000))
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted())

    over = await directed(tmp_path, acts, capabilities=Capabilities(formats=(ULAW,), tools=True))
    assert over.voice.interrupted == 1
    assert over.voice.truncated == []  # it cannot


@virtual_time
async def test_where_the_flow_allows_no_interruption_the_voice_speaks_to_its_end(tmp_path: Path) -> None:
    over = await talk(tmp_path, interrupts, [Says("Yes?"), finish()], fields=f"greeting: {LONG}\ninterruptible: false")
    assert over.heard == [LONG, "Yes?"]
    assert over.voice.truncated == []
    assert counted(over, "barge_in_total") == 0
    assert over.voice.session.turns.interruptible is False
    assert [said.interrupted for said in over.record.transcript] == [False, False, False]


@virtual_time
async def test_where_the_flow_allows_no_interruption_nothing_that_still_comes_is_dropped(tmp_path: Path) -> None:
    async def acts(voice: Directed, line: VirtualLine) -> None:
        voice.tells(audio("a", 1000))
        await line.caller.waits(0.5)
        voice.tells(SpeechStarted(), audio("a", 1000), SpeechStopped())
        voice.tells(TurnDone("completed", item="a"))

    over = await directed(tmp_path, acts, fields="interruptible: false\nsilence: {after: 2s, reprompts: 0}")
    assert sum(entry.ms for entry in over.line.log.find("heard")) == 2000


@virtual_time
async def test_what_is_measured_as_barge_in_is_one(tmp_path: Path) -> None:
    """A farewell that is cut for its length has not been interrupted by anybody."""
    over = await talk(tmp_path, asks, [Says("Bye. " * 30), finish()])
    assert [entry.what for entry in over.line.log.find("heard", "cut")] == ["heard", "cut"]
    assert counted(over, "barge_in_total") == 0
    assert counted(over, "barge_in_stop_seconds_count") == 0
    assert "barge_in_ms" not in over.record.timings


# ── Finishing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_finish_lets_the_utterance_play_out_before_the_next_step(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Says("Goodbye then.", 2000), finish()], after="- say: Next.\n")
    assert over.heard == ["Hello.", "Goodbye then.", "Next."]
    bye = over.line.log.find("heard")[1]
    assert bye.ms == 2000
    assert over.record.steps[0].ms == int(bye.at * 1000)


@virtual_time
async def test_a_farewell_of_more_than_four_seconds_is_cut(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Says("Goodbye then.", 9000), finish()], after="- say: Next.\n")
    assert over.heard == ["Hello.", "Goodbye then.…", "Next."]
    assert outcome(over) == "done_"
    cut = over.line.log.find("cut")[0]
    asked_at = over.record.steps[0].ms / 1000 - 4.0  # type: ignore[operator]
    assert cut.at == pytest.approx(over.record.steps[0].ms / 1000)  # type: ignore[operator]
    assert 0 < asked_at < cut.at


@virtual_time
async def test_the_caller_may_interrupt_the_farewell(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.waits(2.0)
        await line.caller.says("Yes yes.", 0.5)

    over = await talk(tmp_path, script, [Says("Goodbye then.", 5000), finish("person")])
    assert over.heard == ["Hello.", "Goodbye then.…"]
    assert outcome(over) == "person"
    assert over.line.log.find("cut")[0].ms < 3000


LOOKS_UP = "greeting: Hello.\ntools: {look: {description: Looks., http: {endpoint: pos, path: /x}}}"


@pytest.mark.parametrize(("seconds", "how"), [(1.0, "late"), (4.5, "cancelled")])
@virtual_time
async def test_what_a_tool_answers_after_finish_is_dropped_and_noted(tmp_path: Path, seconds: float, how: str) -> None:
    over = await talk(
        tmp_path, asks, [Says("Goodbye then.", 3000), Calls("look"), finish()], [Says("Never said.")],
        fields=LOOKS_UP, after="- say: Next.\n", http=Endpoints({"/x": (seconds, {"left": 12})}),
    )  # fmt: skip
    assert over.heard == ["Hello.", "Goodbye then.", "Next."]
    assert over.line.log.find("heard")[1].ms == 3000
    assert [(use.name, use.outcome) for use in over.record.tools] == [("look", how)]
    assert [tool for tool, *_ in over.voice.results] == ["finish"]


@virtual_time
async def test_finish_with_nothing_playing_ends_at_once(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [finish()])
    said = over.line.log.find("said")[0]
    assert over.record.steps[0].ms == int((said.at + 1.0 + 0.2 + 0.3) * 1000)
    assert over.voice.results == [("finish", '{"ok": true}', False)]


ORDER = """
greeting: Hello.
collect: {into: order, schema: {type: object, properties: {dish: {type: string}}, required: [dish]}}
exits: {ordered: {requires: [order]}, person: {}}
"""


def order_flow() -> str:
    return flow(
        "- id: talk\n  converse:\n" + "\n".join(f"    {line}" for line in ORDER.strip().splitlines())
        + "\n  outcomes: {silence: [], max_duration: [], provider_error: []}\n- say: One ${vars.order.dish}.\n",
        head="vars: {order: {type: object, default: {}}}",
    )  # fmt: skip


@virtual_time
async def test_a_finish_that_lacks_something_is_refused_in_words_and_later_taken(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        for _ in range(3):
            await line.log.until("heard", "cut")
            await line.caller.says("A pizza", 0.5)

    over = await dial(
        library(tmp_path, order_flow()), script,
        [finish("ordered")], [Says("What, please?")],
        [finish("ordered", data={"dish": 7})], [finish("gone")], [Says("Sorry?")],
        [finish("ordered", data={"dish": "pizza"})],
    )  # fmt: skip
    results = over.voice.results
    assert [(name, respond) for name, _, respond in results] == [("finish", True)] * 3 + [("finish", False)]
    assert "needs order first" in results[0][1]
    assert 'dish: 7 is not of type \\"string\\"' in results[1][1]
    assert "no exit 'gone'" in results[2][1]
    assert "ordered, person" in results[2][1]
    assert over.heard[-1] == "One pizza."
    assert outcome(over) == "ordered"


@virtual_time
async def test_a_step_without_exits_offers_no_finish_and_ends_by_its_limits(tmp_path: Path) -> None:
    house = library(
        tmp_path, flow("- converse: {greeting: Hello., max_duration: 9s}\n  outcomes: {max_duration: []}\n- stop: {}")
    )
    over = await dial(house, asks, [finish()], [Says("I cannot leave.")])
    assert over.voice.tools == ()
    assert "no tool 'finish'" in over.voice.results[0][1]
    assert over.ways[0] == ("converse", "max_duration")
    assert over.record.steps[0].ms == 9100


# ── Silence ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_silent_caller_is_asked_twice_and_then_left(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, quiet, fields="greeting: Hello.\nsilence: {after: 5s, reprompts: 2, say: Are you there?}"
    )
    assert over.heard == ["Hello.", "Are you there?", "Are you there?"]
    assert outcome(over) == "silence"
    ends = [entry.at for entry in over.line.log.find("heard")]
    for earlier, later in itertools.pairwise(ends):
        assert later - earlier == pytest.approx(5 + 0.3 + 0.84)  # the wait, the thought, the words
    assert over.record.steps[0].ms == pytest.approx(1000 * (ends[-1] + 5), abs=2)


@virtual_time
async def test_silence_is_not_counted_while_somebody_speaks(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("Well, let me think about that for a while", 9.0)

    over = await talk(
        tmp_path, script, [Says(LONG, 9000)], fields="greeting: Hello.\nsilence: {after: 3s, reprompts: 0}"
    )
    assert over.heard == ["Hello.", LONG]
    assert outcome(over) == "silence"
    assert over.record.steps[0].ms == pytest.approx(1000 * (over.line.log.find("heard")[-1].at + 3), abs=2)


@virtual_time
async def test_a_caller_who_sends_no_audio_at_all_is_silent_to_the_voice(tmp_path: Path) -> None:
    """A muted telephone may send nothing: the voice counts time by audio, and goes on hearing silence."""
    ms: list[int] = []

    class Ears(VirtualVoice):
        async def send_audio(self, audio: bytes) -> None:
            assert set(audio) == {0xFF}
            ms.append(len(audio) // 8)

    await talk(
        tmp_path, quiet, fields="greeting: Hello.\nsilence: {after: 8s, reprompts: 0}", provider=provider_of(Ears)
    )
    assert sum(ms) == pytest.approx(8700, abs=400)


@virtual_time
async def test_a_caller_in_alaw_is_silent_in_alaw(tmp_path: Path) -> None:
    heard: set[int] = set()

    class Ears(VirtualVoice):
        async def send_audio(self, audio: bytes) -> None:
            heard.update(audio)

    over = await talk(
        tmp_path, quiet, fields="greeting: Hello.\nsilence: {after: 2s, reprompts: 0}", provider=provider_of(Ears),
        line=VirtualLine(format="alaw"), law="alaw",
    )  # fmt: skip
    assert heard == {0xD5}
    assert over.voice.session.format.encoding == "alaw"


# ── What the voice is told ────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_second_talk_continues_the_first_unless_it_is_reset(tmp_path: Path) -> None:
    steps = """
    - converse: {greeting: Hello., exits: {a: {}}}
    - converse: {context: CONTEXT, max_duration: 1s, exits: {b: {}}}
      outcomes: {max_duration: []}
    """
    for number, (context, expected) in enumerate(
        [("continue", [("voice", "Hello."), ("caller", "What do you have?")]), ("reset", [])]
    ):
        folder = tmp_path / str(number)
        over = await dial(
            library(folder, flow(steps.replace("CONTEXT", context))), asks, [Calls("finish", {"exit": "a"})]
        )
        assert [(said.role, said.text) for said in over.voice.session.history] == expected


@virtual_time
async def test_the_voice_is_told_what_the_flow_says(tmp_path: Path) -> None:
    fields = """
    model: large
    voice: marin
    language: en-GB
    prompt: Help ${caller.name}.
    min_delay: 400ms
    max_duration: 1s
    options: {virtual: {speed: 1.2}, other: {secret: 1}}
    """
    over = await talk(tmp_path, quiet, fields="\n".join(line.strip() for line in fields.strip().splitlines()))
    session = over.voice.session
    assert (session.model, session.voice, session.language) == ("large", "marin", "en-GB")
    assert session.instructions == "Help Ada."
    assert session.turns.min_delay == 0.4
    assert session.options == {"speed": 1.2}
    assert [tool.name for tool in session.tools] == ["finish"]
    assert session.tools[0].parameters["properties"]["exit"]["enum"] == ["done_", "person"]
