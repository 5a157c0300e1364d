from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

CASES = """
- switch:
    value: "${vars.x}"
    cases:
      gold: [{say: Gold.}]
      "3": [{say: Three.}]
      "true": [{say: True.}]
      "": [{say: Nothing.}]
    default: [{say: Default.}]
- say: On.
"""


@pytest.mark.parametrize(
    ("type", "value", "said"),
    [
        ("string", "gold", "Gold."), ("string", "Gold", "Default."), ("string", '""', "Nothing."),
        ("integer", "3", "Three."), ("number", "3.0", "Three."), ("number", "3.5", "Default."),
        ("boolean", "true", "True."), ("boolean", "false", "Default."), ("any", "null", "Nothing."),
    ],
)  # fmt: skip
@virtual_time
async def test_a_value_finds_its_case(tmp_path: Path, type: str, value: str, said: str) -> None:
    over = await dial(library(tmp_path, flow(CASES, head=f"vars: {{x: {{type: {type}, default: {value}}}}}")))
    assert over.heard == [said, "On."]
    assert over.ways == [("switch", "done"), ("say", "done"), ("say", "done")]


@virtual_time
async def test_no_case_and_no_default_goes_on(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- switch: {value: silver, cases: {gold: [{say: Gold.}]}}\n- say: On.")))
    assert over.heard == ["On."]


@pytest.mark.parametrize(("round", "said"), [(0, "Early."), (1, "Early."), (2, "Two."), (3, "Late.")])
@virtual_time
async def test_the_first_branch_that_holds_runs(tmp_path: Path, round: int, said: str) -> None:
    steps = """
    - switch:
        - {when: vars.round < 2, steps: [{say: Early.}]}
        - {when: vars.round < 3, steps: [{say: Two.}]}
        - {steps: [{say: Late.}]}
    """
    over = await dial(library(tmp_path, flow(steps, head=f"vars: {{round: {{type: integer, default: {round}}}}}")))
    assert over.heard == [said]


@virtual_time
async def test_a_failure_inside_reaches_the_catch_around_it(tmp_path: Path) -> None:
    steps = """
    - switch: {value: a, cases: {a: [{call: {section: s}}, {say: Never.}]}}
      catch: [{say: Caught.}]
    """
    head = 'sections: {s: [{say: "${steps.bad.outcome.size() + 1}", id: bad}]}'
    over = await dial(library(tmp_path, flow(steps, head=head)))
    assert over.heard == ["Caught."]


@virtual_time
async def test_a_jump_leaves_it(tmp_path: Path) -> None:
    head = "sections: {s: [{say: Section.}]}"
    over = await dial(
        library(tmp_path, flow("- switch: {value: a, cases: {a: [{goto: s}, {say: No.}]}}\n- say: No.", head=head))
    )
    assert over.heard == ["Section."]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - switch: {cases: {a: []}}
        - switch: {value: x, branches: [{steps: []}]}
        - switch: {branches: [{steps: []}], cases: {a: []}}
        - switch: [{when: "${true}", steps: []}]
        - switch: [{when: 1 == 1}]
        - switch: {value: x, cases: {a: {say: Hi}}}
        """,
    )
    form = "switch takes either 'value' with 'cases', or a list of branches with 'when' and 'steps'"
    assert [line for line in found if "W405" in line] == [found[1], found[6]]
    found = [line for line in found if "error[" in line]
    assert found[:3] == ["3:5: error[E203]: " + form, "4:24: error[E203]: " + form, "5:39: error[E203]: " + form]
    assert found[3].startswith("6:22: error[E304]: this is an expression already")
    assert found[4].endswith("needs 'steps'")
    assert found[5].startswith("8:35: error[E203]: this must be a list of steps")


def test_a_value_that_never_changes_is_told(tmp_path: Path) -> None:
    steps = "- switch: {value: vars.team, cases: {sales: [{say: Sales.}]}}"
    told = "this value never changes; an expression stands in ${…}: ${vars.team}"
    assert problems(tmp_path, steps) == [f"3:21: warning[W405]: {told}"]


def test_its_conditions_are_true_or_false(tmp_path: Path) -> None:
    steps = "- switch: [{when: vars.s, steps: []}, {steps: []}]"
    found = problems(tmp_path, steps, head="vars: {s: {type: string}}")
    assert found == ["4:21: error[E301]: this must be boolean, but it is string"]


def test_branches_behind_one_that_always_runs_are_told(tmp_path: Path) -> None:
    steps = "- switch: [{when: 1 > 2, steps: []}, {steps: []}, {when: 1 > 2, steps: []}, {steps: []}]"
    found = problems(tmp_path, steps)
    never = "this branch is never reached: the one in line 3 has no 'when', so it always runs"
    assert found == [f"3:53: warning[W402]: {never}", f"3:79: warning[W402]: {never}"]
