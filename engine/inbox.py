"""Events that somebody outside tells a call: a webhook of the company, a supervisor. A step waits for them by name.

What comes before its step is kept for it, in bounded memory; what is sent twice counts once; what a waiting step cannot
use is refused, so that whoever sent it learns of it.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["webhook", "supervisor"]
Fate = Literal["taken", "kept", "known", "unfit", "full", "over"]
Fits = Callable[[Any], Sequence[str]]
"""What is wrong with an event's data, in words; empty when a step can use it."""

MOST_KEPT = 16  # events that wait for their step
MOST_BYTES = 256 * 1024  # of all of them, as JSON
MOST_KEYS = 256  # idempotency keys that are remembered


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an event: a step took it, it is kept for one, it was known already, the waiting step cannot use
    it (``why``), too many are kept, or the call is over."""

    fate: Fate
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Event:
    source: Source
    name: str
    data: Any
    size: int


@dataclass(frozen=True, slots=True)
class _Wait:
    source: Source
    name: str
    fits: Fits
    taken: asyncio.Future[Any]


class Inbox:
    """The events of one call. Nothing here waits but `take`."""

    def __init__(self) -> None:
        self.dropped = 0  # events that were kept, and that their step could not use
        self._kept: list[_Event] = []
        self._waiting: list[_Wait] = []
        self._known: OrderedDict[tuple[Source, str, str], None] = OrderedDict()

    def tell(self, source: Source, name: str, data: Any, key: str | None = None) -> Told:
        """An event with a JSON value. The same ``key`` with the same name a second time changes nothing."""
        if key is not None and (source, name, key) in self._known:
            return Told("known")
        told = self._deliver(source, name, data) or self._keep(_Event(source, name, data, len(json.dumps(data))))
        if key is not None and told.fate in ("taken", "kept"):
            self._known[(source, name, key)] = None
            if len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)
        return told

    def kept(self, source: Source, name: str, fits: Fits) -> list[Any]:
        """The data of the oldest such event that came before and fits, in a list; those that do not fit are dropped."""
        for event in [event for event in self._kept if (event.source, event.name) == (source, name)]:
            self._kept.remove(event)
            if not fits(event.data):
                return [event.data]
            self.dropped += 1
        return []

    async def take(self, source: Source, name: str, fits: Fits) -> Any:
        """The data of the next such event that fits: one that is kept, else the first to come."""
        if found := self.kept(source, name, fits):
            return found[0]
        wait = _Wait(source, name, fits, asyncio.get_running_loop().create_future())
        self._waiting.append(wait)
        try:
            return await wait.taken
        except asyncio.CancelledError:
            if not wait.taken.cancelled():  # it came in the moment in which the wait was given up: the next one has it
                data = wait.taken.result()
                self._kept.insert(0, _Event(source, name, data, len(json.dumps(data))))
            raise
        finally:
            self._waiting.remove(wait)

    def _deliver(self, source: Source, name: str, data: Any) -> Told | None:
        """Give it to the step that waits; None when none does."""
        for wait in self._waiting:
            if (wait.source, wait.name) == (source, name) and not wait.taken.done():
                if why := wait.fits(data):
                    return Told("unfit", tuple(why))
                wait.taken.set_result(data)
                return Told("taken")
        return None

    def _keep(self, event: _Event) -> Told:
        size = event.size + sum(one.size for one in self._kept)
        if len(self._kept) == MOST_KEPT or size > MOST_BYTES:
            return Told("full")
        self._kept.append(event)
        return Told("kept")
