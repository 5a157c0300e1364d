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
from tests.engine.scenario.folder import HEAD, MOCKS, mistakes, play, unmet, write

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
@given(seed=st.integers(0, 2**32))
def test_a_mutated_file_is_read_and_run_without_a_crash(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    text = TEST
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
