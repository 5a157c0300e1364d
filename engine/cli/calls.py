"""``hookflash calls``: the records of calls, as a table, a timeline or JSON."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.options import config_option, json_option

if TYPE_CHECKING:
    from rich.console import Console

    from engine.record import CallRecord
    from engine.records import Records
    from engine.records.costs import Costs

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Since(click.ParamType[datetime]):
    """A moment: ``90m``, ``2h``, ``3d`` or ``1w`` ago, or a date and time of this machine's zone."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment with its zone."""
        if isinstance(value, datetime):
            return value
        if ago := re.fullmatch(r"(\d{1,5})([mhdw])", value):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither 90m, 2h, 3d, 1w nor a date such as 2026-03-04 or 2026-03-04T09:30", param, ctx
            )


@click.group(
    invoke_without_command=True,
    short_help="List recorded calls, or show one.",
    epilog="""\b
Examples:
  hookflash calls --since 2h --outcome failed
  hookflash calls --caller 0199 --json
  hookflash calls --cost --since 2026-03-01
  hookflash calls show 1772616600   (any unique beginning of an id will do)""",
)
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@click.option("--flow", help="Only calls of this flow.")
@click.option("--outcome", help="live, completed, caller_hung_up, handed_off, refused, failed or lost.")
@click.option("--errors", is_flag=True, help="Only calls in which something went wrong, however they ended.")
@click.option("--caller", help="Only callers whose number holds these digits.")
@click.option("--since", type=Since(), help="Only calls from then on: 90m, 2h, 3d, 1w, 2026-03-04T09:30.")
@click.option("--cost", is_flag=True, help="What they cost, all of them: by provider, by flow and by day.")
@config_option
@json_option
@click.pass_context
def calls(ctx: click.Context, /, config: Path | None, as_json: bool, cost: bool, **filters: Any) -> None:
    """List recorded calls, the newest first; `calls show ID` tells one."""
    if ctx.invoked_subcommand is not None:
        ctx.obj = config
        return
    if cost:
        del filters["limit"]
        _tell_costs(config, as_json, filters)
        return

    async def find() -> list[CallRecord]:
        async with _records(config) as records:
            return await records.list(**filters)

    found = asyncio.run(find()) if _exists(config) else []
    if as_json:
        click.echo("[" + ",\n".join(record.model_dump_json() for record in found) + "]")
    elif found:
        _print_table(found)
    else:
        click.echo("No such calls." if _exists(config) else "No calls recorded yet.", err=True)


def _tell_costs(config: Path | None, as_json: bool, filters: dict[str, Any]) -> None:
    async def find() -> list[Costs]:
        async with _records(config) as records:
            return await records.costs(**filters)

    found = asyncio.run(find()) if _exists(config) else []
    if as_json:
        click.echo(json.dumps([costs.as_json() for costs in found], indent=2))
    elif found:
        from engine.records.costs import table

        for costs in found:
            _console().print(table(costs))
    else:
        click.echo("No such calls used anything." if _exists(config) else "No calls recorded yet.", err=True)


@calls.command()
@click.argument("call_id", metavar="ID")
@config_option
@json_option
@click.pass_obj
def show(outer_config: Path | None, call_id: str, config: Path | None, as_json: bool) -> None:
    """Tell one call: steps, words, tools, hand-off attempts with SIP codes, legs and causes."""
    config = config or outer_config

    async def find() -> CallRecord:
        async with _records(config) as records:
            return await records.get(call_id)

    if not _exists(config):
        from engine.errors import UserError

        raise UserError("no calls recorded yet")
    record = asyncio.run(find())
    if as_json:
        click.echo(record.model_dump_json(indent=2))
        return
    from engine.records.timeline import render

    _console().print(render(record))


def _records(config: Path | None) -> AbstractAsyncContextManager[Records]:
    from engine.records import Records

    return Records.open(_url(config))


def _url(config: Path | None) -> str:
    from engine.settings_sources import load_settings

    return load_settings(config).database.url.get_secret_value()


def _exists(config: Path | None) -> bool:
    """Looking at calls makes no database."""
    from engine.records.database import sqlite_file

    file = sqlite_file(_url(config))
    return file is None or file.exists()


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    # A pipe has no width: lines stay whole there.
    return console if console.is_terminal else Console(highlight=False, width=200)


def _print_table(found: list[CallRecord]) -> None:
    from rich.table import Table

    from engine.records.timeline import duration, outcome_text, plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("started", "id", "flow", "caller", "number", "outcome", "took", "cost", "handed to"):
        table.add_column(name, overflow="fold", justify="right" if name in ("took", "cost") else "left")
    now = datetime.now(UTC)
    for record in found:
        answered = [attempt.target for attempt in record.attempts if attempt.status == "answered"]
        table.add_row(
            f"{record.started.astimezone():%m-%d %H:%M:%S}",
            plain(record.id),
            plain(record.flow),
            plain(record.caller),
            plain(record.did),
            outcome_text(record.outcome),
            duration(record, now),
            f"{record.cost:.4f} {record.currency}" if record.cost else "",
            plain(", ".join(answered)),
        )
    _console().print(table)
