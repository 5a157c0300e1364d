"""What docs/editor.md promises of an editor, on the language server that editors run."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.verbs import installed
from flows.language import Language
from tests.editor.server import Editor, Place, editor

pytestmark = pytest.mark.editor
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Editor]:
    """An editor that is set up as the document says."""
    found = re.search(r"```json\n(\{\n  \"yaml\..*?)```", (ROOT / "docs/editor.md").read_text(), re.DOTALL)
    assert found is not None
    shown: dict[str, Any] = json.loads(found[1])
    (schema,) = shown["yaml.schemas"]
    file = tmp_path / schema
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(CliRunner().invoke(main, ["schema"]).stdout)
    settings = {name.removeprefix("yaml."): value for name, value in shown.items()}
    settings["schemas"] = {file.as_uri(): shown["yaml.schemas"][schema]}  # VS Code resolves it by its folder
    settings |= {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}
    async with editor(tmp_path, settings) as found_editor:
        yield found_editor


HEAD = "flow: a\nsteps:\n"


@pytest.mark.parametrize(
    ("verb", "names"),
    [
        ("transfer: {attempts: [{targets: [a]}]}", ["connected", "no_answer", "busy", "declined", "failed", "timeout"]),
        ("check_hours: office", ["open", "closed", "holiday"]),
        ("menu: {say: Choose.}", ["0", "9", "*", "#", "no_input", "no_match"]),
        ("converse: {}", ["silence", "max_duration", "provider_error"]),
    ],
)
async def test_the_outcomes_of_a_verb_are_completed_and_no_others(opened: Editor, verb: str, names: list[str]) -> None:
    await opened.open("a.flow.yaml", f"{HEAD}  - {verb}\n    outcomes:\n      \n")
    offered = [label.strip("\"'") for label in await opened.completed("a.flow.yaml", 5, 7)]
    assert set(names) <= set(offered)
    verbs = installed()
    every = {name for other in verbs.values() for name in other.ways_to_end.names}
    strange = every - set(verbs[verb.partition(":")[0]].ways_to_end.names) - set(names)
    assert strange
    assert not strange & set(offered)


async def test_verbs_common_keys_and_fields_are_completed(opened: Editor) -> None:
    await opened.open("a.flow.yaml", f"{HEAD}  - \n")
    assert {*installed(), "id", "when"} <= set(await opened.completed("a.flow.yaml", 3, 5))
    await opened.open("b.flow.yaml", f"{HEAD}  - say:\n      \n")
    assert {"text", "language"} <= set(await opened.completed("b.flow.yaml", 4, 7))


@pytest.mark.parametrize(
    ("line", "column", "shown"),
    [
        (3, 6, "Hand the call to a person"),  # the verb
        (4, 8, "Tried in order until somebody answers"),  # its field
        (7, 8, "When transfer ends with busy"),  # an outcome
        (8, 6, "How long the step may take"),  # a common key
        (1, 2, "The flow's name"),
    ],
)
async def test_what_things_are_is_shown_where_they_stand(opened: Editor, line: int, column: int, shown: str) -> None:
    step = "  - transfer:\n      attempts:\n        - targets: [a]\n    outcomes:\n      busy: []\n    timeout: 30s\n"
    await opened.open("a.flow.yaml", HEAD + step)
    assert shown in (await opened.hover("a.flow.yaml", line, column)).replace("\\", "")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"{HEAD}  - say: Hi\n    tiemout: 3s\n", (4, 5)),
        (f"{HEAD}  - say: {{text: Hi, lop: 2}}\n", (3, 21)),
        (f"{HEAD}  - transfer:\n      attempts:\n        - targets: [a]\n          rnig: serial\n", (6, 11)),
        (f"{HEAD}  - repeat:\n      max: 2\n      steps:\n        - sya: Hi\n", (6, 11)),
        (f"{HEAD}  - menu: {{say: Hi}}\n    outcomes:\n      no_input:\n        - sya: Hi\n", (6, 11)),
        ("flow: a\nstesp: []\nsteps: []\n", (2, 1)),
    ],
)
async def test_a_mistake_is_underlined_where_the_check_reports_it(
    opened: Editor, text: str, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "a.flow.yaml"
    file.write_text(text)
    problems = Language(installed()).load([file]).problems
    assert place in [(problem.line, problem.column) for problem in problems if problem.severity == "error"]
    assert [at for at, _ in await opened.open("a.flow.yaml", text)] == [place]


GOOD = {file.name: file.read_text() for file in sorted((ROOT / "flows/examples").rglob("*.flow.yaml"))}


@pytest.mark.parametrize("name", GOOD)
async def test_nothing_is_underlined_in_a_good_flow(opened: Editor, name: str) -> None:
    assert await opened.open(name, GOOD[name]) == []
