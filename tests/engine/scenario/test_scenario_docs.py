"""What docs/testing.md shows works as it stands there, and it leaves no key out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from textwrap import indent

import pytest

import flows
from engine.scenario import ScenarioReader, fields, run_scenario
from engine.verb import installed
from flows.language import Language
from flows.verb import Fields
from tests.engine.scenario.folder import HEAD, mistakes

TEXT = (Path(flows.__file__).parent.parent / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
WHOLE = [block for block in BLOCKS if "script:" in block]
MODELS = [one for one in vars(fields).values() if isinstance(one, type) and issubclass(one, Fields)]


@pytest.mark.parametrize("text", WHOLE, ids=["one test", "several tests"])
def test_the_tests_that_it_shows_pass(tmp_path: Path, text: str) -> None:
    folder = shutil.copytree(Path(flows.__file__).parent / "examples" / "restaurant", tmp_path / "bella")
    path = folder / "shown.test.yaml"
    path.write_text(text)
    file = ScenarioReader(Language(installed())).read(path)
    assert [str(problem) for problem in file.problems] == []
    assert [str(failure) for one in file.scenarios for failure in run_scenario(one).failures] == []
    assert file.scenarios


def test_the_parts_of_tests_that_it_shows_are_right(tmp_path: Path) -> None:
    parts = [block for block in BLOCKS if block not in WHOLE]
    assert len(parts) == 4
    for part in parts:
        inside = f"script:\n{indent(part, '  ')}" if part.startswith("- ") else f"mocks:\n{indent(part, '  ')}"
        said = mistakes(tmp_path, HEAD + inside + "never: told\n")
        own = ("urgent", "front-desk")  # names that the flow of our tests does not have
        assert [one for one in said if not any(name in one for name in own)] == [said[-1]]
        assert "unknown key 'never'" in said[-1]


@pytest.mark.parametrize("row", re.findall(r"^\| `[a-z`, ]+` \|.*\| `(\{.*\})` \|$", TEXT, re.MULTILINE))
def test_what_the_table_of_expectations_shows_is_right(tmp_path: Path, row: str) -> None:
    (said,) = mistakes(tmp_path, HEAD + f"script: [{{expect: {row}}}]\nnever: told\n")
    assert "unknown key 'never'" in said


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_key_is_left_out(model: type[Fields]) -> None:
    names = [info.alias or name for name, info in model.model_fields.items()]
    assert [name for name in names if not re.search(rf"\b{name}\b", TEXT) and name != "note"] == []
