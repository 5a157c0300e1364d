"""``hookflash test``: scenario tests of flows."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.options import config_option
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.scenario import Result, Scenario, ScenarioReader
    from engine.scenario.file import ScenarioFile
    from engine.scenario.rated import Mode

INTERRUPTED = 130  # exit status, as shells have it

Tell = Callable[["Result"], None]
Play = Callable[[Sequence["Scenario"], Tell], None]


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for on the command line."""

    paths: tuple[Path, ...]
    flows: Path | None
    only: str
    junit: Path | None
    missing: bool
    coverage_min: float | None
    mode: Mode
    runs: int
    pass_rate: float
    provider: str | None
    config: Path | None
    audio: bool
    at_once: int


@click.command(
    short_help="Test flows without a telephone.",
    epilog="""\b
Exit status: 0 all passed, 1 a test failed, cannot run by audio, or too little is
covered, 2 a file or a setting cannot be used, there is no test, or no Asterisk for
--audio, 130 after Ctrl-C.

\b
Examples:
  hookflash test flows/
  hookflash test orders.test.yaml --watch
  hookflash test flows/ --missing --coverage-min 80 --junit results.xml
  hookflash test flows/ --mode model --runs 10 --pass-rate 0.9
  hookflash test flows/ --mode simulated --provider chat
  hookflash test flows/ --audio --only "is booked"

\b
What a test file holds, and when to use which mode: docs/testing.md""",
)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--flows", type=click.Path(exists=True, path_type=Path), help="Where the flows are, if not beside them.")
@click.option("--only", metavar="TEXT", default="", help="Only tests whose name or file holds this text.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JUnit XML.")
@click.option("--missing", is_flag=True, help="List every step and outcome that no test ran.")
@click.option("--coverage-min", type=click.FloatRange(0, 100), help="Fail when less percent is covered.")
@click.option("--watch", is_flag=True, help="Run again whenever a file changes, until Ctrl-C. Scripted mode only.")
@click.option(
    "--mode", type=click.Choice(["scripted", "model", "simulated"]), default="scripted", show_default=True,
    help="Who plays the AI: the script, or a real model; simulated: a model plays the caller, too.",
)  # fmt: skip
@click.option("--runs", type=click.IntRange(1, 1000), default=1, show_default=True, help="Run each test so often.")
@click.option(
    "--pass-rate", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
    help="The share of its runs in which a test must pass.",
)  # fmt: skip
@click.option("--provider", metavar="NAME", help="Whose text model it is; default: the setting `text`.")
@click.option(
    "--audio",
    is_flag=True,
    help="Run them as real calls on two private Asterisks, with real speech. Scripted mode only.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="With --audio: calls at the same time."
)
@config_option
def test(
    paths: tuple[Path, ...], flows: Path | None, only: str, junit: Path | None, missing: bool,
    coverage_min: float | None, watch: bool, mode: Mode, runs: int, pass_rate: float, provider: str | None,
    audio: bool, at_once: int, config: Path | None,
) -> None:  # fmt: skip
    """Run the tests (*.test.yaml) in PATHS (files or folders; default: here) on a virtual line, in virtual time."""
    if mode == "scripted" and (runs != 1 or pass_rate != 1 or provider is not None):
        raise click.UsageError(
            "--runs, --pass-rate and --provider are for --mode model and --mode simulated: a script does the same "
            "every time"
        )
    if mode != "scripted" and watch:
        raise click.UsageError(f"--watch runs scripted tests only: a model costs money each time (--mode {mode})")
    if mode != "scripted" and audio:
        raise click.UsageError(f"--audio runs scripted tests only: leave out --mode {mode}")
    order = _Order(
        paths or (Path(),), flows, only, junit, missing, coverage_min, mode, runs, pass_rate, provider, config, audio,
        at_once,
    )  # fmt: skip
    try:
        sys.exit(_again_and_again(order) if watch else _run(order))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run(order: _Order) -> int:
    """Run the tests once; the exit status. Ctrl-C is told, and passed on."""
    from engine.cli.by_audio import by_audio
    from engine.scenario import Result, ScenarioReader, found, report
    from engine.scenario.rated import needs
    from engine.verb import installed
    from flows.language import Language

    reader = ScenarioReader(Language(installed()), order.flows)
    results: list[Result] = []
    for_audio: list[Scenario] = []
    unusable: list[ScenarioFile] = []

    def tell(result: Result) -> None:
        results.append(result)
        _say(report.told(result))

    with contextlib.ExitStack() as stack:
        play: Play | None = _scripted if order.mode == "scripted" else None
        for path, within in found(order.paths).items():
            file = reader.read(path, within)
            unusable += [file] if file.problems else []
            _say(str(problem) for problem in file.problems)
            chosen = [one for one in file.scenarios if order.only.casefold() in f"{path} {one.name}".casefold()]
            mine = [one for one in chosen if not needs(one, order.mode)]
            if order.audio:
                for_audio += mine  # those of all files go on side by side
                mine, chosen = [], [one for one in chosen if one not in mine]
            if chosen:
                click.echo(str(path))
            if mine and play is None:
                play = stack.enter_context(_modelled(order))
            try:
                if play is not None:
                    play(mine, tell)
            except KeyboardInterrupt:
                click.echo(f"interrupted; {report.total(results, None)}", err=True)
                raise
            for one in chosen:
                if one not in mine:
                    tell(Result(one, (), needs=needs(one, order.mode)))
    if for_audio:
        results += by_audio(for_audio, order.at_once)
    return _reported(order, reader, results, unusable)


def _reported(
    order: _Order, reader: ScenarioReader, results: Sequence[Result], unusable: Sequence[ScenarioFile]
) -> int:
    """What came of all tests, in words and as JUnit XML; the exit status."""
    from engine.cli.by_audio import summary
    from engine.scenario import coverage, report

    if order.junit is not None:
        _write(order.junit, report.junit(results, unusable))
    told = {problem.file for file in unusable for problem in file.problems}
    left_out = [file for file in reader.left_out if file not in told]
    covered = coverage(reader.libraries, [result.ran for result in results])
    _say(report.coverage_lines(covered, missing=order.missing))
    _say(summary(results))
    click.echo(report.total(results, covered if covered.flows else None), err=True)
    if left_out:
        click.echo(f"left out, for errors that `hookflash check` tells: {', '.join(left_out)}", err=True)
    if unusable:
        return 2
    if not results:
        click.echo("no test was found: name files or folders that hold *.test.yaml", err=True)
        return 2
    if order.coverage_min is not None and left_out:
        click.echo("--coverage-min cannot be told of flows that are left out", err=True)
        return 2
    if order.coverage_min is not None and covered.percent < order.coverage_min:
        click.echo(f"less is covered than --coverage-min {order.coverage_min:g} asks for", err=True)
        return 1
    return 1 if any(result.failures for result in results) else 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _scripted(scenarios: Sequence[Scenario], tell: Tell) -> None:
    from engine.scenario import run_scenario

    for scenario in scenarios:
        tell(run_scenario(scenario))


@contextlib.contextmanager
def _modelled(order: _Order) -> Iterator[Play]:
    """Play with the text model that the settings name, as `hookflash serve` reads them."""
    from engine.cli.text_model import text_model
    from engine.scenario import run_rated
    from engine.settings_sources import load_settings

    done = itertools.count(1)

    def progress(result: Result) -> None:
        if sys.stderr.isatty():
            ended = "ok" if result.passed else "FAIL"
            click.echo(f"        run {next(done)}: {ended}  {result.scenario.name}", err=True)

    with text_model(load_settings(order.config), order.provider) as (runner, model, name):
        yield lambda scenarios, tell: runner.run(
            run_rated(
                scenarios, model, name=name, runs=order.runs, wanted=order.pass_rate, on_run=progress, on_test=tell
            )
        )


def _again_and_again(order: _Order) -> int:
    """Run at once, and whenever a file in the folders of the tests and their flows changes; the last exit status."""
    import watchfiles

    from engine.scenario.file import found
    from flows.house import house_of

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
