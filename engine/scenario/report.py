"""Results in words: for people at a terminal, and as JUnit XML for continuous integration."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.scenario.coverage import Coverage
from engine.scenario.expect import Failure
from engine.scenario.file import ScenarioFile
from engine.scenario.model import Spent
from engine.scenario.run import Result, Runs

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ACTUAL = 70  # characters of what happened, before what was expected


def told(result: Result) -> Iterator[str]:
    """One test: a line when it passed; when not, each failure, then what happened beside what was expected."""
    if result.needs:
        yield f"  -     {result.scenario.name}  (needs --mode {result.needs})"
        return
    yield f"  {'ok  ' if result.passed else 'FAIL'}  {result.scenario.name}  ({_times(result)})"
    for failure in result.failures:
        yield f"        {failure.where}"
        yield f"          expected: {failure.expected}"
        yield f"          actual:   {failure.actual}"
    for failure in result.runs.also if result.runs is not None else ():
        yield f"        in another run: {failure.where}: expected {failure.expected}; {failure.actual}"
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
    if (runs := result.runs) is not None:
        wanted = "" if runs.wanted == 1 else f", {runs.wanted:.0%} wanted"
        return f"{runs.passed} of {runs.total} runs passed{wanted}; {tokens(runs.spent)}"
    return f"{result.seconds:.0f} s on the telephone in {result.ms:.0f} ms"


def total(results: Sequence[Result], coverage: Coverage | None) -> str:
    """The last line: how many passed, failed and did not run, and what a model's answers cost."""
    failed = sum(bool(result.failures) for result in results)
    parts = [f"{sum(result.passed for result in results)} passed, {failed} failed"]
    for mode, number in sorted(Counter(result.needs for result in results if result.needs).items()):
        parts[0] += f", {number} need --mode {mode}"
    if coverage is not None:
        parts.append(f"{coverage.percent:.0f} % covered")
    if spent := [result.runs.spent for result in results if result.runs is not None]:
        parts.append(tokens(sum(spent, Spent())))
    return "; ".join(parts)


def tokens(spent: Spent) -> str:
    """What a model's answers cost."""
    read, written = spent.tokens
    answers = "1 answer" if spent.answers == 1 else f"{spent.answers:,} answers"
    return f"{answers}, {read:,} tokens read, {written:,} written"


def coverage_lines(coverage: Coverage, *, missing: bool) -> Iterator[str]:
    """A line for each flow, and below it what no test ran."""
    for one in coverage.flows:
        yield f"{one.file}: {one.steps_run}/{one.steps} steps, {one.outcomes_taken}/{one.outcomes} outcomes"
        if missing:
            yield from (f"  {one.file}:{line}: not tested: {what}" for line, what in one.missing)


def junit(results: Sequence[Result], unusable: Sequence[ScenarioFile] = ()) -> str:
    """All results as JUnit XML, and a case with an error for each file that cannot be used."""
    failed = sum(bool(one.failures) for one in results)
    counts = {"tests": len(results) + len(unusable), "failures": failed, "errors": len(unusable)}
    root = ET.Element("testsuites", {name: str(count) for name, count in counts.items()})
    files: dict[Path, list[Result]] = {}
    for result in results:
        files.setdefault(result.scenario.file, []).append(result)
    for file, several in files.items():
        suite = ET.SubElement(
            root, "testsuite", name=_xml(str(file)), tests=str(len(several)),
            failures=str(sum(bool(one.failures) for one in several)), errors="0",
            skipped=str(sum(bool(one.needs) for one in several)),
            time=f"{sum(one.ms for one in several) / 1000:.3f}",
        )  # fmt: skip
        for result in several:
            case = ET.SubElement(
                suite, "testcase", classname=_xml(str(file)), name=_xml(result.scenario.name), file=_xml(str(file)),
                line=str(result.scenario.fields.where.line), time=f"{result.ms / 1000:.3f}",
            )  # fmt: skip
            if result.needs:
                ET.SubElement(case, "skipped", message=f"needs --mode {result.needs}")
            if result.runs is not None:
                _put_runs(case, result.runs)
            for failure in result.failures:
                message = f"expected {failure.expected}; actual: {failure.actual}"
                node = ET.SubElement(case, "failure", message=_xml(message), type="unmet")
                node.text = _xml("\n".join([f"{failure.where}: {message}", "", *trace(result)]))
    for broken in unusable:
        _put_unusable(root, broken)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _put_unusable(root: ET.Element, broken: ScenarioFile) -> None:
    """A file none of whose tests could run, and why."""
    file, first = _xml(str(broken.path)), broken.problems[0]
    suite = ET.SubElement(root, "testsuite", name=file, tests="1", failures="0", errors="1", skipped="0", time="0.000")
    case = ET.SubElement(suite, "testcase", classname=file, name="the file can be used", file=file, time="0.000")
    case.set("line", str(first.line if first.file == str(broken.path) else 1))
    node = ET.SubElement(case, "error", message=_xml(str(first)), type="unusable")
    node.text = _xml("\n".join(map(str, broken.problems)))


def _put_runs(case: ET.Element, runs: Runs) -> None:
    """How often it ran and passed, and what that cost, as properties of the test case."""
    read, written = runs.spent.tokens
    properties = ET.SubElement(case, "properties")
    values = {
        "runs": runs.total, "passed": runs.passed, "pass_rate": f"{runs.passed / runs.total:.3f}",
        "pass_rate_wanted": f"{runs.wanted:.3f}", "tokens_read": read, "tokens_written": written,
    }  # fmt: skip
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=str(value))


def _xml(text: str) -> str:
    """Without what XML cannot hold: control characters, and bytes of a file name that are no text."""
    return _NOT_XML.sub("\ufffd", text)
