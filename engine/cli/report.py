"""The problems of flow files in the forms that people and programs read: lines with a caret, JSON, SARIF for code
scanning, annotations for GitHub."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from engine.version import VERSION
from flows.contents import contents
from flows.problems import Problem
from flows.reader import MAX_BYTES, Document

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_WIDTH = 110  # of the source line that is shown; a longer one is cut around the place
_COLOURS = {"error": "red", "warning": "yellow"}


def as_text(problems: Sequence[Problem]) -> str:
    """Each problem with its source line and a caret under its column, in ANSI colours (`click.echo` takes them off
    where no terminal is)."""
    document = cache(_document)
    return "\n".join(part for problem in problems for part in _shown(problem, document))


def as_json(problems: Sequence[Problem]) -> str:
    """A list of ``{file, line, column, severity, code, message}``."""
    fields = ("file", "line", "column", "severity", "code", "message")
    return json.dumps([{name: getattr(problem, name) for name in fields} for problem in problems], indent=2)


def as_sarif(problems: Sequence[Problem]) -> str:
    """A SARIF 2.1.0 log of one run (OASIS, Static Analysis Results Interchange Format)."""
    codes = sorted({problem.code for problem in problems})
    driver = {"name": "hookflash", "version": VERSION, "rules": [{"id": code} for code in codes]}
    results = [_result(problem, codes.index(problem.code)) for problem in problems]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def as_github(problems: Sequence[Problem]) -> str:
    """Workflow commands of GitHub Actions: each problem becomes a remark at its line of the change."""
    return "\n".join(map(_command, problems))


FORMATS: dict[str, Callable[[Sequence[Problem]], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
"""By the names of ``--format``."""


def counted(problems: Iterable[Problem]) -> str:
    """``2 errors, 1 warning``."""
    severities = [problem.severity for problem in problems]
    return ", ".join(
        f"{number} {severity}{'s' * (number != 1)}"
        for severity in ("error", "warning")
        for number in [severities.count(severity)]
    )


def _document(file: str) -> Document:
    """The file as it is read for its lines. It may be anything, also no text at all."""
    try:
        return Document(file, contents(Path(file), MAX_BYTES).decode("utf-8-sig", "replace"))
    except OSError:
        return Document(file, "")


def _shown(problem: Problem, document: Callable[[str], Document]) -> list[str]:
    colour = _COLOURS[problem.severity]
    place = click.style(f"{_printable(problem.file)}:{problem.line}:{problem.column}:", bold=True)
    kind = click.style(f"{problem.severity}[{problem.code}]:", fg=colour, bold=True)
    lines = [f"{place} {kind} {_printable(problem.message)}"]
    unread = (problem.code, problem.line, problem.column) == ("E101", 1, 1)  # and perhaps because nobody shall see it
    text = "" if unread else document(problem.file).line(problem.line)
    source, column = _cut(_printable(text), problem.column - 1)
    if source.strip():
        number = f"{problem.line:>5} | "
        caret = " " * _cells(source[:column]) + click.style("^", fg=colour, bold=True)
        lines += [click.style(number, dim=True) + source, click.style("      | ", dim=True) + caret]
    return lines


def _cut(line: str, column: int) -> tuple[str, int]:
    """At most so much of a line as fits, and where the column is in it."""
    start = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    part = line[start : start + _WIDTH].rstrip()
    shown = ("…" if start else "") + part + ("…" if start + _WIDTH < len(line) else "")
    return shown, column - start + (1 if start else 0)


def _printable(text: str) -> str:
    """One character for one: what would steer a terminal is shown as a replacement character."""
    return "".join(
        " " if character == "\t" else character if character.isprintable() else "\ufffd" for character in text
    )


def _cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _result(problem: Problem, rule: int) -> dict[str, Any]:
    region = {"startLine": problem.line, "startColumn": problem.column}
    place = {"artifactLocation": {"uri": _uri(problem.file)}, "region": region}
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": problem.severity,
        "message": {"text": problem.message},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _command(problem: Problem) -> str:
    properties = {"file": problem.file, "line": problem.line, "col": problem.column, "title": problem.code}
    written = ",".join(
        f"{name}={_escaped(str(value)).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items()
    )
    return f"::{problem.severity} {written}::{_escaped(problem.message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
