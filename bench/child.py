"""Processes of the benchmark: one line of JSON asks, one line of JSON answers. A child ends when its stdin does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

ANSWER_WITHIN = 60.0  # seconds
STOP_WITHIN = 10.0

Answer = Callable[[dict[str, Any]], Awaitable[Any]]


class BenchError(RuntimeError):
    """The benchmark could not be made; the text says what happened and where to look."""


class Child:
    """A process of ours, `python -m <module>`. What it logs goes to ``<folder>/<name>.log``."""

    def __init__(self, module: str, name: str, folder: Path, start: Mapping[str, Any]) -> None:
        self._module = module
        self._start = dict(start)
        self.name = name
        self.log = folder / f"{name}.log"
        self.told: dict[str, Any] = {}  # what it said when it was ready
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=2**24,
            )  # fmt: skip
        try:
            self.told = await self.ask("start", **self._start)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the process so far, to the nanosecond and without disturbing it."""
        return cpu_seconds(self.pid)

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Have it done; its answer. Raises `BenchError`."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            async with asyncio.timeout(ANSWER_WITHIN):
                line = await self._process.stdout.readline()
        except (TimeoutError, ConnectionError) as error:
            raise BenchError(f"{self.name} did not answer '{do}' ({error!r}); see {self.log}") from error
        if not line:
            raise BenchError(f"{self.name} ended during '{do}'; see {self.log}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "failed" in answer:
            raise BenchError(f"{self.name} could not do '{do}': {answer['failed']}; see {self.log}")
        return answer

    async def stop(self) -> None:
        """End it: its stdin ends, and when that is not enough, by force."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of any process of this machine, all threads, from the kernel's clock of it."""
    return time.clock_gettime((~pid << 3) | 2)


def busy_seconds() -> float:
    """CPU time that all programs of this machine have taken so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def obey(answers: Mapping[str, Answer]) -> None:
    """The child's side: answer what is asked until stdin ends. ``answers`` maps what is asked to who answers it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        asked = json.loads(line)
        try:
            answer = await answers[asked.pop("do")](asked)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        say(answer)


def say(answer: Any) -> None:
    """One answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
