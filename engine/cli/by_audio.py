"""``hookflash test --audio``: what is said while calls go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from engine.scenario.file import Scenario
from engine.scenario.run import Result
from engine.scenario.trace import Row


def by_audio(scenarios: Sequence[Scenario], at_once: int) -> list[Result]:
    """Run them and tell; their results. Raises `engine.scenario.audio.AudioError`.

    A line a test; on a terminal also every step of the calls, on stderr.
    """
    from engine.scenario.audio import run_by_audio, told

    files: list[Path] = []

    def ended(result: Result) -> None:
        if result.scenario.file not in files:
            files.append(result.scenario.file)
            click.echo(str(result.scenario.file))
        for line in told(result):
            click.echo(line)

    def stepped(scenario: Scenario, row: Row) -> None:
        name = f"  {scenario.name[:24]:<24}" if at_once > 1 and len(scenarios) > 1 else "  "
        click.echo(click.style(f"{name} {row.at:7.2f}  {row.text}", dim=True), err=True)

    def planned(seconds: float) -> None:
        tests = "1 test" if len(scenarios) == 1 else f"{len(scenarios)} tests"
        click.echo(f"{tests} by audio, {at_once} at a time: about {_minutes(seconds)}", err=True)

    return run_by_audio(
        scenarios, ended, at_once=at_once, planned=planned, stepped=stepped if sys.stderr.isatty() else None
    )


def summary(results: Sequence[Result]) -> Iterator[str]:
    """What could not run by audio, counted."""
    from engine.scenario.audio_house import AudioResult

    if count := sum(isinstance(result, AudioResult) and result.not_run for result in results):
        yield f"{count} of the failed cannot run by audio"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
