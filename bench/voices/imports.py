"""How long a voice's module takes to load, in a process of its own that has loaded what the engine has anyway."""

from __future__ import annotations

import subprocess
import sys

_TIMED = "import time, aiohttp, json; t = time.perf_counter(); import {}; print((time.perf_counter() - t) * 1000)"


def import_ms(module: str, tries: int) -> float:
    """The shortest of so many tries, in ms."""
    command = [sys.executable, "-c", _TIMED.format(module)]
    run = (subprocess.run(command, check=True, capture_output=True, text=True, timeout=60) for _ in range(tries))
    return min(float(one.stdout) for one in run)
