"""The example of a third party's voice: installed from its folder, found, tried by the kit, and used in a flow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.virtual import VirtualLine, VirtualProvider, virtual_services
from engine.virtual.clock import virtual_time
from engine.voices import known_voices
from providers import registry
from tests.engine.verbs.phone import counted, dial, library

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "parrot"
GREETING_MS = 5 * 200  # five words


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed it."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    source.mkdir()
    for file in EXAMPLE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())  # pip builds beside its sources
    target = folder / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def beside_ours(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))


def test_its_entry_point_is_found(beside_ours: None) -> None:
    assert "parrot" in registry.names()
    assert known_voices()["parrot"].turn_detection
    assert registry.load("parrot", {}).name == "parrot"


def test_it_passes_the_kit(installed: Path, tmp_path: Path) -> None:
    """As its author would try it: pytest finds the kit's plugin by itself."""
    (tmp_path / "test_parrot.py").write_bytes((EXAMPLE / "test_parrot.py").read_bytes())
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_parrot.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"(\d+) passed, (\d+) deselected", done.stdout)
    assert summary, done.stdout
    page = (ROOT / "docs" / "writing-a-voice.md").read_text()
    assert summary[0] in page, "the page shows what comes out"


def test_the_plugin_is_installed_for_every_pytest() -> None:
    from importlib.metadata import entry_points

    [plugin] = [point for point in entry_points(group="pytest11") if point.value == "providers.pytest_plugin"]
    assert plugin.name == "hookflash"
    code = "import sys, providers.pytest_plugin; sys.exit('providers.conformance' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@virtual_time
async def test_a_flow_talks_with_it(beside_ours: None, tmp_path: Path) -> None:
    """It greets, gives back what it heard, and the flow goes on after its second answer."""

    async def script(line: VirtualLine) -> None:
        await line.log.until("heard")
        await line.caller.says("Hello parrot!", 0.8)

    house = library(tmp_path, (EXAMPLE / "flow" / "parrot.flow.yaml").read_text())
    over = await dial(house, script, name="parrot", services=virtual_services(VirtualProvider()))
    assert over.record.result == "that was all"
    assert "Hello parrot!" in over.heard, "its own words come back to the caller"
    lengths = [entry.ms for entry in over.line.log.find("heard")]
    assert lengths[0] == GREETING_MS
    assert not counted(over, "provider_sessions_active", provider="parrot")


@pytest.mark.parametrize("file", ["parrot.py", "test_parrot.py"])
def test_the_page_shows_it_as_it_is(file: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "writing-a-voice.md").read_text(), re.DOTALL)
    assert (EXAMPLE / file).read_text() in blocks
