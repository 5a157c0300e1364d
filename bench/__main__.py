"""`python -m bench`: measure, print the table, write var/bench/results.json."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

import click
import uvloop
from rich.console import Console

from asterisk.debian import UnpackError
from asterisk.instance import SandboxError
from bench.child import BenchError
from bench.plan import FULL, QUICK, Plan, measure
from bench.report import machine, show, write
from bench.stage import raised

FOLDER = Path("var/bench").absolute()


async def _bench(plan: Plan, console: Console) -> None:
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {text}", soft_wrap=True)

    async with raised(FOLDER) as stage:
        where = machine(stage.pbx.installation.banner)
        tell(f"{where['asterisk']}, the phones and the provider are up")
        results = await measure(stage, plan, tell)
    show(console, results, where)
    write(FOLDER / "results.json", results, plan, where)
    console.print(f"{FOLDER}/results.json holds all of it")


@click.command()
@click.option("--quick", is_flag=True, help="Few calls, under a minute: does it work, and roughly how well.")
def main(quick: bool) -> None:
    """Measure the engine beside a floor, with real calls through a private Asterisk; under 8 minutes."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        uvloop.run(_bench(QUICK if quick else FULL, console))
    except (BenchError, SandboxError, UnpackError, TimeoutError) as error:
        console.print(f"bench: failed: {error or 'something took too long'}")
        sys.exit(1)
    except asyncio.CancelledError:
        sys.exit(130)


if __name__ == "__main__":
    main()
