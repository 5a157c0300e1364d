"""Whatever a test file holds: words, or a bound, never a crash."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.scenario import ScenarioReader, run_scenario
from engine.verb import installed
from flows.language import Language
from providers.voice import VoiceError
from tests.engine.scenario.folder import HEAD, MOCKS, mistakes, play, read, unmet, write
from tests.engine.scenario.thinker import Answer, Thinker, played

TEST = (
    HEAD
    + MOCKS
    + """
script:
  - expect: {step: choice, outcome: "1", elapsed: {max: 3s}, within: 5s}
  - press: "1"
  - {caller: A pizza., converse: {tools: {price: {dish: pizza}}, exit: ordered, data: pizza}}
  - expect: {http: {endpoint: pos, json: {dish: pizza}}}
  - expect: {transfer: {target: desk, status: busy}}
  - hangs_up: {}
always: [{never: {says: {matches: "a|b"}}}, {never: {hangup_by: engine}}]
"""
)
SIMULATED = (
    HEAD
    + MOCKS
    + """
simulate: {brief: You are Ada., goal: A pizza., max_turns: 3}
must: [{step: choice, outcome: "1", elapsed: {max: 3s}}, {transfer: {target: desk, status: busy}}, {says: Press}]
judge: [The caller was told the price., "Nobody was rude."]
always: [{never: {hangup_by: engine}}]
"""
)
BITS = (
    "{}",
    "[]",
    "null",
    "1",
    "-1.5",
    "true",
    '""',
    "5s",
    "&a ",
    "*a",
    ": ",
    "- ",
    "\n",
    "\t",
    "'",
    "${x}",
    "\x85",
    "é",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), text=st.sampled_from([TEST, SIMULATED]))
def test_a_mutated_file_is_read_and_run_without_a_crash(tmp_path: Path, seed: int, text: str) -> None:
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 3)):
        start = dice.randrange(len(text))
        text = text[:start] + dice.choice(BITS) + text[start + dice.choice((0, 1, 4, 12)) :]
    file = ScenarioReader(Language(installed())).read(write(tmp_path, text))
    assert file.scenarios or file.problems
    for scenario in file.scenarios:
        run_scenario(scenario)


@pytest.mark.parametrize(
    "value", ["1", "[]", "{}", "null", "true", "{answer: 5}", "{answer: 1s, busy: 1s}", "{answer: 1s, sip_code: x}",
              "{keys: 1}", "[busy, 1]"],
)  # fmt: skip
def test_a_target_that_cannot_be(tmp_path: Path, value: str) -> None:
    (said,) = mistakes(tmp_path, f"test: it\nflow: shop\nmocks: {{targets: {{desk: {value}}}}}\n")
    assert said.startswith("3:")
    assert "error[E203]" in said


@pytest.mark.parametrize("script", ["- silence: 7h\n", "- expect: {step: book, within: 900h}\n"])
def test_a_test_that_never_ends_is_ended(tmp_path: Path, script: str) -> None:
    flow = "flow: shop\nsteps:\n  - transfer: {attempts: [{targets: [desk]}]}\n    outcomes: {failed: []}\n"
    flow += "  - id: book\n    say: Hi\n"
    result = play(tmp_path, script, head=HEAD + "mocks: {targets: {desk: answer}}\n", flow=flow)
    ((expected, actual),) = unmet(result)
    assert expected == "the call comes to an end"
    assert "virtual seconds passed" in actual or "ready" in actual


def test_a_binary_file_and_a_folder(tmp_path: Path) -> None:
    reader = ScenarioReader(Language(installed()))
    (tmp_path / "a.test.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.test.yaml").mkdir()
    assert [reader.read(tmp_path / name).problems[0].code for name in ("a.test.yaml", "b.test.yaml")] == [
        "E101",
        "E101",
    ]


@pytest.mark.parametrize("test", ["talk", "simulated"])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_a_model_answers_the_call_ends(tmp_path: Path, seed: int, test: str) -> None:
    dice = random.Random(seed)
    values = [
        None,
        "",
        "1",
        "1a#",
        7,
        -1.5,
        True,
        [],
        {},
        ["ordered"],
        {"exit": "ordered"},
        "ordered",
        "\ud800",
        "x" * 999,
    ]

    def part() -> Answer:
        kind = dice.randrange(6)
        if kind == 0:
            return dice.choice(["", " ", "Hm.", "\x00\n", "{}", "a" * 300])
        if kind == 1:
            return VoiceError("503", recoverable=dice.random() < 0.5)
        names = ["price", "finish", "press_keys", "wait", "hang_up", "no such tool", ""]
        keys = ["dish", "exit", "data", "keys", "", "x"]
        return dice.choice(names), {key: dice.choice(values) for key in dice.sample(keys, dice.randrange(4))}

    script = 'script:\n  - press: "1"\n' + "  - caller: Hello.\n" * 4
    text = HEAD + MOCKS + script if test == "talk" else SIMULATED
    result = await played(
        read(tmp_path, text)[0], Thinker(lambda asked: [part() for _ in range(dice.randrange(4))]), pauses=()
    )
    assert result.seconds < 900
    assert not [failure for failure in result.failures if "comes to an end" in failure.expected]
