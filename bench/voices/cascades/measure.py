"""A cascade beside its floor: windows in turns, and what is told of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from bench.child import Child
from bench.figures import Spread, p99, spread
from bench.voices.cascades.line import FRAMES

WARM_UP = 3.0  # seconds until every caller has asked something, and is answered
DELAY_MS, LAG_MS = 20.0, 5.0  # wanted at most, 99 of 100
KINDS = ("nothing", "floor", "voice")


@dataclass(frozen=True, slots=True)
class Side:
    """The voice, or its floor. CPU in ms for a second of one call, one figure a window; the clock's own subtracted."""

    cpu_ms: Sequence[float]
    memory_kb: float
    up_ms: Spread | None  # a frame that makes a message whole in the session's hand -> the message in the vendor's
    text_ms: Spread | None  # what is heard of the caller in the vendor's hand -> in the owner's
    down_ms: Spread | None  # a piece of the voice's audio, likewise
    lag_ms: Spread | None
    frames_missed: float  # share of the audio that the vendor spoke


@dataclass(frozen=True, slots=True)
class CascadeFigures:
    """One cascade."""

    voice: str
    ours: Side
    floor: Side
    clock_lag_ms: Spread | None  # of the process that talks to nobody
    import_ms: float

    @property
    def too_slow(self) -> bool:
        """Whether a delay of the voice or its event loop's lateness is above what is wanted."""
        delays = (self.ours.up_ms, self.ours.text_ms, self.ours.down_ms)
        lag = self.ours.lag_ms
        return any(one is None or one["p99"] > DELAY_MS for one in delays) or lag is None or lag["p99"] > LAG_MS

    def told(self) -> dict[str, Any]:
        """As it stands in the file."""
        return asdict(self) | {"too_slow": self.too_slow}


class Windows:
    """What one kind took in its turns."""

    def __init__(self) -> None:
        self.cpu_ms: list[float] = []  # of all its sessions, for a second
        self.found: dict[str, list[float]] = {"up_ms": [], "text_ms": [], "down_ms": [], "lag_ms": []}
        self.frames = self.sent = 0

    def add(self, cpu_ms: float, told: Mapping[str, Any], vendor: Mapping[str, Any]) -> None:
        """One window: what the talker told, and the vendor."""
        self.cpu_ms.append(cpu_ms)
        for name in ("text_ms", "down_ms", "lag_ms"):
            self.found[name] += told[name]
        self.found["up_ms"] += vendor["ages_ms"]
        self.frames += told["frames"]
        self.sent += vendor["sent"] * FRAMES

    def side(self, clock_ms: float, sessions: int, memory_kb: float) -> Side:
        """All of it; ``clock_ms``: CPU that the feeding alone takes."""
        each = [round((cpu - clock_ms) / sessions, 4) for cpu in self.cpu_ms]
        missed = max(0.0, 1 - self.frames / self.sent) if self.sent else 0.0
        return Side(each, memory_kb, **{name: spread(one) for name, one in self.found.items()}, frames_missed=missed)


async def _turn(service: Child, talker: Child, party: str, seconds: float, windows: Windows) -> None:
    """One window in which only this party is spoken to."""
    await service.ask("speak", party=party)
    await talker.ask("talk", seconds=WARM_UP)
    await service.ask("count", party=party)
    before, began = talker.cpu_seconds, time.monotonic()
    told = await talker.ask("talk", seconds=seconds)
    cpu, took = talker.cpu_seconds - before, time.monotonic() - began
    windows.add(cpu * 1000 / took, told, await service.ask("count", party=party))
    await service.ask("speak", party=None)


async def measure(
    voice: str, service: Child, *, module: str, key: str, sessions: int, rounds: int, seconds: float, folder: Path,
    import_ms: float,
) -> CascadeFigures:  # fmt: skip
    """One cascade beside its floor."""
    talkers: dict[str, Child] = {}
    windows = {kind: Windows() for kind in KINDS}
    async with AsyncExitStack() as stack:
        for kind in KINDS:
            line = await service.ask("cascade", party=f"{voice} {kind}", voice=voice)
            start: Mapping[str, Any] = {
                "kind": kind, "voice": voice, "count": sessions, "module": module,
                "settings": {"api_key": key, **line["settings"]},
            }  # fmt: skip
            child = Child("bench.voices.cascades.talker", f"{voice}-{kind}", folder, start)
            talkers[kind] = await stack.enter_async_context(child)
        for _ in range(rounds):
            for kind in KINDS:
                await _turn(service, talkers[kind], f"{voice} {kind}", seconds, windows[kind])
    clock = median(windows["nothing"].cpu_ms)
    ours, floor = (windows[kind].side(clock, sessions, talkers[kind].told["memory_kb"]) for kind in ("voice", "floor"))
    return CascadeFigures(voice, ours, floor, spread(windows["nothing"].found["lag_ms"]), import_ms)


def table(found: Sequence[CascadeFigures]) -> Table:
    """Three lines for each cascade: itself, its floor, and the machine while nobody talks."""
    made = Table(
        "cascade", "CPU ms", "windows", "kB", "up p99 ms", "text p99", "down p99", "p50 of the three", "lag p99 ms",
        "import ms", show_edge=False, pad_edge=False,
    )  # fmt: skip
    for one in found:
        for name, side in ((one.voice, one.ours), ("its floor", one.floor)):
            delays = (side.up_ms, side.text_ms, side.down_ms)
            middle = " / ".join("-" if delay is None else f"{delay['p50']:.1f}" for delay in delays)
            made.add_row(
                f"[bold red]{name}[/]" if side is one.ours and one.too_slow else name, f"{median(side.cpu_ms):.2f}",
                f"{min(side.cpu_ms):.2f} … {max(side.cpu_ms):.2f}", f"{side.memory_kb:.0f}",
                *(p99(delay) for delay in delays), middle, p99(side.lag_ms),
                f"{one.import_ms:.0f}" if side is one.ours else "",
            )  # fmt: skip
        made.add_row("nobody", *[""] * 7, p99(one.clock_lag_ms))
    return made
