from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

VARS = """
vars:
  round: {type: integer, default: 1}
  share: {type: number}
  name: {type: string, default: Ada}
  sure: {type: boolean}
  order: {type: object}
  items: {type: array}
  at: {type: timestamp}
  thing: {type: any}
"""


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("{round: 7}", "round", 7),
        ('{round: "${vars.round + 1}"}', "round", 2),
        ("{share: 2}", "share", 2.0),
        ("{name: Bob}", "name", "Bob"),
        ('{name: "${caller.name} ${vars.name}"}', "name", "Ada Ada"),
        ("{sure: true}", "sure", True),
        ('{order: {dish: "${vars.name}", sizes: [1, "${vars.round}"]}}', "order", {"dish": "Ada", "sizes": [1, 1]}),
        ('{items: ["a", 2]}', "items", ["a", 2]),
        ("{thing: null}", "thing", None),
        ('{thing: "${[1, vars.round]}"}', "thing", [1, 1]),
    ],
)
@virtual_time
async def test_a_variable_takes_a_value_of_its_type(tmp_path: Path, given: str, name: str, value: object) -> None:
    over = await dial(library(tmp_path, flow(f"- set: {given}", head=VARS)))
    assert over.ways == [("set", "done")]
    kept = over.call.walker.vars[name]
    assert (kept, type(kept)) == (value, type(value))


@virtual_time
async def test_a_moment_can_be_kept(tmp_path: Path) -> None:
    house = library(tmp_path, flow('- set: {at: "${now}"}\n- say: ${string(vars.at.getFullYear())}', head=VARS))
    over = await dial(house)
    assert over.call.walker.vars["at"] == over.record.started
    assert over.heard == ["2026"]


@virtual_time
async def test_all_values_are_taken_before_the_first_is_given(tmp_path: Path) -> None:
    head = "vars: {a: {type: integer, default: 1}, b: {type: integer, default: 2}}"
    over = await dial(library(tmp_path, flow('- set: {a: "${vars.b}", b: "${vars.a}"}', head=head)))
    assert over.call.walker.vars == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{round: "${vars.thing}"}', "vars.round is declared as integer, but the value is string"),
        ("{name: \"${steps.first.outcome.size() > 9 ? 'a' : vars.thing}\", round: 9}", "'steps.first.outcome'"),
        ('{round: "${vars.share}"}', "vars.round is declared as integer, but the value is number"),
        ('{at: "${vars.thing}"}', "vars.at is declared as timestamp, but the value is string"),
    ],
)
@virtual_time
async def test_a_value_that_turns_out_wrong_is_an_error_and_changes_nothing(
    tmp_path: Path, given: str, said: str
) -> None:
    steps = f"- set: {{thing: x, share: 1.5}}\n- id: first\n  set: {given}\n  catch: []"
    over = await dial(library(tmp_path, flow(steps, head=VARS)))
    assert over.ways == [("set", "done"), ("set", "error")]
    assert said in over.record.steps[1].detail
    assert over.call.walker.vars["round"] == 1


@virtual_time
async def test_every_call_begins_with_its_own_values(tmp_path: Path) -> None:
    head = "vars: {seen: {type: array, default: [a]}}"
    house = library(tmp_path, flow("- set: {seen: \"${vars.seen + ['b']}\"}", head=head))
    for _ in range(2):
        over = await dial(house)
        assert over.call.walker.vars == {"seen": ["a", "b"]}


def test_what_the_check_says(tmp_path: Path) -> None:
    head = "vars: {round: {type: integer}, name: {type: string}}"
    found = problems(
        tmp_path,
        """
        - set: {ruond: 1}
        - set: {round: one}
        - set: {round: "${vars.name}", name: 3}
        - set: {name: "${vars.nam}"}
        - set: {round: 1.5}
        - set: {round: 2.0}
        """,
        head=head,
    )
    assert found == [
        "4:11: error[E301]: unknown variable 'ruond' (did you mean 'round'?)",
        "5:18: error[E301]: vars.round is declared as integer, but this is string",
        "6:18: error[E301]: vars.round is declared as integer, but this is string",
        "6:40: error[E301]: vars.name is declared as string, but this is integer",
        "7:20: error[E301]: unknown variable 'vars.nam' (did you mean 'vars.name'?)",
        "8:18: error[E301]: vars.round is declared as integer, but this is number",
    ]
