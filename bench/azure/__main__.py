"""`python -m bench.azure`: measure and print the table."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import uvloop
from rich.console import Console
from rich.table import Table

from bench.child import Child
from bench.figures import Spread

TARGET_MS = 5.0  # CPU of one recogniser in one second
KINDS = {"sdk": "Microsoft's SDK (the product)", "direct": "a bare client on aiohttp", "nothing": "feeding nobody"}


@dataclass(frozen=True)
class Figures:
    """Of one recogniser, but the lag of the event loop; without what feeding takes."""

    cpu_ms: float
    memory_kb: float
    threads: float
    left: int
    lag_ms: Spread
    texts: int


async def measure(kind: str, count: int, seconds: float, url: str, folder: Path) -> Figures:
    """Have a fresh process listen to ``count`` callers for so many ``seconds``."""
    async with Child(
        "bench.azure.listener", f"listener-{kind}", folder, {"kind": kind, "count": count, "url": url}
    ) as it:
        await it.ask("talk", seconds=2)
        before = it.cpu_seconds
        told = await it.ask("talk", seconds=seconds)
        cpu = it.cpu_seconds - before
        ended = await it.ask("finish")
    return Figures(
        cpu_ms=cpu * 1000 / count / seconds,
        memory_kb=(told["memory"] - it.told["memory"]) / 1024 / count,
        threads=(told["threads"] - it.told["threads"]) / count,
        left=ended["threads"],
        lag_ms=told["lag_ms"],
        texts=told["texts"],
    )


async def _bench(count: int, seconds: float, console: Console) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Child("bench.azure.service", "service", folder, {}) as service:
            found = {kind: await measure(kind, count, seconds, service.told["url"], folder) for kind in KINDS}
    floor = found["nothing"].cpu_ms
    table = Table("", "CPU ms a second", "memory kB", "threads", "loop lag p99 ms", "longest", "texts", "threads left")
    for kind, figures in found.items():
        cpu = figures.cpu_ms - (floor if kind != "nothing" else 0)
        table.add_row(
            KINDS[kind], f"{cpu:.2f}", f"{figures.memory_kb:.0f}", f"{figures.threads:.1f}",
            f"{figures.lag_ms['p99']:.1f}", f"{figures.lag_ms['max']:.1f}", str(figures.texts), str(figures.left),
        )  # fmt: skip
    console.print(f"{count} recognisers, {seconds:g} s; what feeding takes is subtracted")
    console.print(table)
    return found["sdk"].cpu_ms - floor <= TARGET_MS


@click.command()
@click.option("--count", default=50, show_default=True, help="Recognisers at once.")
@click.option("--seconds", default=8.0, show_default=True, help="How long each kind is measured.")
def main(count: int, seconds: float) -> None:
    """Measure what a recogniser of Azure Speech costs; fails when the SDK takes more than 5 ms a second."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    if not uvloop.run(asyncio.wait_for(_bench(count, seconds, console), 300)):
        raise click.ClickException(f"more than {TARGET_MS:g} ms")


if __name__ == "__main__":
    main()
