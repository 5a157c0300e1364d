"""``hookflash replay``: a test of a flow, made from a recorded call."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.options import config_option
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.record import CallRecord


@click.command(
    short_help="Make a test from a recorded call.",
    epilog="""\b
Exit status: 0 the test was made (and passed, with --against),
1 it did not pass, 2 there is no such call or the flows cannot be used.

\b
Examples:
  hookflash replay 1772616600 -o flows/lost-order.test.yaml
  hookflash replay 1772616600 --against flows/

\b
What a record holds and what has to be filled in: docs/testing.md""",
)
@click.argument("call_id", metavar="CALL")
@click.option("--database", metavar="URL", help="The database with the call; that of the settings when absent.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this *.test.yaml.")
@click.option(
    "--against", type=click.Path(exists=True, path_type=Path), metavar="FLOWS",
    help="Run it on these flows at once, and show what was expected beside what happens.",
)  # fmt: skip
@config_option
def replay(call_id: str, database: str | None, output: Path | None, against: Path | None, config: Path | None) -> None:
    """Make a test (*.test.yaml) from the recorded call CALL (an id, or any unique beginning of one)."""
    from engine.replay import replayed

    if output is not None:
        _usable(output)
    text = replayed(_found(call_id, database, config))
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {output}: {error.strerror}") from None
    else:
        click.echo(text, nl=False)
    if against is not None:
        sys.exit(_compared(text, output, against))


def _usable(output: Path) -> None:
    """A name under which the test is found, and under which nothing would be lost."""
    if not output.name.endswith(".test.yaml"):
        raise UserError(f"{output}: a test's file is called *.test.yaml, else `hookflash test` does not find it")
    if os.path.lexists(output):
        raise UserError(f"{output} is there already; remove it first, or write to another file")
    if not os.path.isdir(output.parent):
        raise UserError(f"{output}: there is no folder {output.parent}")


def _found(call_id: str, database: str | None, config: Path | None) -> CallRecord:
    from engine.records import Records
    from engine.records.database import sqlite_file
    from engine.settings_sources import load_settings

    url = database or load_settings(config).database.url.get_secret_value()
    file = sqlite_file(url)
    if file is not None and not os.path.exists(file):  # to look for a call makes no database
        raise UserError(f"there are no call records: {file} does not exist")

    async def find() -> CallRecord:
        async with Records.open(url) as records:
            return await records.get(call_id)

    record = asyncio.run(find())
    if record.outcome == "live":
        raise UserError(f"the call {record.id} is not over yet")
    return record


def _compared(text: str, output: Path | None, flows: Path) -> int:
    """Run the test and tell, on stderr, what was expected beside what happened; the exit status."""
    from engine.scenario import ScenarioReader, report, run_scenario
    from engine.verb import installed
    from flows.language import Language

    with tempfile.TemporaryDirectory() as folder:
        path = output
        if path is None:
            path = Path(folder) / "replayed.test.yaml"
            path.write_text(text, encoding="utf-8")
        file = ScenarioReader(Language(installed()), flows).read(path)
        for problem in file.problems:
            click.echo(str(problem), err=True)
        if not file.scenarios:
            return 2
        result = run_scenario(file.scenarios[0])
        for line in report.told(result):
            click.echo(line, err=True)
        if result.passed:
            for line in report.trace(result):
                click.echo(f"        {line}", err=True)
    return 0 if result.passed else 1
