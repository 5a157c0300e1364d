from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.mark.parametrize(
    "name", ["no", "on", "y", "123", "1.5", "1e5", "null", "true", "2026-01-01", "1_000", "_", "a.b", "true/no", "1a"]
)
def test_a_name_that_yaml_takes_for_something_else_is_quoted(name: str) -> None:
    """A flow may be called by a number, say that which callers dial."""
    assert run("new", name).exit_code == 0
    checked = run("check", name)
    assert (checked.exit_code, checked.stdout) == (0, "")
    assert run("test", name).exit_code == 0
    assert run("graph", name).exit_code == 0


@pytest.mark.parametrize("folder", ["two words", "a\nb: {", "\udcff\udcfe", "it's", "\x1b[31m"])
def test_a_new_flow_is_right_in_any_folder(folder: str) -> None:
    assert run("new", "hotel", "--in", folder).exit_code == 0
    assert run("check", folder).exit_code == 0
    assert run("test", folder).exit_code == 0


def test_a_name_that_is_too_long_for_a_file_is_refused() -> None:
    for length in (200, 201, 300, 5000):
        result = run("new", "a" * length)
        assert result.exit_code == (0 if length == 200 else 2)
        assert ("at most 200 characters" in result.stderr) == (length != 200)
    result = run("new", "hotel", "--in", "/".join(["a" * 200] * 30))
    assert (result.exit_code, "File name too long" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a b", "", ".", "a//b", "a/", ".5", "é", "a\n"])
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
    Path("other").mkdir()
    unknown = run("graph", "recepton")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "did you mean 'reception'?" in unknown.stderr
    assert "is no *.flow.yaml" in run("graph", "reception/resources.yaml").stderr
    assert "reception is a folder" in run("graph", "reception", "--in", "other").stderr
    Path("reception/reception.flow.yaml").write_text("flow: reception\nsteps: [{goto: x}]\n")
    broken = run("graph", "reception")
    assert broken.exit_code == 2
    assert "unknown section 'x'" in broken.stderr
    assert broken.stdout == ""


def test_a_flow_that_is_right_is_drawn_whatever_stands_beside_it() -> None:
    run("new", "hotel", "--in", "flows")
    alone = run("graph", "flows/hotel/hotel.flow.yaml").stdout
    Path("flows/hotel/x.flow.yaml").write_text("flow: x\nsteps: [{sya: Hi}]\n")
    Path("flows/hotel/y.flow.yaml").write_text("flow: [\n")
    Path("flows/routes.yaml").write_text("routes: 5\n")
    Path("flows/resources.yaml").write_text("destinations: {x: 5}\n")
    for given in (
        ["flows/hotel/hotel.flow.yaml"],
        ["hotel", "--in", "flows"],
        ["flows/hotel/hotel.flow.yaml", "--in", "flows"],
    ):
        drawn = run("graph", *given)
        assert (drawn.exit_code, drawn.stdout) == (0, alone)
    for given, told in (("x", "x.flow.yaml:2:10: error[E205]"), ("y", "y.flow.yaml:1:8: error[E102]")):
        refused = run("graph", f"flows/hotel/{given}.flow.yaml")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert told in refused.stderr
        assert refused.stderr.count("error[E") == 1 + (given == "x"), "resources.yaml stands in its way, too"


def test_a_next_version_is_drawn() -> None:
    for name, text in (("a", "Hello."), ("a.next", "Good day.")):
        Path(f"{name}.flow.yaml").write_text(f"flow: a\nsteps: [{{say: {text}}}]\n")
    assert "Good day." in run("graph", "a.next.flow.yaml").stdout
    assert "Hello." in run("graph", "a.flow.yaml").stdout
    assert "Hello." in run("graph", "a").stdout


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
    result = run(command, "a.flow.yaml" if command == "graph" else ".")
    assert result.exit_code == (1 if command == "check" else 2)
    said = result.output + result.stderr
    if command == "test":  # it does not use that one
        assert "left out, for errors that `hookflash check` tells: c.flow.yaml\n" in said
    if command == "check":
        assert "c.flow.yaml:1:1: error[E101]: cannot be read: it is no regular file" in said
    assert "a.flow.yaml:3:11: error[E306]: file 'b.wav': it is no regular file" in said
    assert ("d.test.yaml:1:1: error[E101]: cannot be read: it is no regular file" in said) == (command != "graph")


# ── check: files by themselves ────────────────────────────────────────────────────────────────────────────────────────

CALLS = "flow: a\nsteps:\n  - call: {flow: b}\n    catch: []\n"
GREETS = "flow: b\nsteps: [{say: Hello.}]\n"
WRONG = "flow: c\nsteps: [{sya: Hello.}]\n"


def write(**files: str) -> None:
    for name, text in files.items():
        Path(f"{name}.flow.yaml").write_text(text)


@pytest.mark.parametrize("folder", [".", "flows", "flows/bella"])
@pytest.mark.parametrize("file", ["hotel.flow.yaml", "resources.yaml", "hotel.test.yaml"])
def test_a_file_is_checked_with_the_house_that_it_stands_in(folder: str, file: str) -> None:
    run("new", "hotel", "--in", folder)
    result = run("check", f"{folder}/hotel/{file}")
    assert (result.exit_code, result.stdout) == (0, "")
    assert ("; 1 flow can run" in result.stderr) == (file == "hotel.flow.yaml")


def test_what_is_shared_above_its_folder_counts() -> None:
    run("new", "hotel", "--in", "flows")
    Path("flows/hotel/resources.yaml").rename("flows/resources.yaml")
    assert (
        run("check", "flows/hotel/hotel.flow.yaml", "flows/hotel/hotel.test.yaml", "flows/resources.yaml").exit_code
        == 0
    )


def test_houses_of_files_are_separate() -> None:
    """Two tenants may call different people by the same name."""
    for house in ("one", "two"):
        run("new", "hotel", "--in", house)
    named = [f"{house}/hotel/{file}" for house in ("one", "two") for file in ("hotel.flow.yaml", "resources.yaml")]
    result = run("check", *named)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 flows can run" in result.stderr
    assert run("check", "one", "two").exit_code == 1


def test_what_is_wrong_in_other_files_is_told_when_it_stands_in_the_way() -> None:
    write(a=CALLS, b=GREETS, c=WRONG)
    assert run("check", "a.flow.yaml", "b.flow.yaml").exit_code == 0
    assert run("check", ".").exit_code == 1
    write(b=GREETS.replace("say", "sya"))
    assert "b.flow.yaml:2:10: error[E205]" in run("check", "a.flow.yaml").stdout
    write(b="flow: [\n")
    told = run("check", "a.flow.yaml").stdout
    assert "a.flow.yaml:3:18: error[E302]: unknown flow 'b'" in told
    assert "b.flow.yaml:1:8: error[E102]" in told
    assert "c.flow.yaml:2" not in told
    write(b=GREETS)
    Path("resources.yaml").write_text("destinations: {x: 5}\n")
    assert "resources.yaml:1:19: error[E203]" in run("check", "b.flow.yaml").stdout
    assert run("check", "resources.yaml").exit_code == 1


def test_routes_are_checked_with_the_flows_beside_them() -> None:
    write(b=GREETS, c=WRONG)
    Path("routes.yaml").write_text("routes: [{flow: b}]\n")
    assert run("check", "routes.yaml").exit_code == 0
    write(b="flow: [\n")
    told = run("check", "routes.yaml").stdout
    assert "routes.yaml:1:17: error[E302]: unknown flow 'b'" in told
    assert "b.flow.yaml:1:8: error[E102]" in told


def test_files_are_named_as_they_were_given(tmp_path: Path) -> None:
    write(c=WRONG)
    Path("sub").mkdir()
    for name in ("c.flow.yaml", "./c.flow.yaml", "sub/../c.flow.yaml", str(tmp_path / "c.flow.yaml")):
        assert run("check", name).stdout.startswith(f"{name.removeprefix('./')}:2:10: error[E205]")


def test_a_file_that_is_named_may_be_a_link_to_elsewhere() -> None:
    Path("here").mkdir()
    Path("there").mkdir()
    Path("there/b.flow.yaml").write_text(GREETS)
    Path("here/b.flow.yaml").symlink_to("../there/b.flow.yaml")
    assert run("check", "here/b.flow.yaml").exit_code == 0
    assert run("graph", "here/b.flow.yaml").exit_code == 0
    assert run("check", "here").exit_code == 1


def test_a_next_version_is_checked_with_its_stable_one() -> None:
    write(b=GREETS)
    Path("b.next.flow.yaml").write_text(GREETS.replace("Hello", "Hi"))
    assert run("check", "b.next.flow.yaml").exit_code == 0


def test_a_file_of_any_name_is_checked_as_a_flow() -> None:
    write(b=GREETS)
    Path("draft.yaml").write_text(CALLS)
    result = run("check", "draft.yaml")
    assert (result.exit_code, result.stderr) == (0, "0 errors, 0 warnings; 1 flow can run\n")


# ── Whatever lies about ───────────────────────────────────────────────────────────────────────────────────────────────

NOT_UTF_8 = "a\udcff.flow.yaml"


@pytest.mark.parametrize("command", ["check", "test", "graph"])
def test_the_name_of_a_file_may_be_any_bytes(command: str) -> None:
    Path("p\udcff.md").write_text("Be kind.")
    Path(NOT_UTF_8).write_bytes(
        b"flow: a\nsteps:\n  - converse: {prompt_file: 'p.md', exits: {a: {}}}\n    catch: []\n"
    )
    Path("p.md").symlink_to("p\udcff.md")
    Path("a.test.yaml").write_text("test: a\nflow: a\nscript: [{caller: Hi, converse: {exit: a}}]\n")
    assert run(command, "." if command == "test" else NOT_UTF_8).exit_code == 0


TOO_LONG = "/".join(["n" * 200] * 30)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", TOO_LONG], ["test", TOO_LONG], ["graph", TOO_LONG], ["new", "a", "--in", TOO_LONG],
        ["replay", "1", "-o", f"{TOO_LONG}.test.yaml"], ["replay", "1", "--database", f"sqlite+aiosqlite:///{TOO_LONG}"],
        ["check", "loop"], ["test", "loop"], ["graph", "loop"], ["new", "a", "--in", "loop"],
        ["replay", "1", "-o", "loop/a.test.yaml"], ["replay", "1", "-o", "loop.test.yaml"],
        ["graph", "folder.flow.yaml"], ["graph", ""], ["new", ""], ["check", ""], ["schema", "x"],
        ["test", "--junit", f"{TOO_LONG}.xml"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)  # fmt: skip
def test_odd_arguments_end_with_words(arguments: list[str]) -> None:
    Path("loop").symlink_to("loop")
    Path("loop.test.yaml").symlink_to("nowhere")
    Path("folder.flow.yaml").mkdir()
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr


def test_a_folder_that_is_called_like_a_flow_is_told() -> None:
    Path("folder.flow.yaml").mkdir()
    result = run("check", ".")
    assert "folder.flow.yaml:1:1: error[E101]: cannot be read: Is a directory" in result.stdout


@pytest.mark.parametrize("command", ["check hotel/x.flow.yaml", "test hotel"])
@pytest.mark.parametrize("streams", ["<&- >&-", "<&- >&- 2>&-", "| head -c 1", ">/dev/full"])
def test_no_stream_makes_a_command_stumble(command: str, streams: str) -> None:
    """Closed ones, a reader who has read enough, a full disk."""
    run("new", "hotel")
    Path("hotel/x.flow.yaml").write_text("flow: x\nsteps: [{sya: Hi}]\n")
    hookflash = Path(sys.executable).parent / "hookflash"
    line = ["sh", "-c", f"{hookflash} {command} {streams}"]
    ended = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    if streams == ">/dev/full":
        assert (ended.returncode, "cannot write: No space left on device" in ended.stderr) == (2, True)
    elif "head" not in streams:
        assert ended.returncode == (1 if "check" in command else 0)
