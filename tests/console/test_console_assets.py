"""The page as it is shipped: whole, small, and made of the sources that stand beside it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path

import pytest

from engine.console.models import CallDetail, CallSummary, EngineHealth, FlowGraph, Flows, History, Targets
from tests.console.standin import StandIn, drawn

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "engine" / "console" / "static"
LARGEST = 200_000  # bytes, compressed


def test_the_page_has_all_that_it_names_and_nothing_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    ours = {name.removeprefix("/console/assets/") for name in named if name.startswith("/console/assets/")}
    assert len(ours) == 2, named
    assert all(name.startswith(("/console/assets/", "data:")) for name in named), named
    for name in ours:
        assert re.fullmatch(r"[\w.]+-[A-Z0-9]{8}\.(js|css)", name), f"{name} is cached for ever, without a hash"
        assert (STATIC / "assets" / name).is_file()
    assert page.count("{{nonce}}") == 1
    assert "<style" not in page
    assert "<script>" not in page


def test_every_asset_has_its_compressed_twin_and_all_are_small() -> None:
    files = [file for file in (STATIC / "assets").iterdir() if file.suffix != ".gz"]
    assert files
    for file in files:
        assert gzip.decompress(Path(f"{file}.gz").read_bytes()) == file.read_bytes(), file.name
    assert sum(Path(f"{file}.gz").stat().st_size for file in files) < LARGEST


def test_the_stand_in_answers_what_the_engine_would() -> None:
    told = StandIn().answers
    EngineHealth.model_validate(told["engine"])
    History.model_validate(told["history"])
    Flows.model_validate(told["flows"])
    Targets.model_validate(told["targets"])
    for call in told["calls"]:
        CallSummary.model_validate(call)
    for detail in told["details"].values():
        CallDetail.model_validate(detail)
    FlowGraph.model_validate(drawn("demo/reception"))


@pytest.mark.browser
def test_the_shipped_page_is_what_its_sources_make(tmp_path: Path) -> None:
    run("run", "build", HOOKFLASH_CONSOLE_TARGET=str(tmp_path))
    assert contents(tmp_path) == contents(STATIC), "engine/console/static is not what console/ makes: make console"


@pytest.mark.browser
def test_its_types_and_its_pure_parts_are_right() -> None:
    run("run", "check")
    run("test")


def run(*arguments: str, **environment: str) -> None:
    done = subprocess.run(
        ["npm", "--prefix", str(ROOT / "console"), "--silent", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, f"npm {' '.join(arguments)} (make browser first): {done.stdout}{done.stderr}"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file; compressed ones by what is in them, as zlib differs between machines."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for file in files
    }
