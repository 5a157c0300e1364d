from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    assert "a.flow.yaml:1:9: error[E102]" in result.stdout
    assert result.stderr == "3 files, 2 changed, 1 left alone\n"
    assert Path("a.flow.yaml").read_text() == "steps: [\n"
    assert Path("other.yaml").read_text() == LAID


def test_a_path_that_is_missing_is_a_wrong_argument() -> None:
    assert fmt("gone").exit_code == 2


# ── Files that are none of ours ───────────────────────────────────────────────────────────────────────────────────────


def test_a_link_that_leads_out_of_the_folder_is_not_written_through(tmp_path: Path) -> None:
    """Whatever a link in a folder of flows points at, `fmt flows/` changes nothing outside of it."""
    outside = tmp_path / "outside.txt"
    outside.write_text(LOOSE)
    Path("sub/b.flow.yaml").symlink_to(outside)
    for given in ("sub", "sub/b.flow.yaml"):
        result = fmt(given)
        assert result.exit_code == 1
        assert f"sub/b.flow.yaml: it is a link to {outside}, in another folder: name that file" in result.stderr
    assert outside.read_text() == LOOSE
    assert Path("sub/b.flow.yaml").is_symlink()


def test_a_link_inside_of_the_folder_is_followed() -> None:
    """So a mounted ConfigMap has its files."""
    Path("sub/b.flow.yaml").symlink_to("../a.flow.yaml")
    assert fmt(".").exit_code == 0
    assert Path("a.flow.yaml").read_text() == LAID
    assert Path("sub/b.flow.yaml").is_symlink()


def test_links_in_a_circle_are_told() -> None:
    Path("sub/b.flow.yaml").symlink_to("c.flow.yaml")
    Path("sub/c.flow.yaml").symlink_to("b.flow.yaml")
    result = fmt("sub")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "4 files, 2 changed, 2 left alone"


def test_a_pipe_is_not_waited_for() -> None:
    os.mkfifo("sub/b.flow.yaml")
    result = fmt("sub")
    assert result.exit_code == 1
    assert "sub/b.flow.yaml: it is no regular file" in result.stderr


@pytest.mark.parametrize("text", ["root:x:0:0:root:/root:/bin/sh\nuser:x:1:1:u:/:/bin/sh\n", "word\n", "- a\n-   b\n"])
def test_what_is_no_mapping_is_no_file_of_ours(text: str) -> None:
    Path("other.yaml").write_text(text)
    result = fmt("other.yaml")
    assert result.exit_code == 1
    assert "other.yaml:1:1: error[E203]: this is no file of flows: those are mappings" in result.stdout
    assert Path("other.yaml").read_text() == text


def test_a_file_is_replaced_as_a_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path("a.flow.yaml")
    file.chmod(0o640)
    with file.open() as opened:  # who reads it meanwhile
        assert fmt("a.flow.yaml").exit_code == 0
        assert opened.read() == LOOSE
    assert (file.read_text(), file.stat().st_mode & 0o777) == (LAID, 0o640)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file.write_text(LOOSE)
    monkeypatch.setattr(os, "fsync", full)
    result = fmt("a.flow.yaml")
    assert (result.exit_code, file.read_text()) == (1, LOOSE)
    assert "a.flow.yaml: No space left on device" in result.stderr
    assert [each.name for each in Path().iterdir() if each.name.startswith(".a.flow")] == []


def refuses(code: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("tempfile.mkstemp", errno.EACCES),  # a folder in which one may not write
        ("os.fchown", errno.EPERM),  # another's file, which one may write
        ("os.fchown", errno.EINVAL),  # a mounted folder that knows no such owner
        ("os.replace", errno.EPERM),  # another's file in a folder in which nobody removes another's files
        ("os.replace", errno.EBUSY),  # a file that is mounted itself
    ],
)
def test_a_file_that_cannot_be_replaced_is_written_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """Who may write a file may have it laid out, whosever it is and wherever it stands."""
    file, owner = Path("a.flow.yaml"), os.geteuid()
    file.chmod(0o664)
    file.write_text(LOOSE + "# " + "x" * 200 + "\n")  # longer than what comes of it, too
    Path("longer.flow.yaml").write_text("flow: a\nsteps: [{hangup: {}}, {hangup: {}}, {hangup: {}}]\n")
    number = file.stat().st_ino
    monkeypatch.setattr(call, refuses(code))
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert fmt("a.flow.yaml", "longer.flow.yaml").exit_code == 0
    assert file.read_text() == LAID + "# " + "x" * 200 + "\n"
    assert Path("longer.flow.yaml").read_text() == "flow: a\nsteps:\n" + "  - hangup: {}\n" * 3
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (number, 0o664)
    assert [each.name for each in Path().iterdir() if each.name.startswith(".a.flow")] == []


@pytest.mark.parametrize("trouble", ["no room", "a link in its place"])
def test_a_file_that_is_written_as_it_stands_is_not_left_half_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: str
) -> None:
    file, outside = Path("a.flow.yaml"), tmp_path / "outside.txt"
    outside.write_text(LOOSE)

    def half(write: Callable[..., int], number: int, data: bytes, at: int, most: int | None) -> int:
        return refuses(errno.ENOSPC)() if most is None else write(number, data[: most or len(data)], at)

    def refuse_and_swap(*_: object, **__: object) -> Any:
        file.unlink()
        file.symlink_to(outside)
        refuses(errno.EACCES)()

    if trouble == "no room":
        monkeypatch.setattr(tempfile, "mkstemp", refuses(errno.EACCES))
        write, answers = os.pwrite, iter([8, None])
        monkeypatch.setattr(os, "pwrite", lambda *to: half(write, *to, next(answers, 0)))
    else:
        monkeypatch.setattr(tempfile, "mkstemp", refuse_and_swap)
    result = fmt("a.flow.yaml")
    assert (result.exit_code, file.read_text(), outside.read_text()) == (1, LOOSE, LOOSE)
    why = "No space left on device" if trouble == "no room" else "another file has taken its place"
    assert f"a.flow.yaml: {why}" in result.stderr


def test_a_link_inside_of_the_folder_stays_one() -> None:
    Path("sub/linked.flow.yaml").symlink_to("../a.flow.yaml")
    assert fmt(".").exit_code == 0
    assert Path("sub/linked.flow.yaml").is_symlink()
    assert Path("a.flow.yaml").read_text() == LAID
