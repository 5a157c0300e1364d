"""Results in words: for people at a terminal, and as JUnit XML for continuous integration."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.scenario.coverage import Coverage
from engine.scenario.expect import Failure
from engine.scenario.run import Result

_ACTUAL = 70  # characters of what happened, before what was expected


def told(result: Result) -> Iterator[str]:
    """One test: a line when it passed; when not, each failure, then what happened beside what was expected."""
    yield f"  {'ok  ' if result.passed else 'FAIL'}  {result.scenario.name}  ({_times(result)})"
    for failure in result.failures:
        yield f"        {failure.where}"
        yield f"          expected: {failure.expected}"
        yield f"          actual:   {failure.actual}"
    if not result.passed and result.rows:
        yield from (f"        {line}" for line in trace(result))


def trace(result: Result) -> list[str]:
    """What happened, and beside it what was expected: ``=`` was met, ``!`` was not."""
    failed: dict[tuple[str, int] | None, Failure] = {failure.key: failure for failure in result.failures}
    lines = [f"{'seconds':>9}  {'what happened':<{_ACTUAL}}  expected"]
    for row in result.rows:
        beside = f"= {result.met[row.key]}" if row.key in result.met else ""
        if row.key in failed:
            beside = f"! {failed[row.key].expected}"
        actual = f"{row.text}  {row.place}".rstrip()
        if beside and len(actual) > _ACTUAL:
            actual = f"{row.text[: _ACTUAL - len(row.place) - 3]}…  {row.place}"
        lines.append(f"{row.at:9.2f}  {actual:<{_ACTUAL}}  {beside}".rstrip())
    rows = {row.key for row in result.rows}
    lines += [
        f"{'':>9}  {'(did not happen)' if failure.key is None else '(the end)':<{_ACTUAL}}  ! {failure.expected}"
        for failure in result.failures
        if failure.key not in rows
    ]
    return lines


def _times(result: Result) -> str:
    return f"{result.seconds:.0f} s on the telephone in {result.ms:.0f} ms"


def coverage_lines(coverage: Coverage, *, missing: bool) -> Iterator[str]:
    """A line for each flow, and below it what no test ran."""
    for one in coverage.flows:
        yield f"{one.file}: {one.steps_run}/{one.steps} steps, {one.outcomes_taken}/{one.outcomes} outcomes"
        if missing:
            yield from (f"  {one.file}:{line}: not tested: {what}" for line, what in one.missing)


def junit(results: Sequence[Result]) -> str:
    """All results as JUnit XML."""
    root = ET.Element("testsuites", tests=str(len(results)), failures=str(sum(not one.passed for one in results)))
    files: dict[Path, list[Result]] = {}
    for result in results:
        files.setdefault(result.scenario.file, []).append(result)
    for file, several in files.items():
        suite = ET.SubElement(
            root, "testsuite", name=str(file), tests=str(len(several)),
            failures=str(sum(not one.passed for one in several)), errors="0",
            time=f"{sum(one.ms for one in several) / 1000:.3f}",
        )  # fmt: skip
        for result in several:
            case = ET.SubElement(
                suite, "testcase", classname=str(file), name=result.scenario.name, file=str(file),
                line=str(result.scenario.fields.where.line), time=f"{result.ms / 1000:.3f}",
            )  # fmt: skip
            for failure in result.failures:
                message = f"expected {failure.expected}; actual: {failure.actual}"
                node = ET.SubElement(case, "failure", message=_xml(message), type="unmet")
                node.text = _xml("\n".join([f"{failure.where}: {message}", "", *trace(result)]))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(character for character in text if character in "\n\t" or character >= " ")
