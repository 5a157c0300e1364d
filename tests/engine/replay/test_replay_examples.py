"""Every test of the examples, run with its call on record; the test that is made from the record passes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import flows
from engine.record import CallRecord
from engine.records import Records
from engine.replay import replayed
from engine.scenario import Result, Scenario, ScenarioReader, found, run_scenario
from engine.scenario.report import told
from engine.verb import installed
from flows.language import Language

EXAMPLES = Path(flows.__file__).parent / "examples"
LANGUAGE = Language(installed())
SCENARIOS = [
    scenario
    for path in found([EXAMPLES])
    for scenario in ScenarioReader(LANGUAGE).read(path).scenarios
    if scenario.fields.simulate is None
]

# Calls of which no record can make a test, by the name of the test that they ran, and why.
EXTRACTED = (
    "its text model read a sensitive variable, so the record has an outline of what it found, which fits no enum"
)
EXCEPTIONS = {
    "interested, but all closers are busy": EXTRACTED,
    "notes that do not reach the customer file": EXTRACTED,
    "a customer file that does not answer": EXTRACTED,
}


def again(record: CallRecord, folder: Path, house: Path) -> Result:
    """The test that is made from the record, run on the flows of a folder."""
    file = folder / "replayed.test.yaml"
    file.write_text(replayed(record), encoding="utf-8")
    read = ScenarioReader(LANGUAGE, house).read(file)
    assert [str(problem) for problem in read.problems] == [], file.read_text()
    (scenario,) = read.scenarios
    return run_scenario(scenario)


async def stored(record: CallRecord, folder: Path) -> CallRecord:
    """The record as the database gives it back."""
    async with Records.open(f"sqlite:///{folder}/records.db") as records:
        await records.save(record)
        await records.flush()
        return await records.get(record.id)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.file.parent.name}: {one.name}")
def test_a_call_of_an_example_can_be_replayed(scenario: Scenario, tmp_path: Path) -> None:
    first = run_scenario(scenario)
    assert first.passed
    assert first.record is not None
    result = again(first.record, tmp_path, scenario.file.parent)
    lines = "\n".join(told(result)) + "\n" + (tmp_path / "replayed.test.yaml").read_text()
    assert result.passed != (scenario.name in EXCEPTIONS), lines


def test_replayed_calls_notice_a_flow_without_one_of_its_steps(tmp_path: Path) -> None:
    """They are no weaker than the tests from whose calls they were made."""
    chosen = [scenario for scenario in SCENARIOS if scenario.file.parent.name == "bank"]
    again_chosen = []
    for number, scenario in enumerate(chosen):
        record = run_scenario(scenario).record
        assert record is not None
        file = tmp_path / f"{number}.test.yaml"
        file.write_text(replayed(record), encoding="utf-8")
        again_chosen += ScenarioReader(LANGUAGE, scenario.file.parent).read(file).scenarios
    survived = []
    library = chosen[0].library
    made = [Scenario(one.file, one.fields, library) for one in again_chosen]
    assert len(made) == len(chosen)
    for step in [step for flow in library.flows.values() for step in flow.walk()]:
        object.__setattr__(step, "disabled", True)
        if all(run_scenario(scenario).passed for scenario in made):
            survived.append(str(step.where))
        object.__setattr__(step, "disabled", False)
    assert survived == []


async def test_a_record_from_the_database_makes_the_same_test(tmp_path: Path) -> None:
    scenario = next(one for one in SCENARIOS if "first who presses 1" in one.name)
    record = (await asyncio.to_thread(run_scenario, scenario)).record
    assert record is not None
    assert replayed(await stored(record, tmp_path)) == replayed(record)
