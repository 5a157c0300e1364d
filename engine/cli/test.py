"""``hookflash test``: scenario tests of flows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for on the command line."""

    paths: tuple[Path, ...]
    flows: Path | None
    only: str
    junit: Path | None
    missing: bool
    coverage_min: float | None
    audio: bool
    at_once: int


@click.command(
    short_help="Test flows without a telephone.",
    epilog="""\b
Exit status: 0 all passed, 1 a test failed, cannot run by audio, or too little is
covered, 2 a file cannot be used, there is no test, or no Asterisk for --audio.

\b
Examples:
  hookflash test flows/
  hookflash test orders.test.yaml --watch
  hookflash test flows/ --missing --coverage-min 80 --junit results.xml
  hookflash test flows/ --audio --only "is booked"

\b
What a test file holds: docs/testing.md""",
)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--flows", type=click.Path(exists=True, path_type=Path), help="Where the flows are, if not beside them.")
@click.option("--only", metavar="TEXT", default="", help="Only tests whose name or file holds this text.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JUnit XML.")
@click.option("--missing", is_flag=True, help="List every step and outcome that no test ran.")
@click.option("--coverage-min", type=click.FloatRange(0, 100), help="Fail when less percent is covered.")
@click.option("--audio", is_flag=True, help="Run them as real calls on two private Asterisks, with real speech.")
@click.option(
    "--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="With --audio: calls at the same time."
)
@click.option("--watch", is_flag=True, help="Run again whenever a file changes, until Ctrl-C.")
def test(
    paths: tuple[Path, ...], flows: Path | None, only: str, junit: Path | None, missing: bool,
    coverage_min: float | None, audio: bool, at_once: int, watch: bool,
) -> None:  # fmt: skip
    """Run the tests (*.test.yaml) in PATHS (files or folders; default: here), in virtual time and without a network."""
    order = _Order(paths or (Path(),), flows, only, junit, missing, coverage_min, audio, at_once)
    sys.exit(_again_and_again(order) if watch else _run(order))


def _run(order: _Order) -> int:
    """Run the tests once; the exit status."""
    from engine.cli.by_audio import by_audio, summary
    from engine.scenario import Result, Scenario, ScenarioReader, coverage, found, report, run_scenario
    from engine.verb import installed
    from flows.language import Language

    reader = ScenarioReader(Language(installed()), order.flows)
    results: list[Result] = []
    for_audio: list[Scenario] = []
    problems = 0
    for path in found(order.paths):
        file = reader.read(path)
        problems += len(file.problems)
        _say(str(problem) for problem in file.problems)
        chosen = [one for one in file.scenarios if order.only.casefold() in f"{path} {one.name}".casefold()]
        if order.audio:
            for_audio += chosen
            continue
        if chosen:
            click.echo(str(path))
        for scenario in chosen:
            results.append(run_scenario(scenario))
            _say(report.told(results[-1]))
    if for_audio:
        results = by_audio(for_audio, order.at_once)
    if order.junit is not None:
        order.junit.write_text(report.junit(results), encoding="utf-8")
    covered = coverage(reader.libraries, [result.ran for result in results])
    _say(report.coverage_lines(covered, missing=order.missing))
    _say(summary(results))
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed; {covered.percent:.0f} % covered", err=True)
    if problems or not results:
        if not problems:
            click.echo("no test was found: name files or folders that hold *.test.yaml", err=True)
        return 2
    if order.coverage_min is not None and covered.percent < order.coverage_min:
        click.echo(f"less is covered than --coverage-min {order.coverage_min:g} asks for", err=True)
        return 1
    return 1 if failed else 0


def _again_and_again(order: _Order) -> int:
    """Run at once, and whenever a file in the folders of the tests and their flows changes; the last exit status."""
    import watchfiles

    from engine.scenario.file import found, house_of

    own = None if order.junit is None else str(order.junit.resolve())
    houses = [order.flows] if order.flows is not None else [house_of(path) for path in found(order.paths)]
    status: int | None = None
    usual = watchfiles.DefaultFilter()

    def concerns(change: watchfiles.Change, path: str) -> bool:
        return path != own and usual(change, path)

    changes = watchfiles.watch(
        *order.paths, *houses, watch_filter=concerns, debounce=200, rust_timeout=200, yield_on_timeout=True,
        raise_interrupt=False,
    )  # fmt: skip
    with contextlib.suppress(KeyboardInterrupt):  # that comes while tests run
        for changed in changes:  # the first comes without a change, when nothing can be missed any more
            if changed or status is None:
                status = _run(order)
                click.echo("waiting for a file to change; Ctrl-C ends", err=True)
    return status or 0


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
