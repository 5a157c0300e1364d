"""The table and the file: what was measured beside what is wanted, and on which machine."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Spread
from bench.plan import Plan, Results
from bench.stage import Window


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a figure, how it spreads, and what is wanted of it (None: nothing)."""

    key: str
    what: str
    value: float | None
    unit: str
    spread: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def good(self) -> bool | None:
        if self.at_most is None and self.at_least is None:
            return None
        if self.value is None:
            return False
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def wanted(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g} {self.unit}".rstrip()
        return f"at least {self.at_least:g} {self.unit}".rstrip() if self.at_least is not None else ""


def rows(results: Results) -> list[Row]:
    """The figures, the most important first."""
    probed, held, memory = results.probed, results.held, results.memory_per_call
    ratios = sorted(a.cpu_ms / b.cpu_ms for a, b in zip(results.engine, results.floor, strict=True))
    up, down = probed["up"], probed["down"]
    delay = None if up is None or down is None else max(up["p99"], down["p99"])
    never = f", {results.never_silent} never" if results.never_silent else ""
    silent = None if results.never_silent else _of(results.silent, "p99")
    return [
        Row("cpu_ratio_to_floor", "engine's CPU beside the floor's", results.cpu_ms / results.floor_cpu_ms, "",
            f"{ratios[0]:.2f} … {ratios[-1]:.2f} in {len(ratios)} rounds", at_most=1.5),
        Row("cpu_ms_per_call_second", "engine's CPU per call and second", results.cpu_ms, "ms",
            _windows(results.engine)),
        Row("floor_cpu_ms_per_call_second", "floor's CPU per call and second", results.floor_cpu_ms, "ms",
            _windows(results.floor)),
        Row("calls_per_core", "calls on one core, by its share at the most that held",
            None if held is None else held.calls / held.core_share, "",
            "" if held is None else f"{held.calls} calls took {held.core_share:.0%} of a core", at_least=200),
        Row("calls_without_missed_frame", "most calls of which no frame was missed",
            None if held is None else held.calls, "", results.stopped_by or "more were not tried"),
        Row("added_delay_p99_ms", "delay inside the engine, p99 of the worse way", delay, "ms",
            f"to the provider {_spread(up)}; to the caller {_spread(down)}", at_most=3),
        Row("setup_p50_ms", "StasisStart to open provider session", _of(probed["session"], "p50"), "ms",
            f"{_spread(probed['session'])}; the provider's own part {_spread(results.provider_own)}", at_most=30),
        Row("first_audio_p50_ms", "StasisStart to the provider's first audio", _of(probed["first_audio"], "p50"), "ms",
            _spread(probed["first_audio"])),
        Row("flush_p99_ms", "speech_started sent to flush sent", _of(results.flushed, "p99"), "ms",
            _spread(results.flushed)),
        Row("barge_in_p99_ms", "speech_started sent to silence at the caller", silent, "ms",
            _spread(results.silent) + never, at_most=60),
        Row("answer_to_two_way_p50_ms", "target's 200 to sound both ways", _of(results.two_way, "p50"), "ms",
            _spread(results.two_way)),
        Row("step_cpu_ms", "engine's CPU for a step of a flow", _of(results.step, "p50"), "ms", _spread(results.step),
            at_most=0.2),
        Row("memory_kb_per_call", "memory per call", None if memory is None else memory / 1024, "kB"),
        Row("loop_lag_p99_ms", "lateness of the engine's event loop, p99", _of(probed["late"], "p99"), "ms",
            _spread(probed["late"])),
    ]  # fmt: skip


def machine(asterisk: str) -> dict[str, Any]:
    """Where it was measured."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(": ")[2] for line in cpu.splitlines() if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model, "cores": os.cpu_count(), "memory_gb": round(memory, 1),
        "load_average_before": round(os.getloadavg()[0], 2), "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(), "uvloop": version("uvloop"), "aiohttp": version("aiohttp"),
        "asterisk": asterisk,
    }  # fmt: skip


def write(path: Path, results: Results, plan: Plan, where: dict[str, Any]) -> None:
    """The figures under their keys, and everything from which they were made."""
    figures = {row.key: None if row.value is None else round(row.value, 3) for row in rows(results)}
    details = {
        "probed": {name: found for name, found in results.probed.items() if name != "flushes"},
        "provider_own_ms": results.provider_own, "flushed_ms": results.flushed, "silent_ms": results.silent,
        "never_silent": results.never_silent, "two_way_ms": results.two_way, "sweep_stopped_by": results.stopped_by,
        **{name: [_window(w) for w in getattr(results, name)] for name in ("engine", "floor", "sweep")},
    }  # fmt: skip
    missed = [row.key for row in rows(results) if row.good is False]
    told = figures | {"targets_missed": missed, "calls": plan.compared, "machine": where, "details": details}
    path.write_text(json.dumps(told, indent=2) + "\n")


def show(console: Console, results: Results, where: dict[str, Any]) -> None:
    """The table."""
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("", "measured", "wanted", "", "spread (min / median / p99 / max)"):
        table.add_column(heading, overflow="fold")
    for row in rows(results):
        value = "-" if row.value is None else f"{row.value:.2f} {row.unit}".rstrip()
        mark = {None: "", True: "[green]yes[/]", False: "[bold red]NO[/]"}[row.good]
        table.add_row(row.what, value, row.wanted, mark, row.spread)
    console.print()
    console.print(table)
    console.print(f"\n{where['cpu']}, {where['cores']} cores, {where['memory_gb']} GB; {where['asterisk']}; Python "
                  f"{where['python']}; load average before: {where['load_average_before']}")  # fmt: skip


def _of(found: Spread | None, name: str) -> float | None:
    return None if found is None else found[name]


def _spread(found: Spread | None) -> str:
    if found is None:
        return "nothing was measured"
    return " / ".join(f"{found[name]:.2f}" for name in ("min", "p50", "p99", "max")) + f" of {found['count']:.0f}"


def _windows(windows: list[Window]) -> str:
    found = sorted(window.cpu_ms for window in windows)
    first = windows[0]
    return f"{found[0]:.2f} … {found[-1]:.2f} in {len(found)} windows of {first.seconds:.0f} s, {first.calls} calls"


def _window(window: Window) -> dict[str, Any]:
    return {
        "calls": window.calls, "seconds": round(window.seconds, 3), "cpu_ms_per_call_second": round(window.cpu_ms, 3),
        "core_share": round(window.core_share, 3), "missed": window.missed, "due": window.due,
        "resident_mb": round(window.resident / 2**20, 1),
        "cores": {
            "asterisk": round(window.pbx_cpu / window.seconds, 3),
            "provider": round(window.provider_cpu / window.seconds, 3),
            "phones": round(window.phones_cpu / window.seconds, 3),
            "other_programs": round(window.others_cpu / window.seconds, 3),
        },
        "caller_to_provider": {name: found for name, found in window.received.items() if name != "own_ms"},
        "provider_to_caller": window.heard,
    }  # fmt: skip
