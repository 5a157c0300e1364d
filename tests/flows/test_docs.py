"""The documents for authors are right: every code is explained, and every example loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.verb import installed
from flows.language import Language

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/flow-language.md").read_text(), re.DOTALL)
EXAMPLES = sorted(path for path in (ROOT / "flows/examples").iterdir() if path.is_dir())
FLOWS = [block for block in BLOCKS if block.startswith("flow:")]


def test_every_code_is_explained_and_no_other() -> None:
    sources = [*(ROOT / "flows").glob("*.py"), *(ROOT / "engine").rglob("*.py")]
    used = {code for path in sources for code in re.findall(r'"([EW][0-9]{3})"', path.read_text())}
    explained = re.findall(r"^### ([EW][0-9]{3}):", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    assert explained == sorted(used)


@pytest.mark.parametrize("flow", FLOWS, ids=[flow.splitlines()[0].removeprefix("flow: ") for flow in FLOWS])
def test_every_example_loads_with_the_installed_verbs(flow: str, tmp_path: Path) -> None:
    (tmp_path / "example.flow.yaml").write_text(flow)
    (tmp_path / "resources.yaml").write_text(next(block for block in BLOCKS if block.startswith("calendars:")))
    problems = Language(installed()).load([tmp_path]).problems
    said = [(n, code) for n, line in enumerate(flow.splitlines(), 1) for code in re.findall(r"# (W[0-9]{3}):", line)]
    assert [(problem.line, problem.code) for problem in problems] == said


@pytest.mark.parametrize("routes", [block for block in BLOCKS if block.startswith("routes:")])
def test_the_examples_of_routes_load(routes: str, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(routes)
    (tmp_path / "resources.yaml").write_text(next(block for block in BLOCKS if block.startswith("calendars:")))
    for file in ("orders", "orders.next", "night", "gold"):
        name = file.removesuffix(".next")
        (tmp_path / f"{file}.flow.yaml").write_text(f"flow: bella/{name}\nsteps: [{{hangup: {{}}}}]\n")
    assert Language(installed()).load([tmp_path]).problems == []


@pytest.mark.parametrize("folder", EXAMPLES, ids=[folder.name for folder in EXAMPLES])
def test_every_example_flow_loads(folder: Path) -> None:
    loaded = Language(installed()).load([folder])
    assert loaded.problems == []
    assert loaded.library is not None
    assert loaded.library.flows


def test_the_examples_can_be_used_together() -> None:
    assert Language(installed()).load([ROOT / "flows/examples"]).problems == []
