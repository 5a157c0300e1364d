"""A second try hides nothing: what failed at first is told, and too much of it fails the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_try import HERE, MOST, has_real_time

ONCE = """
from pathlib import Path
import pytest

@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("number", range({many}))
def test_once(number, request):
    seen = request.config.rootpath / str(number)
    first = not seen.exists()
    seen.touch()
    assert not first, "a stall of the machine"
"""


def run(folder: Path, many: int) -> subprocess.CompletedProcess[str]:
    (folder / "test_once.py").write_text(ONCE.format(many=many))
    command = (sys.executable, "-m", "pytest", "-p", "tests.second_try", "--rootdir", str(folder), "-c", "/dev/null")
    command = (*command, str(folder))
    return subprocess.run(command, check=False, cwd=HERE.parent, capture_output=True, text=True, timeout=60)


def test_what_failed_at_first_is_told(tmp_path: Path) -> None:
    told = run(tmp_path, 1)
    assert told.returncode == 0, told.stdout
    assert "look into each" in told.stdout
    assert "a stall of the machine" in told.stdout


def test_too_many_second_tries_fail_the_run(tmp_path: Path) -> None:
    told = run(tmp_path, MOST + 1)
    assert told.returncode == pytest.ExitCode.TESTS_FAILED, told.stdout
    assert f"{MOST + 1} tests failed at first" in told.stdout


@pytest.mark.parametrize(
    ("file", "real"),
    [
        ("test_serve.py", True),
        ("calls/test_calls_handoffs.py", True),
        ("engine/console/test_api.py", True),
        ("engine/test_call.py", False),
        ("flows/test_reader.py", False),
    ],
)
def test_only_tests_in_real_time_are_tried_again(file: str, real: bool) -> None:
    assert has_real_time(HERE / file) is real
