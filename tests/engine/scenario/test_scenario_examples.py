"""The tests of the shipped examples pass, and notice a broken flow: any step left out, any outcome forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import flows
from engine.cli import main
from engine.scenario import Scenario, ScenarioReader, coverage, found, run_scenario
from engine.scenario.coverage import declared
from engine.verb import installed
from flows.flow import Step
from flows.language import Language
from tests.engine.scenario.thinker import Answer, Asked, Thinker, played

CLINIC = Path(flows.__file__).parent / "examples" / "clinic"
EXAMPLES = sorted(path for path in (Path(flows.__file__).parent / "examples").iterdir() if path.is_dir())


def is_needed(step: Step) -> bool:
    """Not a step without which nothing changes: what speaks or asks next answers the call, too, and a call whose flow
    is at its end is hung up."""
    return step.verb.name != "answer" and not (step.verb.name == "hangup" and step.fields.result is None)  # type: ignore[attr-defined]


def scenarios(folder: Path) -> list[Scenario]:
    """Those that a script plays."""
    return [one for one in everything(folder) if one.fields.simulate is None]


def everything(folder: Path) -> list[Scenario]:
    reader = ScenarioReader(Language(installed()))
    files = [reader.read(path) for path in found([folder])]
    assert not [problem for file in files for problem in file.problems]
    return [scenario for file in files for scenario in file.scenarios]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_every_test_passes_and_all_steps_and_outcomes_are_covered(folder: Path) -> None:
    chosen = scenarios(folder)
    results = [run_scenario(scenario) for scenario in chosen]
    assert [str(failure) for result in results for failure in result.failures] == []
    covered = coverage([chosen[0].library], [result.ran for result in results])
    assert [one.missing for one in covered.flows if one.missing] == []
    assert covered.percent == 100


def steps(chosen: list[Scenario]) -> Iterator[Step]:
    for flow in chosen[0].library.flows.values():
        yield from flow.walk()


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_a_flow_without_one_of_its_steps_fails(folder: Path) -> None:
    chosen = scenarios(folder)
    survived = []
    for step in steps(chosen):
        object.__setattr__(step, "disabled", True)
        if all(run_scenario(scenario).passed for scenario in chosen) and is_needed(step):
            survived.append(str(step.where))
        object.__setattr__(step, "disabled", False)
    assert survived == []


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_a_flow_that_forgets_one_of_its_outcomes_fails(folder: Path) -> None:
    chosen = scenarios(folder)
    survived = []
    for step in steps(chosen):
        whole = step.outcomes
        for name in set(declared(step)) & set(whole):
            object.__setattr__(step, "outcomes", {key: value for key, value in whole.items() if key != name})
            if all(run_scenario(scenario).passed for scenario in chosen):
                survived.append(f"{step.where} {name}")
            object.__setattr__(step, "outcomes", whole)
    assert survived == []


async def test_a_frightened_daughter_can_be_played() -> None:
    chosen = [one for one in everything(CLINIC) if one.fields.simulate is not None]
    caller = iter([("wait", {}), "My father! His chest!"])
    voice = iter([("finish", {"exit": "urgent", "data": "chest pain"}), "Chest pain."])

    def answer(asked: Asked) -> Answer:
        if asked.schema is not None:
            return json.dumps({"verdicts": [{"criterion": n, "reason": "So.", "met": True} for n in (1, 2)]})
        return next(caller if "hang_up" in [tool.name for tool in asked.tools] else voice)

    result = await played(chosen[0], Thinker(answer))
    assert [str(failure) for failure in result.failures] == []
    assert any(
        row.text == 'pjsip:nurse-1 hears "Urgent call from a patient. Chest pain. Press 1 to take it."'
        for row in result.rows
    )


def test_the_examples_are_laid_out_as_fmt_does() -> None:
    told = CliRunner().invoke(main, ["fmt", "--check", *map(str, EXAMPLES)])
    assert told.exit_code == 0, told.output
