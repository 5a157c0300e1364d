"""Calls that are hard to replay, on the virtual line: the test made from the record passes, or says what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.http import HttpFailedError
from engine.prices import Price, Prices
from engine.record import CallRecord, Spoken, StepTrace
from engine.records.tables import calls, record_from, rows, without_words
from engine.replay.written import Noted, written
from engine.resume import CUT_OFF, Way, cut_off
from engine.scenario.report import told
from engine.virtual import FACTS, Calls, Fails, Says, VirtualLine, VirtualProvider, run
from flows.json_schema import plain
from flows.reader import read
from providers.voice import VoiceError
from tests.engine.replay.test_replay_examples import again
from tests.engine.verbs.phone import Endpoints, dial, flow, library

TALK = (
    "- id: talk\n  converse:\n    greeting: Hello.\n    exits: {bye: {}, person: {}}\n    FIELDS\n"
    "  outcomes: {silence: [], max_duration: [], provider_error: []}\n"
)
RINGS = "- id: ring\n  transfer: {FIELDS, attempts: [{targets: ['pjsip:a']}]}\n  outcomes: {failed: [{say: Nobody.}]}\n"


def talking(fields: str = "max_turns: 20") -> str:
    return TALK.replace("FIELDS", fields)


def recorded(folder: Path, text: str, script: Any = None, *replies: Any, **options: Any) -> CallRecord:
    """The record of a call of this flow, made in virtual time."""
    house = folder / "house"
    house.mkdir(exist_ok=True)

    async def call() -> CallRecord:
        line = options.pop("line", None)
        given = {} if line is None else {"line": line()}
        return (await dial(library(house, text), script, *replies, **given, **options)).record

    return run(call())


def passes(record: CallRecord, folder: Path) -> str:
    """The test made from a record, which passes and walks the same way."""
    result = again(record, folder, folder / "house")
    text = (folder / "replayed.test.yaml").read_text()
    assert result.passed, "\n".join(told(result)) + "\n" + text
    assert result.record is not None
    walked = [(step.path, step.outcome) for step in result.record.steps]
    assert walked == [(step.path, step.outcome) for step in record.steps], text
    assert result.record.outcome == record.outcome
    return text


async def quiet(line: VirtualLine) -> None:
    """The caller says nothing."""


# ── Talks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_that_cost_too_much(tmp_path: Path) -> None:
    head = "limits: {cost: 0.15}\nhandlers: [{event: cost, steps: [{say: Goodbye.}, {hangup: {}}]}]"
    prices = Prices([Price("virtual", "", {"input_audio": Decimal("0.01"), "output_audio": Decimal(0)})])

    async def asks(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("What do you have?", 1.0)

    record = recorded(tmp_path, flow(talking(), head=head), asks, [Says("We have soup.")], prices=prices)
    assert record.error.startswith("cost: ")
    assert "costs: 0.2" in passes(record, tmp_path)


async def asks_twice(line: VirtualLine) -> None:
    await line.caller.hears("hello")
    await line.caller.says("What do you have?", 1.0)
    await line.caller.hears("We have soup")
    await line.caller.waits(1)
    await line.caller.says("No, thank you.", 1.0)


def test_a_caller_who_is_silent_and_is_asked_again(tmp_path: Path) -> None:
    text = passes(recorded(tmp_path, flow(talking("silence: {after: 4s, reprompts: 2}")), quiet), tmp_path)
    assert "still there" not in text, "the flow asks that by itself"


def test_an_ai_that_cannot_be_reached(tmp_path: Path) -> None:
    provider = VirtualProvider(connects_after=VoiceError("no"))
    assert "voice: unreachable" in passes(recorded(tmp_path, flow(talking()), quiet, provider=provider), tmp_path)


def test_an_ai_that_breaks_down_after_an_answer(tmp_path: Path) -> None:
    record = recorded(tmp_path, flow(talking()), asks_twice, [Says("We have soup.")], [Fails()])
    assert "fails: true" in passes(record, tmp_path)


def test_a_talk_with_as_many_turns_as_it_may_have(tmp_path: Path) -> None:
    record = recorded(tmp_path, flow(talking("max_turns: 3")), asks_twice, [Says("We have soup.")], [Says("Pity.")])
    assert record.steps[0].outcome == "max_duration"
    passes(record, tmp_path)


def test_an_ai_that_leaves_before_anybody_spoke(tmp_path: Path) -> None:
    async def asks(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("What do you have?", 1.0)

    record = recorded(tmp_path, flow(talking("max_turns: 9")), asks, [Calls("finish", {"exit": "bye"})])
    record.transcript = [said for said in record.transcript if said.role != "caller"]
    assert "# note: the record has no words of the caller here" in passes(record, tmp_path)


def test_a_tool_that_hands_over_and_a_talk_that_goes_on(tmp_path: Path) -> None:
    tools = (
        "tools: {desk: {description: x, transfer: {attempts: [{targets: ['pjsip:a']}], unreached: Nobody is there.}}}"
    )

    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("A person.", 1.0)
        await line.caller.hears("nobody is there")
        await line.caller.says("Then bye.", 1.0)

    record = recorded(
        tmp_path, flow(talking(tools)), script, [Calls("desk")], [Calls("finish", {"exit": "bye"})],
        targets={"pjsip:a": "busy"},
    )  # fmt: skip
    assert record.steps[0].outcome == "bye"
    passes(record, tmp_path)


def test_a_key_of_a_handler_in_a_talk(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await asks_twice(line)
        await line.caller.waits(4)
        await line.caller.presses("0")

    head = "handlers: [{event: dtmf, digits: '0', steps: [{say: A person.}]}]"
    record = recorded(
        tmp_path, flow(talking(), head=head), script, [Says("We have soup.")], [Says("Pity.")]
    )  # fmt: skip
    assert [step.outcome for step in record.steps] == ["cancelled", "done"]
    passes(record, tmp_path)


def test_a_caller_who_hangs_up_when_asked_whether_they_are_there(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("still there")
        await line.caller.hangs_up()

    head = "handlers: [{event: hangup, steps: [{set: {}}]}]"
    passes(recorded(tmp_path, flow(talking(), head=head), script), tmp_path)


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keys", ["1#", "12", "123#", ""])
def test_keys_that_are_too_few_and_then_enough(tmp_path: Path, keys: str) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.presses(keys)
        if not keys.startswith("123"):
            await line.caller.waits(6)
            await line.caller.presses("4711#")

    ask = "- gather: {say: Your customer number., digits: 6, least: 3}\n  outcomes: {no_input: [], no_match: []}"
    passes(recorded(tmp_path, flow(ask + "\n- say: Thank you."), script), tmp_path)


def test_a_key_that_interrupts_and_is_read_by_the_next_step(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1)
        await line.caller.presses("2")

    steps = (
        "- say: {text: This is a long story about us and you., interruptible: dtmf}\n"
        "- menu: {say: One or two?}\n  outcomes: {'2': [], no_input: [], no_match: []}"
    )
    passes(recorded(tmp_path, flow(steps), script), tmp_path)


def test_speech_that_interrupts(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1)
        await line.caller.says("Stop!")

    say = "- say: {text: This is a long story about us and you and all., interruptible: speech}"
    assert "# note: what was said is not on record" in passes(recorded(tmp_path, flow(say), script), tmp_path)


def test_waiting_for_keys_speech_and_beeps(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(2)
        await line.caller.presses("5")
        await line.caller.waits(2)
        await line.caller.says("Hello?", 1.0)
        await line.caller.waits(2)
        await line.caller.beeps()

    events = ("dtmf", "speech", "beep", "dtmf")
    waits = "".join(f"- wait_for: {event}\n  outcomes: {{timeout: []}}\n" for event in events)
    record = recorded(tmp_path, flow("- answer: {}\n" + waits), script)
    assert [step.outcome for step in record.steps] == ["done"] * 4 + ["timeout"]
    passes(record, tmp_path)


@pytest.mark.parametrize("ends", ["#", "silence", "hangs up"])
def test_a_message(tmp_path: Path, ends: str) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1)
        await line.caller.says("Please call me back.", 7.0)
        if ends == "#":
            await line.caller.presses("#")
        elif ends == "hangs up":
            await line.caller.hangs_up()

    head = "handlers: [{event: hangup, steps: [{set: {}}]}]"
    record = recorded(
        tmp_path, flow("- voicemail: sales\n- say: Thank you.", head=head), script, storage=tmp_path / "storage"
    )
    assert record.steps[0].data["ms"] > 5000
    passes(record, tmp_path)


# ── People and endpoints ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("targets", "fields"),
    [
        ({"answer": 4, "keys": "2", "keys_after": 3}, "accept: {digit: '1', decline: '2'}"),
        ({"answer": 4, "hangs_up_after": 3}, "accept: {digit: '1'}"),
        ({"answer": 4}, "accept: {digit: '1', timeout: 5s}"),
        ({"answer": 4, "keys": "1", "keys_after": 3, "hangs_up_after": 20}, "accept: {digit: '1'}"),
        ({"answer": 4, "hangs_up_after": 20}, "after_callee_hangup: continue"),
        ("impossible", "timeout: 60s"),
        ("no_answer", "timeout: 7s"),
        ("declined", "timeout: 60s"),
    ],
)
def test_what_people_do(tmp_path: Path, targets: Any, fields: str) -> None:
    record = recorded(tmp_path, flow(RINGS.replace("FIELDS", fields)), quiet, targets={"pjsip:a": targets})
    passes(record, tmp_path)


def test_a_person_who_talks_until_the_caller_hangs_up(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("connected")
        await line.caller.waits(40)
        await line.caller.hangs_up()

    steps = RINGS.replace("FIELDS, ", "") + "- say: Never."
    record = recorded(tmp_path, flow(steps), script, targets={"pjsip:a": {"answer": 5}})
    assert "hangs_up_after" not in passes(record, tmp_path)


def test_a_number_that_may_not_be_dialled(tmp_path: Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    number = RINGS.replace("FIELDS, ", "").replace("'pjsip:a'", '"${call.did}"')
    made = library(house, flow(number), files={"resources.yaml": "dialling: {deny: ['+1415*']}"})

    async def call() -> CallRecord:
        return (await dial(made, quiet)).record

    passes(run(call()), tmp_path)


def test_answers_of_endpoints_in_order(tmp_path: Path) -> None:
    broken, late = HttpFailedError("no", status=503), HttpFailedError("late", kind="timeout")
    http = Endpoints({"/a": [broken, broken, {"ref": "A17", "price": 9.5}, late]})
    ask = "  http: {endpoint: pos, path: /a}\n  save: {ref: string}\n  outcomes: {http_error: [], timeout: []}\n"
    steps = "".join(f"- id: s{number}\n{ask}" for number in range(5))
    record = recorded(tmp_path, flow(steps), http=http)
    assert [step.outcome for step in record.steps] == ["http_error", "http_error", "done", "timeout", "timeout"]
    text = passes(record, tmp_path)
    assert ("times: 2" in text, "ref: A17" in text, "price: 0" in text, "A17" in text) == (True, True, True, True)
    assert "# note: the record has the form of the answer only" in text


def test_a_call_id_in_a_path_is_any_in_the_test(tmp_path: Path) -> None:
    step = '- http: {endpoint: pos, path: "/calls/${call.id}"}\n  outcomes: {http_error: [], timeout: []}'
    record = recorded(tmp_path, flow(step), http=Endpoints({"/calls/call-1": {"ok": True}}))
    assert 'path: "/calls/*"' in passes(record, tmp_path)


def test_headers_name_and_a_number_that_is_withheld(tmp_path: Path) -> None:
    steps = "- say: Gold.\n  when: call.headers['X-Plan'] == 'gold' && caller.anonymous\n- say: All."
    facts = replace(FACTS, caller="", caller_name="", headers={"X-Plan": "gold"})
    passes(recorded(tmp_path, flow(steps), line=lambda: VirtualLine(facts)), tmp_path)


# ── Ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_time_of_the_call_is_over(tmp_path: Path) -> None:
    head = "defaults: {max_call: 20s}\nhandlers: [{event: max_call, steps: [{say: Goodbye.}]}]"
    passes(recorded(tmp_path, flow("- wait: 60s", head=head)), tmp_path)


def test_a_flow_that_fails_and_rings_the_safety_destination(tmp_path: Path) -> None:
    bad = flow("- id: bad\n  say: '${steps.bad.outcome.size() + 1}'")
    targets = {"pjsip:safe": {"answer": 2, "hangs_up_after": 5}}
    record = recorded(tmp_path, bad, targets=targets, safety_destination="pjsip:safe")
    assert record.outcome == "handed_off"
    result = again(record, tmp_path, tmp_path / "house")
    assert result.passed, "\n".join(told(result))
    assert "# note: the safety destination was rung" in (tmp_path / "replayed.test.yaml").read_text()


def test_an_engine_that_died(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(3)
        await line.caller.hangs_up()

    record = recorded(tmp_path, flow("- say: Hello.\n- wait: 60s"), script)
    record.outcome, record.hangup_by = "lost", ""
    result = again(record, tmp_path, tmp_path / "house")
    assert result.passed, "\n".join(told(result))


@pytest.mark.parametrize("way", ["recover", "safety"])
def test_a_call_that_went_on_after_its_engine_died(tmp_path: Path, way: Way) -> None:
    """A test cannot end an engine: it ends where the engine died."""

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(3)
        await line.caller.hangs_up()

    record = recorded(tmp_path, flow("- say: Hello.\n- repeat: {max: 3, steps: [{wait: 60s}]}"), script)
    assert record.ended is not None
    for step in record.steps[1:]:
        step.ms = None
    cut_off(record, record.ended, way)
    later = record.ended + timedelta(seconds=4)
    record.steps.append(
        StepTrace(path="sections/again/0", verb="say", where="x:1", started=later, ms=5, outcome="done")
    )
    record.transcript.append(Spoken(role="voice", text="Sorry.", at=later))
    record.outcome, record.hangup_by, record.result = "completed", "flow", "again"
    result = again(record, tmp_path, tmp_path / "house")
    text = (tmp_path / "replayed.test.yaml").read_text()
    assert result.passed, "\n".join(told(result)) + text
    assert "# The engine died in this call" in text
    assert "Sorry" not in text


def test_a_talk_that_outlived_its_engine_is_played_again_whole(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 2, "hangs_up_after": 5}}
    record = recorded(tmp_path, flow(RINGS.replace("FIELDS", "timeout: 30s")), targets=targets)
    record.steps[0].outcome, record.steps[0].detail = "connected", CUT_OFF
    result = again(record, tmp_path, tmp_path / "house")
    assert result.passed, "\n".join(told(result))
    assert "engine died" not in (tmp_path / "replayed.test.yaml").read_text()


def test_a_record_without_words_still_makes_a_test(tmp_path: Path) -> None:
    record = recorded(
        tmp_path, flow(talking()), asks_twice, [Says("We have soup.")], [Calls("finish", {"exit": "bye"})]
    )
    kept = without_words(rows(record))
    silent = record_from(kept.pop(calls)[0], {table.name: found for table, found in kept.items()})  # type: ignore[arg-type]
    passes(silent, tmp_path)


# ── The file ──────────────────────────────────────────────────────────────────────────────────────────────────────────

NASTY = "# note: x\n- yes: {a: [1, 2]} ${vars.x} \\ \" ' \u2028 \x1b[31m & *a !t | > % @ ` \ufeff"


def test_words_that_look_like_yaml_are_words(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says(NASTY, 1.0)

    record = recorded(tmp_path, flow(talking()), script, [Says(NASTY), Calls("finish", {"exit": "bye"})])
    record.caller_name = NASTY
    record.id = f"id {NASTY}"
    passes(record, tmp_path)


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12)


@given(st.dictionaries(KEYS, VALUES, min_size=1))
@example({"yes": ["no", "on", "y", "true", "null", "12", "1e3", "0800", "~", "", "5s", "a: b"]})
@example({"\U0001f600": "\x00\x85"})
def test_what_is_written_is_read_as_it_was(document: dict[str, Any]) -> None:
    tree, problems = read("f.yaml", written(document).encode())
    assert [str(problem) for problem in problems] == []
    assert plain(tree) == document


def test_notes_stand_above_what_they_speak_of() -> None:
    document = {"a": Noted({"b": 1}, "one\ntwo"), "c": [Noted({"d": Noted(2, "x")}, "y"), 3]}
    assert written(document) == (
        "# note: one two\na:\n  b: 1\nc:\n  # note: y\n  # note: x\n  - d: 2\n  - 3\n"
    )  # fmt: skip
