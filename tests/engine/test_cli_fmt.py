from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main

LOOSE = "flow: a # name\nsteps: [{hangup: {}}]\n"
LAID = "flow: a  # name\nsteps:\n  - hangup: {}\n"


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "a.flow.yaml",
        "sub/a.test.yaml",
        "sub/routes.yaml",
        "resources.yaml",
        "other.yaml",
        ".git/b.flow.yaml",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(LOOSE)


def fmt(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["fmt", *arguments])


def test_a_folder_is_laid_out_but_what_is_not_of_flows() -> None:
    result = fmt(".")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "changed a.flow.yaml", "changed resources.yaml", "changed sub/a.test.yaml", "changed sub/routes.yaml",
    ]  # fmt: skip
    assert result.stderr == "4 files, 4 changed\n"
    assert Path("a.flow.yaml").read_text() == Path("sub/a.test.yaml").read_text() == LAID
    assert Path("other.yaml").read_text() == Path(".git/b.flow.yaml").read_text() == LOOSE
    again = fmt(".", "a.flow.yaml")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "4 files, 0 changed\n")


def test_check_changes_nothing_and_fails() -> None:
    result = fmt("--check", "a.flow.yaml")
    assert (result.exit_code, result.stdout) == (1, "would change a.flow.yaml\n")
    assert Path("a.flow.yaml").read_text() == LOOSE
    Path("a.flow.yaml").write_text(LAID)
    assert fmt("--check", "a.flow.yaml").exit_code == 0


def test_a_file_that_cannot_be_read_is_left_alone_and_the_others_are_not() -> None:
    Path("a.flow.yaml").write_text("steps: [\n")
    result = fmt("a.flow.yaml", "resources.yaml", "other.yaml")
    assert result.exit_code == 1
    assert "a.flow.yaml:2:1: error[E102]" in result.stdout
    assert result.stderr == "3 files, 2 changed, 1 left alone\n"
    assert Path("a.flow.yaml").read_text() == "steps: [\n"
    assert Path("other.yaml").read_text() == LAID


def test_a_path_that_is_missing_is_a_wrong_argument() -> None:
    assert fmt("gone").exit_code == 2
