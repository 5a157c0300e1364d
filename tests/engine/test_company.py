"""An AI that keeps the caller company while phones ring, and steps that run before they do. All on virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.company import WORDS
from engine.line import LineError
from engine.verb import installed
from engine.virtual import Calls, Fails, Says, VirtualLine, VirtualProvider, VirtualVoice, virtual_time
from flows.language import Language
from providers.voice import Capabilities, VoiceError
from tests.engine.verbs.phone import Over, Script, dial, flow, library, problems
from tests.engine.verbs.talking import provider_of

FIRST, AGAIN = WORDS["en"]
PERSON = {"answer": 20.3, "hangs_up_after": 9}


def transfer(fields: str, targets: str = '"pjsip:a"') -> str:
    outcomes = "outcomes: {failed: [{hangup: {result: nobody}}]}"
    return f"- transfer:\n    {fields}\n    attempts: [{{targets: [{targets}], timeout: 60s}}]\n  {outcomes}\n"


AI = transfer("caller_hears: ai")


async def rings(
    folder: Path, steps: str = AI, *, script: Script | None = None, provider: VirtualProvider | None = None,
    head: str = "", **targets: object,
) -> Over:  # fmt: skip
    line = VirtualLine(targets={f"pjsip:{name}": what for name, what in (targets or {"a": PERSON}).items()})
    return await dial(library(folder, flow(steps, head=head)), script, line=line, provider=provider)


def connected(over: Over) -> float:
    return over.line.log.find("connected")[0].at


def sounds(over: Over) -> list[tuple[str, float, float]]:
    """What the caller heard until they were connected: words (none: ringback), since when, until when."""
    heard = [entry for entry in over.line.log.find("heard", "cut", who="caller") if entry.at <= connected(over)]
    return [(entry.text, round(entry.at - entry.ms / 1000, 2), round(entry.at, 2)) for entry in heard]


# ── In company ────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_voice_speaks_within_a_second_and_falls_silent_when_the_person_is_there(tmp_path: Path) -> None:
    over = await rings(tmp_path)
    spoken = [entry for entry in sounds(over) if entry[0]]
    assert spoken[0][0] == FIRST
    assert spoken[0][1] < 1.0
    assert [text for text, _, _ in spoken[1:]] == [AGAIN]
    assert connected(over) == pytest.approx(20.3, abs=0.01)
    assert not [entry for entry in over.line.log if entry.who == "pjsip:a" and entry.what in ("heard", "cut")]
    assert over.voice.tools == ()
    assert over.record.outcome == "handed_off"


@pytest.mark.parametrize("answers", [0.02, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("comfort", ["ringback", "ai"])
@virtual_time
async def test_nobody_waits_for_the_voice_however_slow_its_provider_is(
    tmp_path: Path, answers: float, comfort: str
) -> None:
    class Clings(VirtualVoice):
        async def close(self) -> None:
            await super().close()
            await asyncio.Event().wait()

    slow = provider_of(Clings, connects_after=0.5)
    over = await rings(
        tmp_path, transfer(f"caller_hears: {comfort}"), provider=slow, a={"answer": answers, "hangs_up_after": 9}
    )
    assert connected(over) == pytest.approx(answers, abs=0.001)
    assert len(slow.voices) == (comfort == "ai")
    assert sounds(over)[-1][2] == pytest.approx(answers, abs=0.01)  # cut off in the middle of a word


@virtual_time
async def test_the_caller_talks_with_it_and_it_knows_what_was_said(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("What is it?")
        await line.caller.waits(0.5)
        await line.caller.says("My father has chest pain.")
        await line.caller.hears("I am trying")
        await line.caller.waits(0.5)
        await line.caller.says("How long does it take?")

    talk = "- converse: {voice: marin, language: en-GB, greeting: 'What is it?', exits: {urgent: {}}}\n  catch: []\n"
    provider = VirtualProvider([[Calls("finish", {"exit": "urgent"})], [Says("I do not know. I stay with you.")]])
    over = await rings(tmp_path, talk + AI, script=script, provider=provider, a={"answer": 15, "hangs_up_after": 9})
    assert [text for text, *_ in sounds(over) if text] == ["What is it?", FIRST, "I do not know. I stay with you."]
    first, second = (voice.session for voice in provider.voices)
    assert (second.voice, second.language, second.tools) == (first.voice, "en-GB", ())
    assert [(entry.role, entry.text) for entry in second.history] == [
        ("voice", "What is it?"), ("caller", "My father has chest pain."),
    ]  # fmt: skip
    assert "They speak en-GB" in second.instructions
    said = [(entry.role, entry.text, entry.step) for entry in over.record.transcript[2:]]
    assert said == [
        ("voice", FIRST, "steps/1"), ("caller", "How long does it take?", "steps/1"),
        ("voice", "I do not know. I stay with you.", "steps/1"),
    ]  # fmt: skip


@virtual_time
async def test_without_a_talk_before_it_is_the_flows_own_voice_in_its_language(tmp_path: Path) -> None:
    head = "defaults: {converse: {provider: virtual, voice: marin, language: de-DE, options: {virtual: {speed: 1}}}}"
    over = await rings(tmp_path, head=head)
    session = over.voice.session
    assert (session.voice, session.language, dict(session.options)) == ("marin", "de-DE", {"speed": 1})
    assert [text for text, *_ in sounds(over) if text] == list(WORDS["de"])


@virtual_time
async def test_it_stays_from_one_attempt_to_the_next(tmp_path: Path) -> None:
    attempts = "[{ring: serial, targets: ['pjsip:a', 'pjsip:b'], timeout: 5s}, {targets: ['pjsip:c']}]"
    steps = f"- transfer: {{caller_hears: ai, attempts: {attempts}}}\n  outcomes: {{failed: []}}\n"
    over = await rings(tmp_path, steps, a="no_answer", b="busy", c={"answer": 3, "hangs_up_after": 9})
    assert [text for text, *_ in sounds(over) if text] == [FIRST]
    assert len(over.provider.voices) == 1


@virtual_time
async def test_it_ends_when_nobody_can_be_reached(tmp_path: Path) -> None:
    steps = AI + "- say: Please call again.\n"
    over = await rings(tmp_path, steps.replace("hangup: {result: nobody}", "say: Nobody is there."), a={"busy": 1.0})
    assert over.heard == [f"{FIRST}…", "Nobody is there.", "Please call again."]
    assert over.line.log.find("cut")[-1].at == pytest.approx(1.0, abs=0.01)


async def loses_audio_twice(line: VirtualLine) -> None:
    for _ in range(2):
        await line.caller.waits(6)
        line.media.end("lost")


@pytest.mark.parametrize("kind", ["ringback", "music"])
@virtual_time
async def test_audio_that_is_lost_meanwhile_is_opened_again(tmp_path: Path, kind: str) -> None:
    over = await rings(tmp_path, transfer(f"caller_hears: {kind}"), script=loses_audio_twice)
    assert (len(over.line.medias), over.record.outcome) == (3, "handed_off")
    assert next(begin for _, begin, _ in sounds(over) if begin > 6) == pytest.approx(7.0, abs=0.1)  # a second later
    assert sounds(over)[-1][2] == pytest.approx(connected(over), abs=0.1)


@virtual_time
async def test_a_voice_speaks_again_when_the_audio_was_lost(tmp_path: Path) -> None:
    over = await rings(tmp_path, script=loses_audio_twice)
    assert (len(over.line.medias), over.record.outcome) == (3, "handed_off")
    assert [text for text, begin, _ in sounds(over) if text] == [FIRST, AGAIN, AGAIN]


@virtual_time
async def test_audio_that_cannot_be_had_again_is_tried_until_it_can(tmp_path: Path) -> None:
    class Faulty(VirtualLine):
        async def open_media(self) -> Any:
            if 1 < self.log.now < 12:
                raise LineError("no audio now")
            return await super().open_media()

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(4)
        line.media.end("lost")

    line = Faulty(targets={"pjsip:a": PERSON})
    over = await dial(library(tmp_path, flow(transfer("caller_hears: ringback"))), script, line=line)
    assert over.record.outcome == "handed_off"
    assert next(begin for _, begin, _ in sounds(over) if begin > 4) == pytest.approx(12, abs=1.1)


@virtual_time
async def test_a_caller_who_hangs_up_meanwhile_leaves_no_session(tmp_path: Path) -> None:
    for number, after in enumerate((0.05, 0.2, 2.0, 8.0)):

        async def script(line: VirtualLine, after: float = after) -> None:
            await line.caller.waits(after)
            await line.caller.hangs_up()

        over = await rings(tmp_path / str(number), script=script, a="no_answer")  # `dial` counts sessions
        assert over.record.outcome == "caller_hung_up"


@virtual_time
async def test_a_tool_that_hands_over_may_leave_the_caller_in_company(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("What is it?")
        await line.caller.waits(0.5)
        await line.caller.says("A person, please.")

    hands_over = "transfer: {caller_hears: ai, attempts: [{targets: ['pjsip:a'], before: [{say: One moment.}]}]}"
    tools = f"{{desk: {{description: Connects., {hands_over}}}}}"
    talk = f"- converse: {{greeting: What is it?, tools: {tools}}}\n  catch: []\n"
    over = await rings(tmp_path, talk, script=script, provider=VirtualProvider([[Calls("desk")]]))
    assert [text for text, *_ in sounds(over) if text] == ["What is it?", "One moment.", FIRST, AGAIN]
    assert over.record.outcome == "handed_off"


# ── Ringback instead ──────────────────────────────────────────────────────────────────────────────────────────────────


DEAF = Capabilities(verbatim=True, turn_detection=True)


@pytest.mark.parametrize(
    ("options", "from_"),
    [
        ({"connects_after": VoiceError("no such key", code="auth")}, 0.0),
        ({"connects_after": 30.0}, 0.0),
        ({"capabilities": DEAF}, 0.0),
        ({"script": [[Fails()]]}, 6.0),
    ],
    ids=["refused", "hangs", "offline", "breaks"],
)
@virtual_time
async def test_without_a_voice_the_caller_hears_ringback(tmp_path: Path, options: dict[str, Any], from_: float) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(5)
        await line.caller.says("Hello?", 0.5)

    over = await rings(tmp_path, script=script, provider=VirtualProvider(**options))
    assert connected(over) == pytest.approx(20.3, abs=0.01)
    rest = [entry for entry in sounds(over) if entry[2] > from_ + 0.5]
    assert not [text for text, *_ in rest if text]
    assert sum(until - since for _, since, until in rest) == pytest.approx(20.3 - from_, abs=0.6)


@virtual_time
async def test_a_provider_with_a_mistake_stops_no_phone_from_ringing(tmp_path: Path) -> None:
    class Broken(VirtualVoice):
        async def say(self, text: str) -> None:
            raise KeyError("session")

    over = await rings(tmp_path, provider=provider_of(Broken))
    assert connected(over) == pytest.approx(20.3, abs=0.01)


@virtual_time
async def test_a_provider_that_is_not_installed(tmp_path: Path) -> None:
    over = await rings(tmp_path, head="defaults: {converse: {provider: nobodys}}")
    assert [text for text, *_ in sounds(over)] == [""] * len(sounds(over))
    assert sounds(over)[-1][2] == pytest.approx(20.3, abs=0.01)


@pytest.mark.parametrize("head", [True, False], ids=["in defaults", "in a step"])
@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("rehearsal", "the voice 'rehearsal' does not understand speech: it can keep nobody company"),
        ("opnai", "unknown voice 'opnai' (did you mean 'openai'?)"),
        ("openai", ""),
    ],
)
def test_the_check_knows_which_voice_can(tmp_path: Path, provider: str, said: str, head: bool) -> None:
    talk = f"- converse: {{provider: {provider}}}\n  catch: []\n"
    text = flow(AI, head=f"defaults: {{converse: {{provider: {provider}}}}}") if head else flow(AI + talk)
    (tmp_path / "a.flow.yaml").write_text(text)
    voices = {"openai": Capabilities(understands=True), "rehearsal": Capabilities()}
    loaded = Language(installed(), voices).load([tmp_path])
    found = [problem.message for problem in loaded.problems if problem.severity == "error"]
    assert found == ([said] if said else [])


# ── Before an attempt ─────────────────────────────────────────────────────────────────────────────────────────────────


def attempts(*each: str, more: str = "caller_hears: ringback") -> str:
    listed = "\n".join(f"      - {one}" for one in each)
    outcomes = "outcomes: {failed: [{hangup: {result: nobody}}]}"
    return f"- transfer:\n    {more}\n    attempts:\n{listed}\n  {outcomes}\n"


ROUND = "vars: {round: {type: integer, default: 0}}"
COUNT = 'set: {round: "${vars.round + 1}"}'


@virtual_time
async def test_steps_run_before_each_attempt_once(tmp_path: Path) -> None:
    one = f"{{ring: serial, targets: ['pjsip:a', 'pjsip:b'], timeout: 4s, before: [{{{COUNT}}}]}}"
    two = f"{{targets: ['pjsip:c'], before: [{{{COUNT}}}, {{wait: 2s}}]}}"
    over = await rings(
        tmp_path, attempts(one, two), head=ROUND, a="no_answer", b="no_answer", c={"answer": 1, "hangs_up_after": 1}
    )
    assert over.call.walker.vars["round"] == 2
    moments = [(entry.who, round(entry.at, 2)) for entry in over.line.log.find("dialled")]
    assert moments == [("pjsip:a", 0.0), ("pjsip:b", 4.0), ("pjsip:c", 10.0)]
    assert sum(until - since for _, since, until in sounds(over)) == pytest.approx(11, abs=0.2)  # ringback all the time


@pytest.mark.parametrize("comfort", ["music", "ai"])
@virtual_time
async def test_what_the_caller_is_told_before_an_attempt_is_heard_alone(tmp_path: Path, comfort: str) -> None:
    two = "{targets: ['pjsip:b'], before: [{say: I will try the doctor.}]}"
    steps = attempts("{targets: ['pjsip:a'], timeout: 9s}", two, more=f"caller_hears: {comfort}")
    over = await rings(tmp_path, steps, a="no_answer", b={"answer": 12, "hangs_up_after": 1})
    heard = sounds(over)
    told = next(entry for entry in heard if entry[0] == "I will try the doctor.")
    assert told[1] == pytest.approx(9.0, abs=0.01)
    assert not [one for one in heard if one is not told and one[1] < told[2] and one[2] > told[1]]
    told_by = [text for text, *_ in heard if text]
    assert told_by == (["I will try the doctor."] if comfort == "music" else [FIRST, "I will try the doctor.", AGAIN])


@virtual_time
async def test_steps_that_take_too_long_are_stopped_and_it_rings(tmp_path: Path) -> None:
    over = await rings(
        tmp_path, attempts("{targets: ['pjsip:a'], timeout: 4s, before: [{wait: 1h}]}"),
        a={"answer": 1, "hangs_up_after": 1},
    )  # fmt: skip
    assert connected(over) == pytest.approx(5, abs=0.01)


@virtual_time
async def test_the_time_of_the_transfer_goes_on_meanwhile(tmp_path: Path) -> None:
    steps = attempts("{targets: ['pjsip:a'], timeout: 30s, before: [{wait: 20s}]}", more="timeout: 7s")
    over = await rings(tmp_path, steps, a="no_answer")
    assert (over.record.steps[0].outcome, over.record.steps[0].ms) == ("timeout", 7000)
    assert over.record.result == "nobody"


@virtual_time
async def test_a_step_that_fails_is_caught_as_anywhere(tmp_path: Path) -> None:
    failing = "{targets: ['pjsip:a'], before: [{http: {endpoint: pos, path: /x}, catch: [{set: {round: 7}}]}]}"
    over = await rings(tmp_path, attempts(failing), head=ROUND, a={"answer": 1, "hangs_up_after": 1})
    assert over.call.walker.vars["round"] == 7
    assert over.record.outcome == "handed_off"


@pytest.mark.parametrize(
    "step",
    ["goto: s", "hangup: {}", "stop: {}", "menu: {say: Press 1.}", "transfer: {attempts: [{targets: ['pjsip:b']}]}"],
)
def test_steps_that_wait_for_the_caller_or_leave_cannot_stand_there(tmp_path: Path, step: str) -> None:
    head = "sections: {s: [{hangup: {}}]}\nhandlers: [{event: error, goto: s}]"
    found = problems(tmp_path, attempts(f"{{targets: ['pjsip:a'], before: [{{{step}}}]}}"), head=head)
    name = step.partition(":")[0]
    assert [line for line in found if "E308" in line and f"'{name}' cannot run before an attempt" in line], found
