"""``hookflash test``: scenario tests of flows."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(
    short_help="Test flows without a telephone.",
    epilog="""\b
Exit status: 0 all passed, 1 a test failed or too little is covered,
2 a file cannot be used or there is no test.

\b
Examples:
  hookflash test flows/
  hookflash test orders.test.yaml --junit results.xml
  hookflash test flows/ --missing --coverage-min 80

\b
What a test file holds: docs/testing.md""",
)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--flows", type=click.Path(exists=True, path_type=Path), help="Where the flows are, if not beside them.")
@click.option("--only", metavar="TEXT", default="", help="Only tests whose name or file holds this text.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JUnit XML.")
@click.option("--missing", is_flag=True, help="List every step and outcome that no test ran.")
@click.option("--coverage-min", type=click.FloatRange(0, 100), help="Fail when less percent is covered.")
def test(
    paths: tuple[Path, ...], flows: Path | None, only: str, junit: Path | None, missing: bool,
    coverage_min: float | None,
) -> None:  # fmt: skip
    """Run the tests (*.test.yaml) in PATHS (files or folders; default: here), in virtual time and without a network."""
    from engine.scenario import ScenarioReader, coverage, found, report, run_scenario
    from engine.verb import installed
    from flows.language import Language

    reader = ScenarioReader(Language(installed()), flows)
    results = []
    problems = 0
    for path in found(paths or (Path(),)):
        file = reader.read(path)
        problems += len(file.problems)
        for problem in file.problems:
            click.echo(str(problem))
        chosen = [one for one in file.scenarios if only.casefold() in f"{path} {one.name}".casefold()]
        if chosen:
            click.echo(str(path))
        for scenario in chosen:
            results.append(run_scenario(scenario))
            for line in report.told(results[-1]):
                click.echo(line)
    if junit is not None:
        junit.write_text(report.junit(results), encoding="utf-8")
    covered = coverage(reader.libraries, [result.ran for result in results])
    for line in report.coverage_lines(covered, missing=missing):
        click.echo(line)
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed; {covered.percent:.0f} % covered", err=True)
    if not results and not problems:
        click.echo("no test was found: name files or folders that hold *.test.yaml", err=True)
    too_little = coverage_min is not None and covered.percent < coverage_min
    if too_little:
        click.echo(f"less is covered than --coverage-min {coverage_min:g} asks for", err=True)
    sys.exit(2 if problems or not results else 1 if failed or too_little else 0)
