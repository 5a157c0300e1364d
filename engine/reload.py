"""Flows change while the engine runs: a good revision is taken by new calls, a broken one is refused.

Live calls keep the revision that they began with. What decides is what stands in the files that the flows were read
from; the kernel's word that something happened in their folders only makes it quicker. So a ConfigMap that is swapped
behind its symlinks, an editor that replaces files and a network file system that tells nothing all work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from watchfiles import awatch

from engine.accounts import using
from engine.beside import beside, first_of
from engine.loading import FlowsError, load_library, voices_of
from engine.services import Services
from engine.switchboard import Switchboard
from flows.flow import Flow
from flows.language import sources
from flows.library import Library
from providers.voice import VoiceError

log = structlog.get_logger()

LOOK_EVERY = 5.0  # seconds, where the kernel tells nothing
QUIET_FOR = 0.2  # seconds without a change before files are read: whoever writes them may not be done
QUIET_WITHIN = 5.0  # seconds; then they are read in any case
LOAD_WITHIN = 60.0  # seconds; only a file system that hangs takes longer
SWITCH_EVERY = 0.0005  # seconds after which a computing thread must let the event loop run; a tenth of Python's

Result = Literal["taken", "unchanged", "refused"]
Stamp = Mapping[Path, tuple[int, ...] | None]  # what tells one state of a file from another; None: there is no file


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the newest files are not in use."""

    at: datetime
    problems: tuple[str, ...]


class Reload:
    """Keeps a switchboard's library in step with the files in ``paths`` that it was loaded from."""

    def __init__(
        self, paths: Sequence[Path], switchboard: Switchboard, services: Services,
        load: Callable[[Sequence[Path]], Library] = load_library,
    ) -> None:  # fmt: skip
        self.refusal: Refusal | None = None
        self.loaded_at = services.clock.now()
        self._paths = tuple(paths)
        self._board = switchboard
        self._services = services
        self._load = load
        self._files = switchboard.library.files
        self._seen = _stamp(self._paths, self._files)
        self._asked = asyncio.Event()
        self._woken = asyncio.Event()

    def ask(self) -> None:
        """Read the flows again soon, changed or not (SIGHUP)."""
        self._asked.set()

    def state(self) -> dict[str, Any]:
        """What is in use, and what is wrong with the newest files, for ``GET /flows``."""
        library, refusal = self._board.library, self.refusal
        return {
            "revision": library.revision,
            "loaded_at": self.loaded_at.isoformat(),
            "flows": [
                {**_version(flow), "next": self._next(library.next.get(name))}
                for name, flow in sorted(library.flows.items())
            ],
            "last_error": refusal and {"at": refusal.at.isoformat(), "problems": list(refusal.problems)},
        }

    def _next(self, flow: Flow | None) -> dict[str, Any] | None:
        return None if flow is None else {**_version(flow), "rolled_back": self._board.trials.rolled_back(flow)}

    async def run(self) -> None:
        """Take what changes until cancelled."""
        while True:
            await first_of(self._changed(), self._asked.wait())
            self._asked.clear()
            await self._quiet()
            await self.reload()

    async def reload(self) -> Result | None:
        """Read the flows and take them if they are good; None when they changed meanwhile. Never raises for them."""
        before = await self._look()
        found = await self._read()
        self._files = found.files
        after = await self._look()
        # Of files that are known since this load only there is no earlier look; a file that it has not seen stays new.
        self._seen = {
            path: before.get(path, state) for path, state in after.items() if path in before or path in self._files
        }
        if any(after[path] != state for path, state in self._seen.items()):
            return None  # half old, half new: `run` sees that at once
        result = self._refuse(found) if isinstance(found, FlowsError) else self._take(found)
        self._services.metrics.flow_reloads.labels(result).inc()
        if result == "taken":
            gc.freeze()  # as after the start: see `engine.loading.settle`
        return result

    async def _read(self) -> Library | FlowsError:
        """The library with its voices open, so that no call waits for them."""
        try:
            async with asyncio.timeout(LOAD_WITHIN):
                with _beside_live_calls():
                    library = await asyncio.to_thread(self._load, self._paths)
            for account, names in voices_of(library).items():
                with using(account):
                    for name in names:
                        self._services.voices.get(name)
            return library
        except FlowsError as error:
            return error
        except VoiceError as error:
            return FlowsError([str(error)], library.files)
        except TimeoutError:
            return FlowsError([f"they could not be read within {LOAD_WITHIN:.0f} s"], self._files)
        except Exception as error:  # of a plugin's verb or voice, say: calls must not end for it
            log.exception("the flows could not be read", error=str(error))
            return FlowsError([f"{type(error).__name__}: {error}"], self._files)

    def _take(self, library: Library) -> Result:
        self.refusal = None
        if library.revision == self._board.library.revision:
            log.info("the flows are as they were", revision=library.revision)
            return "unchanged"
        log.info("new flows", revision=library.revision, before=self._board.library.revision, flows=len(library.flows))
        self._board.library = library
        self.loaded_at = self._services.clock.now()
        return "taken"

    def _refuse(self, error: FlowsError) -> Result:
        self.refusal = Refusal(self._services.clock.now(), error.problems)
        log.error(
            "the flows changed and cannot be used; calls go on with the last good ones",
            problems=list(error.problems),
            revision=self._board.library.revision,
        )
        return "refused"

    # ── The files ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _changed(self) -> None:
        """Until a file is not what it was when the flows were read."""
        async with beside(self._watch(await asyncio.to_thread(_folders, self._paths, self._files))):
            await asyncio.sleep(0)  # the kernel watches from here on: nothing is missed between it and the look
            while await self._look() == self._seen:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._woken.wait()
                self._woken.clear()

    async def _watch(self, folders: Sequence[Path]) -> None:
        """Wake whoever waits for a change as soon as the kernel tells of one in these folders."""
        try:
            async for _ in awatch(*folders, watch_filter=None, debounce=500, recursive=False):
                self._woken.set()
        except Exception as error:  # no watches left, a folder that may not be read: looking goes on
            log.warning("the kernel does not tell when flows change", look_every=LOOK_EVERY, error=str(error))

    async def _quiet(self) -> None:
        """Until nobody writes any more, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_WITHIN):
                stamp = None
                while (now := await self._look()) != stamp:
                    stamp = now
                    await asyncio.sleep(QUIET_FOR)

    async def _look(self) -> Stamp:
        return await asyncio.to_thread(_stamp, self._paths, self._files)


def _version(flow: Flow) -> dict[str, Any]:
    return {"name": flow.name, "version": flow.version, "revision": flow.revision}


def _stamp(paths: Sequence[Path], files: frozenset[Path]) -> Stamp:
    try:
        found = sources(paths)
    except OSError:  # a folder went away under the search
        found = []
    return {path: _state(path) for path in {*found, *files}}


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # of what a link leads to: a ConfigMap swaps that
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _folders(paths: Sequence[Path], files: frozenset[Path]) -> list[Path]:
    """Where something can happen to the files. Not what lies deeper: a flow may stand in a folder full of others."""
    folders = {path if os.path.isdir(path) else path.parent for path in paths} | {path.parent for path in files}
    return sorted(folder for folder in folders if os.path.isdir(folder))


@contextmanager
def _beside_live_calls() -> Iterator[None]:
    """While another thread computes: short turns, and one collection of garbage at its end instead of many in between.

    A library of 2,000 lines then holds the event loop for two moments of about 10 ms (27 at worst on a busy machine):
    this collection, and letting the library before go. Nine times in ten it is late by less than 2 ms (measured).
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_EVERY)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.collect()
        gc.enable()
