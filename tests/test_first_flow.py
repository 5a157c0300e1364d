"""The first page that a flow author reads, done as they do it: every command with what it prints, and every change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.asterisk  # its last command makes a real call

PAGE = Path(__file__).parents[1] / "docs/first-flow.md"
BLOCKS = re.findall(r"```(console|diff)\n(.*?)```", PAGE.read_text(), re.DOTALL)
WITHIN = 120.0  # seconds for all of it; a reader takes most of the ten minutes


def run(folder: Path, block: str) -> None:
    """Run each ``$`` line; the lines below it must be among what it prints, in this order."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, wanted in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        done = subprocess.run(
            command, shell=True, cwd=folder, env={**os.environ, "PATH": path, "COLUMNS": "200"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WITHIN, check=False,
        )  # fmt: skip
        at = 0
        for line in wanted.splitlines():
            found = done.stdout.find(line, at)
            assert found >= 0, f"$ {command}\nwants: {line}\n{done.stdout}"
            at = found + len(line)


def change(folder: Path, block: str) -> None:
    """Change the one file in which the lines of the diff stand."""
    before = "".join(f"{line[1:]}\n" for line in block.splitlines() if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in block.splitlines() if not line.startswith("-"))
    (file,) = [file for file in sorted(folder.glob("hotel/*.yaml")) if file.read_text().count(before) == 1]
    file.write_text(file.read_text().replace(before, after))


def test_a_newcomer_gets_to_a_tested_flow_that_answers_a_call(tmp_path: Path) -> None:
    began = time.monotonic()
    assert [kind for kind, _ in BLOCKS].count("diff") == 4
    for kind, block in BLOCKS:
        (run if kind == "console" else change)(tmp_path, block)
    assert time.monotonic() - began < WITHIN
