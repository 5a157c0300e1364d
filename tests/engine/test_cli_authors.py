from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from engine.cli import main
from flows.layout import layout


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# ── new ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_flow_passes_the_check_and_is_laid_out() -> None:
    assert run("new", "reception").exit_code == 0
    assert run("new", "bella/orders", "--in", "flows").exit_code == 0
    assert sorted(path.name for path in Path("flows/bella/orders").iterdir()) == [
        "orders.flow.yaml", "orders.test.yaml", "resources.yaml",
    ]  # fmt: skip
    for folder in ("reception", "flows", "."):
        checked = run("check", folder)
        assert (checked.exit_code, checked.stdout) == (0, "")
        assert "0 warnings" in checked.stderr
    for file in Path().rglob("*.yaml"):
        assert layout(str(file), file.read_bytes()) == file.read_bytes()


def test_its_test_names_its_own_flow_and_people() -> None:
    run("new", "bella/orders")
    test = yaml.safe_load(Path("bella/orders/orders.test.yaml").read_text())
    people = yaml.safe_load(Path("bella/orders/resources.yaml").read_text())["destinations"]
    assert test["flow"] == "bella/orders"
    assert {target for one in test["tests"] for target in one.get("mocks", {}).get("targets", {})} == set(people)


def test_nothing_is_overwritten() -> None:
    run("new", "reception")
    Path("reception/reception.flow.yaml").unlink()
    Path("reception/resources.yaml").write_text("mine")
    result = run("new", "reception")
    assert result.exit_code == 2
    assert "reception/resources.yaml exists already" in result.stderr
    assert Path("reception/resources.yaml").read_text() == "mine"
    assert not Path("reception/reception.flow.yaml").exists()


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a b", "", ".", "a//b", "a/"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    result = run("new", name)
    assert result.exit_code == 2
    assert "cannot be a flow's name" in result.stderr
    assert not list(Path().iterdir())


def test_a_folder_that_cannot_be_made_is_said() -> None:
    Path("file").write_text("")
    result = run("new", "x", "--in", "file/below")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


# ── graph ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_flow_is_drawn_by_its_file_or_its_name() -> None:
    run("new", "bella/orders", "--in", "flows")
    by_file = run("graph", "flows/bella/orders/orders.flow.yaml")
    by_name = run("graph", "bella/orders", "--in", "flows")
    assert by_file.exit_code == by_name.exit_code == 0
    assert by_file.stdout == by_name.stdout
    assert by_file.stdout.startswith("flowchart TD\n")
    assert run("graph", "bella/orders", "--in", "flows", "--format", "svg").stdout.startswith("<svg ")


def test_what_cannot_be_drawn_is_said() -> None:
    run("new", "reception")
    unknown = run("graph", "recepton")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "did you mean 'reception'?" in unknown.stderr
    assert "is no *.flow.yaml" in run("graph", "reception/resources.yaml").stderr
    Path("reception/reception.flow.yaml").write_text("flow: reception\nsteps: [{goto: x}]\n")
    broken = run("graph", "reception")
    assert broken.exit_code == 2
    assert "unknown section 'x'" in broken.stderr
    assert broken.stdout == ""


@pytest.mark.parametrize("given", ["house", "house/reception.test.yaml"])
def test_tests_are_checked_as_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "house").mkdir()
    (tmp_path / "house/reception.flow.yaml").write_text("flow: reception\nsteps: [{id: hello, say: Hello.}]\n")
    test = tmp_path / "house/reception.test.yaml"
    test.write_text("test: it greets\nflow: reception\nscript: [{expect: {step: helo}}]\n")
    told = CliRunner().invoke(main, ["check", given])
    assert told.exit_code == 1
    assert "house/reception.test.yaml:3:26: error[E302]: unknown step 'helo' (did you mean 'hello'?)" in told.output
    test.write_text(test.read_text().replace("helo", "hello"))
    assert CliRunner().invoke(main, ["check", given]).exit_code == 0


@pytest.mark.parametrize("name", ["a.flow.yaml", "a.test.yaml", "resources.yaml"])
@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_nothing_is_shown_of_a_file_to_which_only_a_link_out_of_the_folder_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outside = tmp_path / "secrets.txt"
    outside.write_text("root:x:0:0\n")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/b.flow.yaml").write_text("flow: b\nsteps: [{hangup: {}}]\n")
    (tmp_path / "flows" / name).symlink_to(outside)
    told = CliRunner().invoke(main, ["check", "flows", "--format", form])
    assert told.exit_code == 1
    assert f"it is a link to {outside}, in another folder: name that file" in told.stdout
    assert "root:x" not in told.output
    named = CliRunner().invoke(main, ["check", "flows/b.flow.yaml", f"flows/{name}"])
    assert f"flows/{name}:1:1: error" in named.stdout
    assert "another folder" not in named.output, "who names it wants it read"


def test_a_test_that_is_a_link_out_of_the_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/b.flow.yaml").write_text("flow: b\nsteps: [{hangup: {}}]\n")
    outside = tmp_path / "other.test.yaml"
    outside.write_text("test: It ends.\nflow: b\ncaller: []\nexpect: {outcome: completed}\n")
    (tmp_path / "flows/a.test.yaml").symlink_to(outside)
    told = CliRunner().invoke(main, ["test", "flows"])
    assert told.exit_code != 0
    assert f"cannot be read: it is a link to {outside}" in told.output
    assert "It ends." not in told.output


# ── check with the engine's settings ──────────────────────────────────────────────────────────────────────────────────

NEEDS_A_WRITER = """\
flow: test
steps:
  - converse: {context: summary, exits: {a: {}}}
    catch: []
"""


@pytest.mark.parametrize(
    ("settings", "code"),
    [("voice: rehearsal\n", 1), ("max_calls: 5\n", 1), ("text: chat\n", 0), ("voice: openai\n", 0), (None, 2)],
)
def test_the_check_knows_the_settings_that_it_is_given(settings: str | None, code: int) -> None:
    """Without them it leaves open who writes for a flow that names nobody."""
    Path("a.flow.yaml").write_text(NEEDS_A_WRITER)
    assert run("check", "a.flow.yaml").exit_code == 0
    if settings is not None:
        Path("engine.yaml").write_text(settings)
    result = run("check", "a.flow.yaml", "--config", "engine.yaml")
    assert result.exit_code == code
    assert ("a.flow.yaml:3:25: error[E311]: context: summary needs a text model" in result.stdout) == (code == 1)


def test_settings_that_the_check_finds_by_itself_count_where_they_say_who_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("a.flow.yaml").write_text(NEEDS_A_WRITER)
    Path("hookflash.yaml").write_text("max_calls: 5\n")
    assert run("check", "a.flow.yaml").exit_code == 0  # they may be another machine's
    Path("hookflash.yaml").write_text("voice: rehearsal\n")
    assert run("check", "a.flow.yaml").exit_code == 1
    monkeypatch.setenv("HOOKFLASH_TEXT", "chat")
    assert run("check", "a.flow.yaml").exit_code == 0


def test_the_check_knows_the_accounts_of_the_settings_that_it_is_given() -> None:
    Path("a.flow.yaml").write_text("flow: test\ndefaults: {account: acme}\nsteps: [{hangup: {}}]\n")
    Path("engine.yaml").write_text("max_calls: 5\n")
    assert run("check", "a.flow.yaml").exit_code == 0
    assert "unknown account 'acme'" in run("check", "a.flow.yaml", "-c", "engine.yaml").stdout


@pytest.mark.parametrize("command", ["check", "graph", "test"])
def test_no_command_waits_for_a_pipe(command: str) -> None:
    """Nor for a file that a flow names, or a test."""
    Path("a.flow.yaml").write_text("flow: a\nsteps:\n  - play: b.wav\n")
    Path("a.test.yaml").write_text("test: a\nflow: a\nscript: [{silence: 1s}]\n")
    for name in ("b.wav", "c.flow.yaml", "d.test.yaml"):
        os.mkfifo(name)
    result = run(command, ".")
    assert result.exit_code == (1 if command == "check" else 2)
    said = result.output + result.stderr
    assert "c.flow.yaml:1:1: error[E101]: cannot be read: it is no regular file" in said
    assert "a.flow.yaml:3:11: error[E306]: file 'b.wav': it is no regular file" in said
    assert ("d.test.yaml:1:1: error[E101]: cannot be read: it is no regular file" in said) == (command != "graph")
