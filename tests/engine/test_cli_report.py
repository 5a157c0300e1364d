from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.report import FORMATS, as_text, counted
from flows.problems import Problem, Where

BAD = "flow: a\nsteps:\n  - say: ${vars.x}\n  - goto: nowhere\n"


def problem(
    file: str = "a.flow.yaml", line: int = 1, column: int = 1, message: str = "m", code: str = "E201"
) -> Problem:
    return Problem.at(Where(file, line, column), code, message)


def text_of(file: Path, line: int, column: int) -> list[str]:
    return click.unstyle(as_text([problem(str(file), line, column)])).splitlines()


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("bad.flow.yaml").write_text(BAD)
    return Path("bad.flow.yaml")


# ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "line", "column", "shown", "caret"),
    [
        ("a: 1\nbad: 2\n", 2, 1, "bad: 2", 0),
        ("a: 1\r\nb: 日本 x\r\n", 2, 7, "b: 日本 x", 8),  # wide characters take two cells each
        ("e\u0301: x\n", 1, 5, "e\u0301: x", 3),  # an accent of its own takes none
        ("a: x\u2028y\x85z\nbad: 2\n", 2, 1, "bad: 2", 0),  # an editor's lines end with LF, CR LF or CR alone
        ("a: 1\rb: x\u2028y\r\n", 2, 6, "b: x\ufffdy", 5),
        ("\tx: 1\n", 1, 2, " x: 1", 1),
        ("\ufeffa: 1\n", 1, 4, "a: 1", 3),
        ("a: \x1b[2Jx\n", 1, 4, "a: \ufffd[2Jx", 3),  # nothing in a file commands the terminal
    ],
)
def test_the_caret_stands_below_the_column(
    content: str, line: int, column: int, shown: str, caret: int, tmp_path: Path
) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(content.encode())
    assert text_of(file, line, column)[1:] == [f"    {line} | {shown}", "      | " + " " * caret + "^"]


@pytest.mark.parametrize("column", [1, 60, 5000, 9997])
def test_a_long_line_is_cut_around_the_place(column: int, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    line = "".join(f"{number:>5}" for number in range(2000))[: column - 1] + "!" + "x" * (10_000 - column)
    file.write_text(line)
    _, source, caret = text_of(file, 1, column)
    assert len(source) < 130
    assert source[caret.index("^")] == "!"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"one line"])
def test_a_line_that_is_not_there_is_left_out(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    if content is not None:
        file.write_bytes(content)
    assert text_of(file, 7, 1) == [f"{file}:7:1: error[E201]: m"]


def test_a_terminal_has_colours_and_no_color_takes_them_off(bad: Path) -> None:
    def on_a_terminal(**settings: str) -> bytes:
        ours, theirs = pty.openpty()
        try:
            subprocess.run(
                [sys.executable, "-c", "from engine.cli import main; main()", "check", str(bad)],
                stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, **settings}, check=False,
            )  # fmt: skip
            return os.read(ours, 65536)
        finally:
            os.close(ours)
            os.close(theirs)

    assert b"\x1b[31m" in on_a_terminal(NO_COLOR="")
    assert b"\x1b[" not in on_a_terminal(NO_COLOR="1")


# ── for programs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_github_annotations_are_escaped() -> None:
    odd = problem("a,b:c%.yaml", 3, 4, "100% wrong:\r\nsee, here", "W402")
    assert FORMATS["github"]([odd]) == (
        "::warning file=a%2Cb%3Ac%25.yaml,line=3,col=4,title=W402::100%25 wrong:%0D%0Asee, here"
    )


def shape(**required: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": required, "additionalProperties": False}


COUNT = {"type": "integer", "minimum": 1}
SARIF = shape(  # what the 2.1.0 standard asks of the parts that are used (sections 3.13, 3.14, 3.19, 3.27 to 3.30)
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs={
        "type": "array",
        "items": shape(
            tool=shape(
                driver=shape(
                    name={"const": "hookflash"},
                    version={"type": "string"},
                    rules={"type": "array", "items": shape(id={"type": "string"}), "uniqueItems": True},
                )
            ),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results={
                "type": "array",
                "items": shape(
                    ruleId={"type": "string"},
                    ruleIndex={"type": "integer", "minimum": 0},
                    level={"enum": ["none", "note", "warning", "error"]},
                    message=shape(text={"type": "string", "minLength": 1}),
                    locations={
                        "type": "array",
                        "items": shape(
                            physicalLocation=shape(
                                artifactLocation=shape(uri={"type": "string", "format": "uri-reference"}),
                                region=shape(startLine=COUNT, startColumn=COUNT),
                            )
                        ),
                    },
                ),
            },
        ),
    },
)


def test_sarif_is_valid_and_points_to_the_places() -> None:
    problems = [problem("my flows/ü:1.yaml", 3, 4), problem("/a b.yaml", code="W402"), problem("c", 5)]
    log = json.loads(FORMATS["sarif"](problems))
    jsonschema_rs.validator_for(SARIF, validate_formats=True).validate(log)
    run = log["runs"][0]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert [place["artifactLocation"]["uri"] for place in places] == [
        "my%20flows/%C3%BC%3A1.yaml", "file:///a%20b.yaml", "c",
    ]  # fmt: skip
    assert places[0]["region"] == {"startLine": 3, "startColumn": 4}
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[result["ruleIndex"]] for result in run["results"]] == ["E201", "W402", "E201"]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "error"]


def test_sarif_without_problems_says_that_it_looked() -> None:
    log = json.loads(FORMATS["sarif"]([]))
    jsonschema_rs.validator_for(SARIF).validate(log)
    assert log["runs"][0]["results"] == []


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_ends_with_the_same_status(form: str, bad: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(main, ["check", str(bad), "--format", form])
    assert result.exit_code == 1
    assert "vars.x" in result.stdout
    bad.write_text("flow: a\nsteps: [{hangup: {}}]\n")
    result = runner.invoke(main, ["check", str(bad), "--format", form])
    assert result.exit_code == 0
    assert form in ("json", "sarif") or result.stdout == ""
    assert runner.invoke(main, ["check", "gone.yaml", "--format", form]).exit_code == 2


def test_json_lists_the_fields_of_each_problem(bad: Path) -> None:
    found = json.loads(CliRunner().invoke(main, ["check", str(bad), "--format", "json"]).stdout)
    assert [(entry["file"], entry["line"], entry["column"], entry["code"]) for entry in found] == [
        ("bad.flow.yaml", 3, 12, "E301"),
        ("bad.flow.yaml", 4, 11, "E302"),
    ]
    assert list(found[0]) == ["file", "line", "column", "severity", "code", "message"]


def test_counting() -> None:
    assert counted([]) == "0 errors, 0 warnings"
    assert counted([problem(), problem(code="W401"), problem()]) == "2 errors, 1 warning"
