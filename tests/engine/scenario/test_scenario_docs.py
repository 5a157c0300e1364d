"""What docs/testing.md shows works as it stands there, and it leaves no key out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from textwrap import indent

import pytest

import flows
from engine.scenario import Scenario, ScenarioReader, fields, run_scenario
from engine.verb import installed
from flows.language import Language
from flows.verb import Fields
from tests.engine.scenario.folder import HEAD, mistakes
from tests.engine.scenario.thinker import Answer, Asked, Thinker, played

TEXT = (Path(flows.__file__).parent.parent / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
WHOLE = [block for block in BLOCKS if "script:" in block]
SIMULATED = [block for block in BLOCKS if "simulate:" in block]
MODELS = [one for one in vars(fields).values() if isinstance(one, type) and issubclass(one, Fields)]


def shown(folder: Path, text: str) -> tuple[Scenario, ...]:
    """A test that the page shows, of the restaurant."""
    house = shutil.copytree(Path(flows.__file__).parent / "examples" / "restaurant", folder / "bella")
    path = house / "shown.test.yaml"
    path.write_text(text)
    file = ScenarioReader(Language(installed())).read(path)
    assert [str(problem) for problem in file.problems] == []
    return file.scenarios


@pytest.mark.parametrize("text", WHOLE, ids=["one test", "several tests"])
def test_the_tests_that_it_shows_pass(tmp_path: Path, text: str) -> None:
    scenarios = shown(tmp_path, text)
    assert [str(failure) for one in scenarios for failure in run_scenario(one).failures] == []
    assert scenarios


async def test_the_first_test_passes_with_a_model_as_well(tmp_path: Path) -> None:
    model = Thinker([("menu", {"dish": "margherita"}), "That is nineteen dollars. Shall I book it?", finish(2)])
    result = await played(shown(tmp_path, WHOLE[0])[0], model)
    assert [str(failure) for failure in result.failures] == []


async def test_the_simulated_test_that_it_shows_passes(tmp_path: Path) -> None:
    (text,) = SIMULATED
    caller = iter(["Two Margheritas, please.", "Make it one. What does it cost?", "Yes. Ada."])
    voice = iter(["Two?", ("menu", {"dish": "margherita"}), "One, at nine fifty?", finish(1)])

    def answer(asked: Asked) -> Answer:
        if asked.schema is not None:
            return json.dumps({"verdicts": [{"criterion": n, "reason": "So.", "met": True} for n in (1, 2)]})
        return next(caller if "hang_up" in [tool.name for tool in asked.tools] else voice)

    result = await played(shown(tmp_path, text)[0], Thinker(answer))
    assert [str(failure) for failure in result.failures] == []


def finish(count: int) -> Answer:
    return "finish", {"exit": "ordered", "data": {"way": "pickup", "dishes": [{"name": "Margherita", "count": count}]}}


def test_the_parts_of_tests_that_it_shows_are_right(tmp_path: Path) -> None:
    parts = [block for block in BLOCKS if block not in (*WHOLE, *SIMULATED)]
    assert len(parts) == 4
    for part in parts:
        inside = f"script:\n{indent(part, '  ')}" if part.startswith("- ") else f"mocks:\n{indent(part, '  ')}"
        said = mistakes(tmp_path, HEAD + inside + "never: told\n")
        own = ("urgent", "front-desk")  # names that the flow of our tests does not have
        assert [one for one in said if not any(name in one for name in own)] == [said[-1]]
        assert "unknown key 'never'" in said[-1]


@pytest.mark.parametrize("row", re.findall(r"^\| `[a-z`, ]+` \|.*\| `(\{.*\})` \|$", TEXT, re.MULTILINE))
def test_what_the_table_of_expectations_shows_is_right(tmp_path: Path, row: str) -> None:
    said = mistakes(tmp_path, HEAD + f"script: [{{expect: {row}}}]\nnever: told\n")
    assert [one for one in said if "'reason'" not in one] == [said[-1]]  # a variable of another flow
    assert "unknown key 'never'" in said[-1]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_key_is_left_out(model: type[Fields]) -> None:
    names = [info.alias or name for name, info in model.model_fields.items()]
    assert [name for name in names if not re.search(rf"\b{name}\b", TEXT) and name != "note"] == []
