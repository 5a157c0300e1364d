"""`gather` by speech, and by whichever of speech and keys comes first."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from engine import listening
from engine.recording import Recording
from engine.verb import installed
from engine.virtual import VirtualLine, VirtualProvider, virtual_time
from flows.language import Language
from providers.voice import Capabilities, VoiceError
from tests.engine.verbs.phone import Over, counted, dial, flow, library, problems
from tests.engine.verbs.test_verb_menu import keys

SAY = "Whom do you want?"  # 1.02 s, and begins 0.4 s after the answer at the latest


def ask(**fields: Any) -> str:
    given = ", ".join(f"{name}: {value}" for name, value in {"say": f'"{SAY}"', "input": "speech", **fields}.items())
    typed = "${default(steps.ask.digits, '-')} " if fields.get("input") == "any" else ""
    return flow(
        f"- id: ask\n  gather: {{{given}}}\n  outcomes: {{no_input: [], no_match: [], provider_error: []}}\n"
        f"- say: ${{steps.ask.outcome}} {typed}${{default(steps.ask.text, '-')}}."
    )


def says(*acts: tuple[float, str]) -> Any:
    """A caller who waits so long after the answer, then says this, and so on; ``#…`` are keys."""

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        for wait, what in acts:
            await line.caller.waits(wait)
            if what.startswith("#"):
                await line.caller.presses(what[1:])
            else:
                await line.caller.says(what, 1.0)

    return script


def asked(over: Over) -> int:
    return sum(text.startswith(SAY) for text in over.heard)


@pytest.mark.parametrize(
    ("fields", "acts", "end", "times"),
    [
        ({}, [(3, "Sales, please")], "done Sales, please.", 1),
        ({"retries": 0, "timeout": "3s"}, [], "no_input -.", 1),
        ({"timeout": "3s"}, [(6, "Sales")], "done Sales.", 2),  # the second time
        ({"retries": 0, "timeout": "2s"}, [(2.8, "Sales")], "done Sales.", 1),  # who has begun may finish
        ({"pause": "2s"}, [(3, "My number is"), (1.5, "four one five")], "done My number is four one five.", 1),
        ({"pause": "500ms"}, [(3, "My number is"), (1.5, "four")], "done My number is.", 1),
        ({"input": "any"}, [(3, "Sales")], "done - Sales.", 1),
        ({"input": "any"}, [(3, "#12#")], "done 12 -.", 1),
        ({"input": "any", "digits": 1}, [(3, "#7")], "done 7 -.", 1),
        ({"input": "any", "retries": 0}, [], "no_input - -.", 1),
        ({"input": "any", "least": 2, "retries": 0}, [(3, "#1#")], "no_match 1 -.", 1),
        ({"input": "any", "least": 2}, [(3, "#1#"), (3, "Sales")], "done - Sales.", 2),
    ],
)
@virtual_time
async def test_what_comes_first_is_the_answer(tmp_path: Path, fields: Any, acts: Any, end: str, times: int) -> None:
    over = await dial(library(tmp_path, ask(**fields)), says(*acts))
    assert over.heard[-1] == end
    assert asked(over) == times
    assert all(ear.closed for ear in over.provider.recognisers)
    assert len(over.provider.recognisers) == times


@virtual_time
async def test_a_key_stops_speech_that_has_begun(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears(SAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(line.caller.says("Well, I thought that perhaps I might want", 4.0))
            await line.caller.waits(1.0)
            await line.caller.presses("3#")

    over = await dial(library(tmp_path, ask(input="any")), script)
    assert over.heard[-1] == "done 3 -."
    assert [spoken.role for spoken in over.record.transcript] == ["voice", "voice"]  # late words are nobody's


@pytest.mark.parametrize(
    ("fields", "cut"),
    [
        ({}, True),
        ({"input": "any"}, True),
        ({"interruptible": "none"}, False),
        ({"input": "any", "interruptible": "dtmf"}, False),
    ],
)
@virtual_time
async def test_speech_stops_the_prompt_where_it_may(tmp_path: Path, fields: Any, cut: bool) -> None:
    later = [] if cut else [(4.0, "Support")]
    over = await dial(library(tmp_path, ask(**fields)), says((0.7, "Sales"), *later))
    assert over.heard[0] == (f"{SAY}…" if cut else SAY)
    # What is said over a prompt that goes on is no answer: the caller has not heard the question.
    assert over.heard[-1].endswith("Sales." if cut else "Support.")


@virtual_time
async def test_words_before_the_recogniser_is_there_are_not_lost(tmp_path: Path) -> None:
    provider = VirtualProvider(connects_after=3.0)
    over = await dial(library(tmp_path, ask()), says((0.7, "Sales")), provider=provider)
    assert over.heard[-1] == "done Sales."


@virtual_time
async def test_the_recogniser_is_told_what_helps(tmp_path: Path) -> None:
    steps = ask(language="de-DE", hints='["Röschti", "${call.did}"]')
    over = await dial(library(tmp_path, steps), says((3, "Sales")))
    [ear] = over.provider.recognisers
    assert (ear.language, ear.hints) == ("de-DE", ("Röschti", "+14155550100"))


@virtual_time
async def test_it_is_written_down_with_how_sure_it_is(tmp_path: Path) -> None:
    steps = ask().replace("- say: ${", "- hangup: {result: '${string(steps.ask.confidence)}'}\n  - say: ${")
    over = await dial(library(tmp_path, steps), says((3, "Sales")))
    assert over.record.result == "0.9"
    assert [(one.role, one.text) for one in over.record.transcript] == [("voice", SAY), ("caller", "Sales")]


@virtual_time
async def test_what_is_sensitive_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = flow(f"""
        - record: start
        - id: ask
          gather: {{say: "{SAY}", input: speech, sensitive: true}}
          outcomes: {{no_input: [], no_match: [], provider_error: []}}
        - say: Thank you.
          when: steps.ask.text == 'my secret word'
    """)
    paused: list[bool] = []

    async def script(line: VirtualLine) -> None:
        await line.caller.hears(SAY)
        paused.append(recordings[0].paused)
        await line.caller.says("my secret word")
        await line.caller.hears("Thank you")
        paused.append(recordings[0].paused)

    recordings: list[Recording] = []
    attach = Recording.attach
    with caplog.at_level(logging.DEBUG), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recording, "attach", lambda self: (recordings.append(self), attach(self))[1])
        over = await dial(library(tmp_path, steps), script, storage=tmp_path / "var")
    assert paused == [True, False]
    assert over.provider.recognisers[0].heard == ["my secret word"]
    assert "secret" not in over.record.model_dump_json()
    assert "secret" not in caplog.text


@pytest.mark.parametrize("input", ["speech", "any"])
@virtual_time
async def test_a_recogniser_that_cannot_be_reached(tmp_path: Path, input: str) -> None:
    provider = VirtualProvider(connects_after=VoiceError("no route", code="unreachable"))
    over = await dial(library(tmp_path, ask(input=input)), provider=provider)
    assert over.heard[0] == SAY  # to its end
    assert over.heard[-1].startswith("provider_error")
    assert over.record.steps[0].detail == "speech is not recognised: no route"
    assert counted(over, "provider_errors_total", provider="virtual", kind="unreachable") == 1


@virtual_time
async def test_keys_count_when_speech_cannot_be_heard(tmp_path: Path) -> None:
    provider = VirtualProvider(connects_after=VoiceError("no route"))
    over = await dial(library(tmp_path, ask(input="any")), keys((4, "12#")), provider=provider)
    assert over.heard[-1] == "done 12 -."


@virtual_time
async def test_one_that_takes_too_long_and_one_that_there_is_not(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, ask()), provider=VirtualProvider(connects_after=60.0))
    assert over.record.steps[0].detail == "speech is not recognised: no recogniser within 5 s"
    over = await dial(library(tmp_path, ask()), provider=VirtualProvider(capabilities=Capabilities()))
    assert "the voice 'virtual' recognises no speech: name one" in over.record.steps[0].detail
    assert asked(over) == 0  # who cannot be heard need not be asked


@virtual_time
async def test_one_that_breaks_while_the_caller_speaks(tmp_path: Path) -> None:
    provider = VirtualProvider()

    async def script(line: VirtualLine) -> None:
        await line.caller.hears(SAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(line.caller.says("Sales, please", 2.0))
            await line.caller.waits(1.0)
            provider.recognisers[0].fails("out of order")

    over = await dial(library(tmp_path, ask()), script, provider=provider)
    assert over.heard[-1] == "provider_error -."
    assert over.record.steps[0].detail == "speech is not recognised: out of order"


@pytest.mark.parametrize("speaks", [True, False])
@virtual_time
async def test_one_that_takes_no_audio_holds_nothing_up(tmp_path: Path, speaks: bool) -> None:
    async def script(line: VirtualLine) -> None:
        if speaks:
            await line.log.until("answered")
            await line.caller.waits(0.7)
            await line.caller.says("Sales, please", 2.0)

    over = await dial(library(tmp_path, ask()), script, provider=VirtualProvider(deaf=True))
    assert over.heard[-1] == "provider_error -."
    assert over.record.steps[0].detail == "speech is not recognised: the recogniser took no audio for 3 s"


@virtual_time
async def test_who_speaks_and_is_not_understood(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears(SAY)
        await line.caller.says(" ", 1.0)

    over = await dial(library(tmp_path, ask(retries=0, timeout="2s")), script)
    assert over.heard[-1] == "no_match -."
    assert over.record.steps[0].detail == "the caller spoke, and was not understood"


@virtual_time
async def test_an_answer_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LONGEST", 20.0)

    async def script(line: VirtualLine) -> None:
        await line.caller.hears(SAY)
        await line.caller.says("bla", 40.0)

    over = await dial(library(tmp_path, ask(retries=0)), script)
    assert over.ways[0] == ("gather", "no_match")
    assert over.record.steps[0].ms == pytest.approx(21_400, abs=500)


@virtual_time
async def test_the_caller_hangs_up_in_the_middle_of_a_word(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears(SAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(line.caller.says("I would like", 2.0))
            await line.caller.waits(1.0)
            await line.caller.hangs_up()

    over = await dial(library(tmp_path, ask()), script)
    assert over.ways == [("gather", "cancelled")]
    assert over.provider.recognisers[0].closed


@virtual_time
async def test_a_key_of_a_handler_works_where_only_speech_answers(tmp_path: Path) -> None:
    text = ask().replace(
        "flow: test", "flow: test\nhandlers: [{event: dtmf, digits: '0', goto: desk}]\nsections: {desk: [{say: Desk.}]}"
    )
    over = await dial(library(tmp_path, text), keys((4, "0")))
    assert over.heard[-1] == "Desk."


def test_what_the_check_says(tmp_path: Path) -> None:
    assert problems(tmp_path, "- gather: {say: Hi, hints: [a]}\n  catch: []") == [
        "3:23: error[E203]: 'hints' is for speech: say 'input: speech' or 'input: any'"
    ]
    [warning] = problems(tmp_path, "- gather: {say: Hi, input: any}\n  outcomes: {no_input: [], no_match: []}")
    assert warning.startswith("3:5: warning[W401]: gather may end with provider_error")


def test_the_check_knows_which_voices_recognise(tmp_path: Path) -> None:
    steps = "- gather: {say: Hi, input: speech, listening: NAME}\n  catch: []"
    voices = {"mute": Capabilities(), "scribe": Capabilities(recognises=True)}

    def check(name: str) -> list[str]:
        (tmp_path / "a.flow.yaml").write_text(flow(steps.replace("NAME", name)))
        found = Language(installed(), voices=voices).load([tmp_path]).problems
        return [str(problem).split(".yaml:")[1] for problem in found]

    assert check("scribe") == []
    assert check("mute") == [
        "3:49: error[E315]: the voice 'mute' recognises no speech (installed voices that do: scribe)"
    ]
    assert check("scrib") == ["3:49: error[E302]: unknown voice 'scrib' (did you mean 'scribe'?)"]


@pytest.mark.parametrize(("way", "told"), [("digits", True), ("any", True), ("speech", False)])
def test_a_handlers_key_has_two_meanings_only_where_keys_answer(tmp_path: Path, way: str, told: bool) -> None:
    head = "handlers: [{event: dtmf, digits: '0', steps: []}]"
    found = problems(tmp_path, f"- gather: {{say: Hi, input: {way}}}\n  catch: []", head=head)
    assert [line.split(": ")[0] for line in found] == (["4:5"] if told else [])
    assert all("W404" in line for line in found)
