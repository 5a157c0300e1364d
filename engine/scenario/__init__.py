"""Tests of flows: a file says what a caller does and what must happen; the call runs on the virtual line.

library = Language(installed())
for scenario in ScenarioReader(library).read(Path("orders.test.yaml")).scenarios:
    assert run_scenario(scenario).passed
"""

from engine.scenario.coverage import Coverage, coverage
from engine.scenario.expect import Failure
from engine.scenario.file import Scenario, ScenarioFile, ScenarioReader, found
from engine.scenario.rated import run_rated
from engine.scenario.run import Result, run_scenario

__all__ = [
    "Coverage", "Failure", "Result", "Scenario", "ScenarioFile", "ScenarioReader", "coverage", "found", "run_rated",
    "run_scenario",
]  # fmt: skip
