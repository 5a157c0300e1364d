"""What docs/writing-a-verb.md shows must work as it stands there: installed, checked, called and tested."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.outcome import Outcome
from engine.verb import installed
from engine.virtual import virtual_time
from flows.language import Language
from flows.verb import Verb
from tests.engine.verbs.phone import dial, flow, library, problems
from tests.engine.verbs.test_verb_menu import keys

PAGE = (Path(__file__).resolve().parents[3] / "docs/writing-a-verb.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, in a folder where Python finds packages, with the metadata that an installer writes."""
    folder = tmp_path / "site"
    verb, test = blocks("python")
    folder.mkdir()
    (folder / "survey.py").write_text(verb)
    (folder / "survey_tests.py").write_text(test)
    project = tomllib.loads(blocks("toml")[0])["project"]
    info = folder / "bella_survey-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in entries.items())
              for group, entries in project["entry-points"].items()]  # fmt: skip
    info.joinpath("entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("survey", "survey_tests"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("package")
def test_it_is_found_beside_our_own() -> None:
    verbs = installed()
    assert {"survey", "say", "converse"} <= set(verbs)
    schema = Language(verbs).schema()
    assert "survey" in str(schema)


@pytest.mark.usefixtures("package")
@virtual_time
async def test_its_flow_is_right_and_runs(tmp_path: Path) -> None:
    house = library(tmp_path / "flows", blocks("yaml")[0])
    over = await dial(house, keys((1, "5")), name="bella/survey")
    question = "How was the pizza? Press a key from 1 to 5; 5 is the best."
    assert over.heard == [f"{question}…", "Thank you, the cook will be happy!", "You gave us 5. Goodbye."]
    assert over.ways == [("survey", "best"), ("say", "done"), ("say", "done")]
    assert over.record.transcript[0].text == question


@pytest.mark.usefixtures("package")
def test_its_mistakes_are_found(tmp_path: Path) -> None:
    said = re.search(r"^survey\.flow\.yaml:\d+:\d+: (error.*)$", PAGE, re.MULTILINE)
    assert said is not None
    found = problems(tmp_path / "a", "- survey: How was it?\n  outcomes: {no_input: []}")
    assert found == [f"3:13: {said[1]}"]
    found = problems(tmp_path / "b", "- survey: From 1 to 5?")
    assert len(found) == 1
    assert "survey may end with no_input, which nothing in this flow handles" in found[0]
    found = problems(tmp_path / "c", "- survey: {bset: 4, ask: From 1 to 4?}\n  catch: []")
    assert found == ["3:14: error[E201]: unknown key 'bset' (did you mean 'best'?)"]


def test_its_own_tests_pass(package: Path, tmp_path: Path) -> None:
    module = importlib.import_module("survey_tests")
    tests = [test for name, test in inspect.getmembers(module) if name.startswith("test_")]
    assert len(tests) == 3
    for number, test in enumerate(tests):
        folder = tmp_path / str(number)
        folder.mkdir()
        test(folder)


@pytest.mark.usefixtures("package")
@virtual_time
async def test_a_mistake_in_a_plugin_ends_its_step_and_not_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = importlib.import_module("survey")

    async def breaks(self: Any, step: Any, call: Any) -> Outcome:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(survey.Survey, "run", breaks)
    house = library(tmp_path / "flows", flow("- survey: From 1 to 5?\n  catch: [{say: Never mind.}]"))
    over = await dial(house)
    assert over.ways == [("survey", "error"), ("say", "done")]
    assert over.record.steps[0].detail == "ZeroDivisionError: a mistake"


def test_two_verbs_of_one_name_are_refused(package: Path) -> None:
    points = package / "bella_survey-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "again = survey:Survey\n")
    with pytest.raises(ValueError, match="two installed packages bring a verb named 'survey'"):
        installed()


@pytest.mark.parametrize("name", ["summary", "shorthand", "falls_through", "interactive", "needs_caller"])
def test_the_page_names_everything_that_the_language_asks_of_a_verb(name: str) -> None:
    assert name in Verb.__annotations__
    assert f"`{name}" in PAGE
