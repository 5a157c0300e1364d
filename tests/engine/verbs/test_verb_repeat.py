from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

HEAD = "vars: {round: {type: integer, default: 0}}"


@pytest.mark.parametrize(
    ("fields", "rounds"),
    [
        ("max: 3", 3),
        ("max: 9, while: vars.round < 2", 2),
        ("max: 2, while: vars.round < 9", 2),
        ("max: 5, while: vars.round > 0", 0),
        ("max: 1", 1),
    ],
)
@virtual_time
async def test_steps_run_again(tmp_path: Path, fields: str, rounds: int) -> None:
    inner = '[{set: {round: "${vars.round + 1}"}}, {say: "${vars.round}"}]'
    steps = f"- repeat: {{{fields}, steps: {inner}}}\n- say: On."
    over = await dial(library(tmp_path, flow(steps, head=HEAD)))
    assert over.heard == [*(str(number) for number in range(1, rounds + 1)), "On."]


@virtual_time
async def test_a_jump_leaves_the_loop(tmp_path: Path) -> None:
    steps = """
    - repeat: {max: 5, steps: [{set: {round: "${vars.round + 1}"}}, {goto: out, when: vars.round == 2}]}
    - say: Never.
    """
    over = await dial(library(tmp_path, flow(steps, head=f"{HEAD}\nsections: {{out: [{{say: Out.}}]}}")))
    assert over.heard == ["Out."]
    assert over.call.walker.vars["round"] == 2


@virtual_time
async def test_a_failure_inside_ends_the_loop(tmp_path: Path) -> None:
    steps = """
    - repeat: {max: 5, steps: [{set: {round: "${vars.round + 1}"}}, {id: bad, say: "${steps.bad.outcome.size() + 1}"}]}
      catch: [{say: Caught.}]
    """
    over = await dial(library(tmp_path, flow(steps, head=HEAD)))
    assert over.heard == ["Caught."]
    assert over.call.walker.vars["round"] == 1


@virtual_time
async def test_a_condition_that_cannot_be_told_is_an_error_of_the_step(tmp_path: Path) -> None:
    steps = (
        "- id: again\n  repeat: {max: 5, while: steps.again.outcome.size() > 1, steps: [{say: Never.}]}\n  catch: []"
    )
    over = await dial(library(tmp_path, flow(steps)))
    assert over.ways == [("repeat", "error")]
    assert "has no value yet" in over.record.steps[0].detail


@virtual_time
async def test_a_loop_of_too_many_steps_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    steps = "- repeat: {max: 1000, steps: [{set: {round: 1}}, {set: {round: 2}}]}"
    over = await dial(
        library(tmp_path, flow(steps, head=f"{HEAD}\nhandlers: [{{event: error, steps: [{{say: Sorry.}}]}}]"))
    )
    assert over.heard == ["Sorry."]
    assert "loop: the call ran 1000 steps" in over.record.error


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - repeat: {steps: [{say: Hi}]}
        - repeat: {max: 0, steps: []}
        - repeat: {max: 1001, steps: []}
        - repeat: {max: 2, while: vars.rond < 3, steps: []}
        - repeat: {max: 2}
        """,
        head=HEAD,
    )
    assert [line.split(": ", 2)[0] for line in found] == ["4:5", "5:19", "6:19", "7:29", "8:5"]
    assert found[0].endswith("repeat needs 'max'")
    assert "did you mean 'vars.round'" in found[3]
    assert found[4].endswith("repeat needs 'steps'")


def test_its_condition_is_true_or_false(tmp_path: Path) -> None:
    head = "vars: {s: {type: string}}"
    found = problems(tmp_path, "- repeat: {max: 2, while: vars.s, steps: []}", head=head)
    assert found == ["4:29: error[E301]: this must be boolean, but it is string"]
