"""The figures of one voice, the table and the file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.figures import Spread, p99
from bench.voices.cascades.measure import CascadeFigures
from bench.voices.cascades.measure import table as table_of_cascades

TARGET = 1.5  # times the floor


@dataclass(frozen=True, slots=True)
class Figures:
    """One voice. CPU in ms for a second of one call, one figure a window; the clock's own is subtracted."""

    voice: str
    cpu_ms: Sequence[float]
    floor_cpu_ms: Sequence[float]  # of the floor that resamples, too, where the vendor has rates of its own
    bare_cpu_ms: Sequence[float]  # of the floor that only carries
    memory_kb: float
    floor_memory_kb: float
    down_ms: Spread | None  # socket to owner
    up_ms: Spread | None  # owner to socket
    lag_ms: Spread | None
    import_ms: float
    frames_missed: float  # share of the frames that the vendor sent in the windows

    @property
    def ratio(self) -> float:
        """CPU beside the floor's, of the medians."""
        return median(self.cpu_ms) / median(self.floor_cpu_ms)

    @property
    def resampling_ms(self) -> float:
        """Part of the floor that only changes rates."""
        return max(0.0, median(self.floor_cpu_ms) - median(self.bare_cpu_ms)) if self.bare_cpu_ms else 0.0

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of two windows that took turns."""
        ratios = sorted(ours / floor for ours, floor in zip(self.cpu_ms, self.floor_cpu_ms, strict=True))
        return ratios[0], ratios[-1]


def table(found: Sequence[Figures]) -> Table:
    """One line for each voice."""
    made = Table(
        "voice", "ratio", "spread", "CPU ms", "floor", "resampling", "kB", "floor", "down p99 ms", "up p99 ms",
        "lag p99 ms", "import ms", show_edge=False, pad_edge=False,
    )  # fmt: skip
    for one in found:
        low, high = one.spread
        good = "green" if one.ratio <= TARGET else "bold red"
        made.add_row(
            one.voice, f"[{good}]{one.ratio:.2f}[/]", f"{low:.2f} … {high:.2f}", f"{median(one.cpu_ms):.2f}",
            f"{median(one.floor_cpu_ms):.2f}", f"{one.resampling_ms:.2f}", f"{one.memory_kb:.0f}",
            f"{one.floor_memory_kb:.0f}", p99(one.down_ms), p99(one.up_ms), p99(one.lag_ms), f"{one.import_ms:.0f}",
        )  # fmt: skip
    return made


def show(console: Console, found: Sequence[Figures], cascades: Sequence[CascadeFigures], sessions: int) -> None:
    """The tables, and what they were measured on."""
    console.print(
        f"\n{sessions} sessions of each voice, 50 frames a second each way; ms of CPU for a second of one call"
    )
    if found:
        console.print(table(found))
    if cascades:
        console.print("\nwhole conversations; delays are from one process's hand to the other's")
        console.print(table_of_cascades(cascades))


def write(path: Path, found: Sequence[Figures], cascades: Sequence[CascadeFigures], sessions: int, load: float) -> None:
    """Everything, under the names of the voices."""
    told = {
        "sessions": sessions,
        "voices": {one.voice: asdict(one) | {"cpu_ratio_to_floor": round(one.ratio, 3)} for one in found},
        "cascades": {one.voice: one.told() for one in cascades},
        "import_ms": {one.voice: one.import_ms for one in found} | {one.voice: one.import_ms for one in cascades},
        "targets_missed": [
            *(one.voice for one in found if one.ratio > TARGET), *(one.voice for one in cascades if one.too_slow),
        ],
        "machine": {
            "cores": os.cpu_count(), "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(), "uvloop": version("uvloop"), "aiohttp": version("aiohttp"),
            "load_average_before": round(load, 2),
        },
    }  # fmt: skip
    path.write_text(json.dumps(told, indent=2) + "\n")
