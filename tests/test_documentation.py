"""What the documentation shows must work as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.verbs import installed
from flows.language import Language

ROOT = Path(__file__).parent.parent
RESOURCES = "calendars:\n  office: {timezone: Europe/Berlin, open: {mon-fri: ['09:00-17:00']}}\n"


def test_the_flow_of_the_readme_is_right_and_short(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    flow = re.search(r"```yaml\n(flow: .*?)```", text, re.DOTALL)
    assert flow is not None
    (tmp_path / "reception.flow.yaml").write_text(flow[1])
    (tmp_path / "resources.yaml").write_text(RESOURCES)
    loaded = Language(installed()).load([tmp_path])
    assert [str(problem) for problem in loaded.problems] == []
    assert len(flow[1].splitlines()) <= 22


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
)
def test_links_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    missing = [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()]
    assert missing == [], f"{page} links to what does not exist"


def test_every_example_flow_is_right() -> None:
    for folder in sorted((ROOT / "flows" / "examples").iterdir()):
        loaded = Language(installed()).load([folder])
        assert [str(problem) for problem in loaded.problems] == [], folder
