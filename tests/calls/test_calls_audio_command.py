"""`hookflash test --audio` as its users run it: the example, its words and exit status, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asterisk.sandbox import Installation

pytestmark = pytest.mark.asterisk

HOOKFLASH = Path(sys.executable).with_name("hookflash")
EXAMPLES = Path(__file__).parent.parent.parent / "flows" / "examples"
WITHIN = 90.0  # seconds


def test_two_tests_side_by_side(installation: Installation, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            HOOKFLASH, "test", "--audio", EXAMPLES / "restaurant", "--only", "kitchen",
            "--junit", tmp_path / "results.xml",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(EXAMPLES / "restaurant" / "orders.test.yaml")
    assert lines[1].startswith("  ok    a caller in the afternoon hears when the kitchen opens  (")
    assert lines[2].startswith("  ok    on Thanksgiving the kitchen is closed  (")
    assert all("1 of 1 utterances heard, longest silence " in line for line in lines[1:3])
    assert "2 tests by audio, 4 at a time: about 3 s" in done.stderr
    assert "2 passed, 0 failed; " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "results.xml"], "nothing is left in the folder"


def test_ctrl_c_leaves_nothing(installation: Installation, tmp_path: Path) -> None:
    running = subprocess.Popen(
        [HOOKFLASH, "test", "--audio", EXAMPLES / "demo", "--only", "says nothing"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    ends = time.monotonic() + WITHIN
    while not list(tmp_path.glob("hookflash-test-*/world/**/*-heard.wav")):  # until the call is up
        assert running.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    _, complaint = running.communicate(timeout=WITHIN)
    assert running.returncode != 0
    assert b"Traceback" not in complaint, complaint.decode()
    assert list(tmp_path.glob("hookflash-*")) == []
    assert [words for words in commands() if str(tmp_path).encode() in words] == [], "no Asterisk is left"


def commands() -> list[bytes]:
    """The command lines of all processes."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found.append(file.read_bytes())
    return found
