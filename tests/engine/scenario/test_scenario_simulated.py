"""A model plays the caller from a brief; what must happen is asserted, and a judge is asked the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.scenario import Result
from engine.scenario.run import run_scenario
from providers.voice import VoiceError
from tests.engine.scenario.folder import FLOW, HEAD, MOCKS, mistakes, read, unmet
from tests.engine.scenario.thinker import Answer, Asked, Thinker, played

BUYER = """
simulate: {brief: You are Ada and want a pizza., goal: The pizza is ordered., max_turns: 6}
must:
  - {step: talk, outcome: ordered}
  - {says: Press 1}
  - {http: {endpoint: pos, method: POST}}
  - {hangup: {by: flow, result: ordered}}
judge:
  - The caller was told the price.
  - The voice was polite.
always: [{never: {transfer: {target: desk}}}]
"""
ORDERED = ("finish", {"exit": "ordered", "data": "pizza"})


def verdicts(*met: bool) -> str:
    return json.dumps(
        {"verdicts": [{"criterion": n, "reason": f"Reason {n}.", "met": ok} for n, ok in enumerate(met, 1)]}
    )


def cast(caller: list[Answer], voice: list[Answer], judge: list[Answer] | None = None) -> Callable[[Asked], Answer]:
    """One model in three parts, told apart by what they are asked."""
    parts = {"caller": iter(caller), "voice": iter(voice), "judge": iter(judge or [verdicts(True, True)])}

    def answer(asked: Asked) -> Answer:
        return next(parts[part_of(asked)])

    return answer


def part_of(asked: Asked) -> str:
    if asked.schema is not None:
        return "judge"
    return "caller" if any(tool.name == "hang_up" for tool in asked.tools) else "voice"


async def simulated(folder: Path, answers: Callable[[Asked], Answer], test: str = BUYER, **more: Any) -> Result:
    return await played(read(folder, HEAD + MOCKS + test, **more)[0], Thinker(answers))


CALLER: list[Answer] = [("press_keys", {"keys": "1"}), "A pizza, please.", "Yes."]
VOICE: list[Answer] = ["Nine dollars. Is that right?", ["Gladly.", ORDERED]]


async def test_a_call_between_two_models(tmp_path: Path) -> None:
    model = Thinker(cast(CALLER, VOICE))
    result = await played(read(tmp_path, HEAD + MOCKS + BUYER)[0], model)
    assert unmet(result) == []
    said = [row.text for row in result.rows if row.text.startswith("caller")]
    assert said == [
        "caller answered", 'caller hears "Hello . Press 1."', "caller pressed 1", 'caller hears "What may it be?"',
        'caller says "A pizza, please."', 'caller hears "Nine dollars. Is that right?"', 'caller says "Yes."',
        'caller hears "Gladly."', 'caller hears "Thank you."',
    ]  # fmt: skip
    assert result.seconds < 30
    first = model.asked[0].messages
    assert "You are Ada and want a pizza." in first[0].text
    assert "Your goal: The pizza is ordered." in first[0].text
    assert (first[1].role, first[1].text) == ("user", "Hello . Press 1.")


async def test_the_judge_is_shown_the_call_and_the_criteria(tmp_path: Path) -> None:
    model = Thinker(cast(CALLER, VOICE))
    await played(read(tmp_path, HEAD + MOCKS + BUYER)[0], model)
    (asked,) = [asked for asked in model.asked if part_of(asked) == "judge"]
    assert 'caller says "A pizza, please."' in asked.latest
    assert "talk: ordered" in asked.latest
    assert asked.latest.endswith("1. The caller was told the price.\n2. The voice was polite.")


async def test_a_criterion_that_is_not_met_fails_with_the_judges_reason_at_its_place(tmp_path: Path) -> None:
    result = await simulated(tmp_path, cast(CALLER, VOICE, [verdicts(False, True)]))
    (failure,) = result.failures
    assert (failure.expected, failure.actual) == ("The caller was told the price.", "the judge says no: Reason 1.")
    line = (tmp_path / "shop.test.yaml").read_text().splitlines().index("  - The caller was told the price.") + 1
    assert str(failure.where).endswith(f"shop.test.yaml:{line}:5")


@pytest.mark.parametrize(
    "junk", ["I would say it was fine.", "{}", '{"verdicts": 1}', verdicts(True), verdicts(True, True, True), "[" * 900]
)
async def test_a_judge_that_gives_no_verdict_is_asked_once_more_then_fails(tmp_path: Path, junk: str) -> None:
    assert unmet(await simulated(tmp_path, cast(CALLER, VOICE, [junk, verdicts(True, True)]))) == []
    found = unmet(await simulated(tmp_path, cast(CALLER, VOICE, [junk, junk])))
    assert [expected for expected, _ in found] == ["The caller was told the price.", "The voice was polite."]
    assert found[0][1].startswith("the judge gave no verdict: its answer was not a verdict on 2 criteria")


async def test_a_verdict_may_have_words_around_it(tmp_path: Path) -> None:
    judge: list[Answer] = [f"Here you are:\n```json\n{verdicts(True, True)}\n```"]
    assert unmet(await simulated(tmp_path, cast(CALLER, VOICE, judge))) == []


async def test_what_must_happen_and_did_not(tmp_path: Path) -> None:
    voice: list[Answer] = ["Nine dollars.", ("finish", {"exit": "person"})]
    found = unmet(await simulated(tmp_path, cast(CALLER, voice)))
    assert [expected for expected, _ in found] == [
        "never transfer: {target: desk}", "step: talk, outcome: ordered", "http: {endpoint: pos, method: POST}",
        "hangup: {by: flow, result: ordered}",
    ]  # fmt: skip
    assert found[1][1] == "talk (shop.flow.yaml:13) ended with person"


async def test_any_attempt_may_be_the_one_that_must_be(tmp_path: Path) -> None:
    flow = """
flow: shop
steps:
  - repeat:
      max: 2
      steps:
        - id: choice
          menu: {say: Press 1., timeout: 3s, retries: 0}
          outcomes: {"1": [{transfer: {attempts: [{targets: [desk]}]}, outcomes: {failed: []}}], no_input: []}
"""
    mocks = "mocks: {targets: {desk: [busy, {answer: 2s, hangs_up_after: 5s}]}}\n"
    test = """
simulate: {brief: You are Ada.}
must:
  - {transfer: {target: desk, status: connected}}
  - {transfer: {target: desk, status: busy}}
  - {step: choice, outcome: "1", elapsed: {max: 3s}}
"""
    scenario = read(tmp_path, HEAD + mocks + test, flow)[0]
    model = Thinker(cast([("press_keys", {"keys": "1"}), ("press_keys", {"keys": "1"})], []))
    assert unmet(await played(scenario, model)) == []
    refused = read(tmp_path, HEAD + mocks + test.replace("busy", "declined"), flow)[0]
    model = Thinker(cast([("press_keys", {"keys": "1"}), ("press_keys", {"keys": "1"})], []))
    assert unmet(await played(refused, model)) == [("transfer: {target: desk, status: declined}", "pjsip:desk: busy")]


async def test_the_caller_hangs_up(tmp_path: Path) -> None:
    test = "simulate: {brief: You are Ada.}\nmust: [{hangup: {by: caller}}]\n"
    result = await simulated(tmp_path, cast([["Oh, wrong number.", ("hang_up", {})]], []), test)
    assert unmet(result) == []


async def test_a_caller_who_never_ends_is_ended(tmp_path: Path) -> None:
    test = "simulate: {brief: You are Ada., max_turns: 3}\nmust: [{hangup: {by: caller}}]\n"
    model = Thinker(lambda asked: "Hm." if part_of(asked) == "voice" else ("press_keys", {"keys": "1"}))
    result = await played(read(tmp_path, HEAD + MOCKS + test)[0], model)
    assert unmet(result) == [("the call is over after 3 turns of the caller", "it went on")]
    assert len([asked for asked in model.asked if part_of(asked) == "caller"]) == 3


async def test_a_caller_who_waits_for_ever_is_ended(tmp_path: Path) -> None:
    test = "simulate: {brief: You are Ada., max_turns: 3}\nalways: [{never: {hangup_by: engine}}]\n"
    flow = "flow: shop\nsteps:\n  - say: Please hold.\n  - wait: 30m\n"
    result = await simulated(tmp_path, lambda asked: ("wait", {}), test, flow=flow)
    assert unmet(result) == [("the call is over after 3 turns of the caller", "it went on")]


async def test_keys_that_no_telephone_has_are_left_out(tmp_path: Path) -> None:
    test = "simulate: {brief: You are Ada., max_turns: 1}\nalways: [{never: {hangup_by: engine}}]\n"
    flow = 'flow: shop\nsteps:\n  - id: code\n    gather: {digits: 3, finish_key: "", say: Code?}\n'
    flow += "    outcomes: {no_input: [], no_match: []}\n  - hangup: {}\n"
    result = await simulated(tmp_path, lambda asked: ("press_keys", {"keys": "1a2b#-3"}), test, flow=flow)
    pressed = [row.text.split()[-1] for row in result.rows if "pressed" in row.text]
    assert pressed[:3] == ["1", "2", "#"]


async def test_a_model_that_fails_says_whose_part_it_played(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return VoiceError("503: overloaded")

    found = unmet(await simulated(tmp_path, answer))
    assert found[0] == ("the caller's model answers", "503: overloaded")
    assert found[-1] == ("The voice was polite.", "the judge gave no verdict: 503: overloaded")


async def test_a_voice_that_cannot_be_reached(tmp_path: Path) -> None:
    test = "simulate: {brief: You are Ada.}\nmust: [{step: talk, outcome: provider_error}]\n"
    text = HEAD + MOCKS + "  voice: unreachable\n" + test
    model = Thinker(cast([("press_keys", {"keys": "1"}), ("hang_up", {})], []))
    assert unmet(await played(read(tmp_path, text)[0], model)) == []


def test_without_a_model_it_says_what_it_needs(tmp_path: Path) -> None:
    result = run_scenario(read(tmp_path, HEAD + MOCKS + BUYER)[0])
    assert (result.needs, result.passed, result.failures) == ("simulated", False, ())


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("simulate: {brief: You are Ada.}\n", "4:1: error[E202]: 'simulate' needs 'must', 'judge' or 'always'"),
        ("simulate: {goal: x}\njudge: [It is good.]\n", "needs 'brief'"),
        ("script: []\nmust: [{says: x}]\n", "5:1: error[E202]: 'must' is for tests with 'simulate'"),
        ("judge: [It is good.]\n", "4:1: error[E202]: 'judge' is for tests with 'simulate'"),
        (
            "script: []\nsimulate: {brief: x}\njudge: [a]\n",
            "4:1: error[E204]: the caller follows a script, or a model plays it ('simulate'): not both",
        ),
        (
            "simulate: {brief: x}\nmust: [{says: x, within: 5s}]\n",
            "5:18: error[E204]: 'must' is looked at when the call is over: 'within' means nothing there",
        ),
        ("simulate: {brief: x}\nmust: [{step: tolk, outcome: ordered}]\n", "5:15: error[E302]: unknown step 'tolk'"),
        ("simulate: {brief: x}\nmust: [{step: talk, outcome: orderd}]\n", "5:30: error[E303]"),
        ("simulate: {brief: x}\nmust: [{transfer: {target: dask}}]\n", "5:28: error[E302]: unknown destination 'dask'"),
        ("simulate: {brief: x}\njudge: [1]\n", "error[E203]: a criterion is a sentence that is true of a good call"),
        ("simulate: {brief: x, max_turns: 0}\njudge: [a]\n", "4:33: error[E203]"),
        ("simulate: {brif: x}\njudge: [a]\n", "error[E201]: unknown key 'brif'"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, test: str, said: str) -> None:
    found = mistakes(tmp_path, HEAD + test)
    assert any(said in one for one in found), found


def test_the_flow_of_these_tests_rings_a_desk() -> None:
    assert "targets: [desk]" in FLOW
