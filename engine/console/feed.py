"""The live feed: what changes in the calls, gathered for a moment, numbered, and kept for who was away for a while.

Of what is told again and again (a call's line in the list, an entry of its timeline) only the newest is kept: each kind
of thing has a key, and a number that grows. A watcher is a place in the numbers, so one who is slow or away costs
nothing; when what it missed is no more it is told everything anew. Nobody watches: nothing is done.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from engine.console import masks, views
from engine.console.entries import Timeline
from engine.console.event_models import EntryEvent, InterimEvent, RecordingsEvent, VariablesEvent
from engine.console.models import (
    CallSummary,
    EngineHealth,
    Interim,
    Model,
    RecordingHead,
    Variable,
)
from engine.console.places import Places

if TYPE_CHECKING:
    from engine.call import Call
    from engine.switchboard import Switchboard
    from engine.watch import Watch

log = structlog.get_logger()

GATHER: Final = 0.1  # seconds in which changes of calls become one
SWEEP: Final = 1.0  # seconds between two looks at everything: for what nobody told
KEPT: Final = 2000  # events
LINGER: Final = 60.0  # seconds for which the feed goes on without a watcher


@dataclass(slots=True)
class Event:
    """One thing as it is now. ``call``: only for who watches the details of this call."""

    number: int
    kind: str
    model: Model
    call: str | None = None
    _texts: dict[bool, str] = field(default_factory=dict)

    def text(self, *, masked: bool) -> str:
        """Its JSON, made once for all who may see the same."""
        if masked not in self._texts:
            self._texts[masked] = (masks.masked(self.model) if masked else self.model).model_dump_json()
        return self._texts[masked]


@dataclass(slots=True)
class _Seen:
    """What was told of a call."""

    places: Places
    summary: CallSummary | None = None
    timeline: Timeline | None = None  # with the rest: only while somebody watches its details
    since: int = 0  # from which number on its details are told
    until: float = 0.0  # when nobody is interested in them any more
    interim: Interim | None = None
    variables: list[Variable] | None = None
    recording: Any = None


@dataclass(eq=False, slots=True)
class Watcher:
    """Who watches: ``wake`` is set when something new is there."""

    call: str | None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """See above. ``health`` and ``recordings`` look when asked; ``listeners`` counts those of a call."""

    def __init__(
        self, switchboard: Switchboard, watch: Watch, health: Callable[[], EngineHealth],
        listeners: Callable[[str], int], recordings: Callable[[Call], Awaitable[list[RecordingHead]]],
    ) -> None:  # fmt: skip
        self.epoch = secrets.token_hex(4)  # numbers of another engine, or of one before its restart, mean nothing
        self.number = 0
        self.closing = False
        self._board = switchboard
        self._watch = watch
        self._health = health
        self._listeners = listeners
        self._recordings = recordings
        self._events: OrderedDict[tuple[str, ...], Event] = OrderedDict()
        self._floor = 0  # what came before, and at this number, may be gone
        self._watchers: set[Watcher] = set()
        self._dirty: dict[str, Call] = {}
        self._seen: dict[str, _Seen] = {}
        self._engine: EngineHealth | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._alone_since: float | None = None
        self._listing: set[asyncio.Task[None]] = set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    # ── For who watches ───────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def watching(self, call: str | None) -> Iterator[Watcher]:
        """Watch, and with ``call`` its details, while the block lasts."""
        watcher = Watcher(call)
        self._watchers.add(watcher)
        self._alone_since = None
        if self._watch.told is None:
            self._begin()
        self._detail(call)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._alone_since = asyncio.get_running_loop().time()

    def now(self) -> int:
        """The number at which everything stands as it is now: what was gathered is told first."""
        self._tell()
        return self.number

    def since(self, number: int, call: str | None) -> list[Event] | None:
        """What came after a number, for who watches a call's details or none's; None when some of it is gone."""
        if number < self._floor or number > self.number:
            return None
        if call is not None and (seen := self._seen.get(call)) is not None and number < seen.since:
            return None
        found = []
        for event in reversed(self._events.values()):
            if event.number <= number:
                break
            if event.call is None or event.call == call:
                found.append(event)
        return found[::-1]

    def close(self) -> None:
        """The engine stops: all streams end, with what happened last."""
        self._tell()
        self.closing = True
        self._end()
        for watcher in self._watchers:
            watcher.wake.set()

    # ── Gathering ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._floor = self.number = self.number + 1  # nobody knows what was before
        self._events.clear()
        self._seen.clear()
        self._engine = self._health()
        self._watch.told = self._changed
        self._dirty.update(self._board.calls)
        self._tell()
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _end(self) -> None:
        self._watch.told = None
        for timer in (self._gathering, self._sweeping):
            if timer is not None:
                timer.cancel()
        self._gathering = self._sweeping = None
        self._dirty.clear()
        for task in self._listing:
            task.cancel()

    def _changed(self, call: Call) -> None:
        """A call told that it changed."""
        self._dirty[call.record.id] = call
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER, self._tell)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._alone_since is not None and now > self._alone_since + LINGER:
            self._end()
            return
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)
        for watcher in self._watchers:
            self._detail(watcher.call)
        for seen in self._seen.values():
            if seen.timeline is not None and now > seen.until:
                seen.timeline = None
        self._dirty.update(self._board.calls)
        self._tell()
        health = self._health()
        if self._engine is None or health.model_copy(update={"now": self._engine.now}) != self._engine:
            self._engine = health
            self._publish(("engine",), "engine", health)

    def _tell(self) -> None:
        """Look at the calls that changed."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        dirty, self._dirty = self._dirty, {}
        for call in dirty.values():
            self._safely(self._look, call)

    @staticmethod
    def _safely(look: Callable[[Call], None], call: Call) -> None:
        """What is wrong with one call must not hide the others."""
        try:
            look(call)
        except Exception:
            log.exception("a call cannot be shown", call_id=call.record.id)

    def _look(self, call: Call) -> None:
        id_ = call.record.id
        seen = self._of(call)
        shown = views.summary(call, seen.places, listeners=self._listeners(id_))
        if shown != seen.summary:
            seen.summary = shown
            self._publish(("call", id_), "call", shown)
        if seen.timeline is not None:
            self._look_closer(call, seen)
        if shown.state == "ended" and id_ not in self._board.calls:
            del self._seen[id_]

    def _look_closer(self, call: Call, seen: _Seen) -> None:
        id_ = call.record.id
        assert seen.timeline is not None
        for entry in seen.timeline.changes():
            self._publish(("entry", id_, entry.id), "entry", EntryEvent(call=id_, entry=entry), id_)
        if (said := views.interim(call)) != seen.interim:
            seen.interim = said
            event = InterimEvent(call=id_, caller=said.caller, voice=said.voice)
            self._publish(("interim", id_), "interim", event, id_)
        if (held := views.variables(call)) != seen.variables:
            seen.variables = held
            self._publish(("variables", id_), "variables", VariablesEvent(call=id_, variables=held), id_)
        recording = call.recording
        kept = None if recording is None else (recording.path, recording.over.is_set())
        if kept != seen.recording:
            seen.recording = kept
            task = asyncio.create_task(self._tell_recordings(call), name=f"recordings of {id_}")
            self._listing.add(task)
            task.add_done_callback(self._listing.discard)

    def _of(self, call: Call) -> _Seen:
        if call.record.id not in self._seen:
            self._seen[call.record.id] = _Seen(Places.of(call.library))
        return self._seen[call.record.id]

    async def _tell_recordings(self, call: Call) -> None:
        """They are looked for on the disk, so not at once."""
        id_ = call.record.id
        found = await self._recordings(call)
        self._publish(("recordings", id_), "recordings", RecordingsEvent(call=id_, recordings=found), id_)

    def _detail(self, id_: str | None) -> None:
        """Tell a live call's details from now on, for as long as somebody watches them and a while longer."""
        if id_ is None or id_ not in self._board.calls:
            return
        call = self._board.calls[id_]
        seen = self._of(call)
        seen.until = asyncio.get_running_loop().time() + LINGER
        if seen.timeline is None:
            seen.timeline = Timeline(call.record, seen.places)
            self._safely(lambda call: self._look_closer(call, seen), call)
            seen.since = self.number

    def _publish(self, key: tuple[str, ...], kind: str, model: Model, call: str | None = None) -> None:
        self.number += 1
        self._events[key] = Event(self.number, kind, model, call)
        self._events.move_to_end(key)
        if len(self._events) > KEPT:
            _, gone = self._events.popitem(last=False)
            self._floor = gone.number
        for watcher in self._watchers:
            watcher.wake.set()
