"""`python -m bench.voices`: measure, print the table, write var/bench/voices.json."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console

from bench.child import BenchError, Child
from bench.voices.cascades import measure as cascades
from bench.voices.cascades.measure import CascadeFigures
from bench.voices.imports import import_ms
from bench.voices.report import Figures, show, write
from bench.voices.wires import FRAME_MS, wire_of
from tests.emulators.vendors import KEY, VENDORS

FOLDER = Path("var/bench").absolute()
REALTIME = ("openai", "azure-openai", "azure-voice-live", "grok", "gemini", "gpt-live")
CASCADES = ("google", "azure-speech")
VOICES = REALTIME + CASCADES
WARM_UP = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """``sessions`` of each voice, ``rounds`` of windows in turns, each of so many ``seconds``; ``tries`` of imports."""

    sessions: int = 50
    rounds: int = 3
    seconds: float = 4.0
    tries: int = 5


QUICK = Plan(sessions=10, rounds=1, seconds=2.0, tries=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a vendor's settings are told that it is."""

    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Window:
    """What a process took in its turns."""

    def __init__(self) -> None:
        self.cpu_ms: list[float] = []  # of all its sessions, for a second
        self.frames: list[int] = []


async def _turn(service: Child, talker: Child, party: str, plan: Plan) -> tuple[float, dict[str, Any]]:
    """CPU (ms a second) and what was told, of one window in which only this party is spoken to."""
    await service.ask("speak", party=party)
    await talker.ask("talk", seconds=WARM_UP)
    before, began = talker.cpu_seconds, time.monotonic()
    told = await talker.ask("talk", seconds=plan.seconds)
    cpu, took = talker.cpu_seconds - before, time.monotonic() - began
    await service.ask("speak", party=None)
    return cpu * 1000 / took, told | {"expected": took * 1000 / FRAME_MS * plan.sessions}


async def measure(voice: str, service: Child, plan: Plan) -> Figures:
    """One voice beside its floor."""
    vendor, wire = VENDORS[voice], wire_of(voice)
    kinds = ("nothing", "floor", *(("bare",) if wire.rate is not None else ()), "voice", "probed")
    talkers: dict[str, Child] = {}
    windows = {kind: Window() for kind in kinds}
    expected = 0.0
    async with AsyncExitStack() as stack:
        for kind in kinds:
            line = await service.ask("line", party=f"{voice} {kind}", voice=voice)
            settings = {"api_key": KEY, **vendor.settings(Place(line["port"]))}
            start: Mapping[str, Any] = {
                "kind": kind, "voice": voice, "port": line["port"], "count": plan.sessions,
                "module": vendor.provider.__module__, "settings": settings,
            }  # fmt: skip
            talkers[kind] = await stack.enter_async_context(
                Child("bench.voices.talker", f"{voice}-{kind}", FOLDER, start)
            )
        for _ in range(plan.rounds):
            for kind in kinds[:-1]:
                cpu, told = await _turn(service, talkers[kind], f"{voice} {kind}", plan)
                windows[kind].cpu_ms.append(cpu)
                windows[kind].frames.append(told["frames"])
                expected += told["expected"] if kind == "voice" else 0.0
        _, probed = await _turn(service, talkers["probed"], f"{voice} probed", plan)
        memory = {kind: talkers[kind].told["memory_kb"] for kind in ("voice", "floor")}
    clock = sorted(windows["nothing"].cpu_ms)[plan.rounds // 2]

    def each(kind: str) -> list[float]:
        found = windows[kind].cpu_ms if kind in windows else []
        return [round((cpu - clock) / plan.sessions, 4) for cpu in found]

    return Figures(
        voice, each("voice"), each("floor"), each("bare"), memory["voice"], memory["floor"],
        probed["down_ms"], probed["up_ms"], probed["lag_ms"], import_ms(vendor.provider.__module__, plan.tries),
        max(0.0, 1 - sum(windows["voice"].frames) / expected),
    )  # fmt: skip


async def measure_cascade(voice: str, service: Child, plan: Plan) -> CascadeFigures:
    """One cascade beside its floor."""
    module = VENDORS[voice].provider.__module__
    return await cascades.measure(
        voice, service, module=module, key=KEY, sessions=plan.sessions, rounds=plan.rounds, seconds=plan.seconds,
        folder=FOLDER, import_ms=import_ms(module, plan.tries),
    )  # fmt: skip


async def _bench(voices: tuple[str, ...], plan: Plan, console: Console) -> None:
    load, found, assembled = os.getloadavg()[0], [], []
    async with Child("bench.voices.service", "service", FOLDER, {}) as service:
        for voice in voices:
            if voice in CASCADES:
                made = await measure_cascade(voice, service, plan)
                assembled.append(made)
                missed = f"{made.ours.frames_missed:.1%} of frames missed, its floor {made.floor.frames_missed:.1%}"
                console.print(f"[dim]{voice}: {missed}[/]")
                continue
            one = await measure(voice, service, plan)
            found.append(one)
            console.print(f"[dim]{voice}: {one.ratio:.2f} times its floor, {one.frames_missed:.1%} of frames missed[/]")
    show(console, found, assembled, plan.sessions)
    write(FOLDER / "voices.json", found, assembled, plan.sessions, load)
    console.print(f"{FOLDER}/voices.json holds all of it")


@click.command()
@click.option("--quick", is_flag=True, help="Few sessions, a minute: does it work, and roughly how well.")
@click.option("--voice", "voices", multiple=True, type=click.Choice(VOICES), help="Only this one; may be repeated.")
def main(quick: bool, voices: tuple[str, ...]) -> None:
    """Measure each voice beside the bare floor of its protocol; about eight minutes."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        uvloop.run(_bench(voices or VOICES, QUICK if quick else Plan(), console))
    except (BenchError, TimeoutError) as error:
        raise click.ClickException(str(error) or "something took too long") from error


if __name__ == "__main__":
    main()
