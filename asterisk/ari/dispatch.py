"""From one socket to many callbacks, in order for each call and without waiting for any.

Callbacks about one channel (or bridge) run one after the other, in the order of the events; callbacks about different
ones run side by side. The reader of the socket only sorts: it never waits for a callback. Events that nobody wants are
never parsed.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from asterisk.ari.models import EVENTS, OBJECTS, Bridge, Channel, Endpoint, Event
from asterisk.ari.record import Live

logger = logging.getLogger(__name__)

Callback = Callable[[Event], Awaitable[object] | object]

NOISY = frozenset(
    {
        "ChannelCallerId",
        "ChannelConnectedLine",
        "ChannelDialplan",
        "ChannelVarset",
        "ContactStatusChange",
        "DeviceStateChanged",
        "EndpointStateChange",
        "PeerStatusChange",
    }
)
"""Events that come in storms and that no call waits for: filtered out in Asterisk by default, dropped first here."""

# A backlog takes noisy events up to the first bound and all others up to the second; beyond, memory is the worse evil.
NOISY_BOUND = 256
HARD_BOUND = 8192

_UNKNOWN: tuple[tuple[type[Live], tuple[str, ...]], ...] = (
    (Channel, ("channel",)),
    (Bridge, ("bridge",)),
    (Endpoint, ("endpoint",)),
)

ItemT = TypeVar("ItemT")
LiveT = TypeVar("LiveT", bound=Live)


def keys_in(raw: Mapping[str, Any]) -> list[str]:
    """The keys of the objects that an event names (`channel:<id>`, …), the foremost first; also a playback's target."""
    keys: dict[str, None] = {}
    for kind, path in OBJECTS.get(raw.get("type", ""), _UNKNOWN):
        data: Any = raw
        for name in path:
            data = data.get(name) if isinstance(data, dict) else None
        if isinstance(data, dict):
            keys[kind.key_in(data)] = None
            if target := data.get("target_uri"):
                keys[str(target)] = None
    return list(keys)


def parse_event(raw: Mapping[str, Any], client: Any) -> Event:
    """The event as its own type, or as plain `Event` if its type is newer than this client."""
    return EVENTS.get(raw.get("type", ""), Event).parse(raw, client)


def objects_of(event: Event, kind: type[LiveT]) -> list[LiveT]:
    """The live objects of one kind in an event, the foremost first."""
    found: list[LiveT] = []
    for known, path in OBJECTS.get(event.type, ()):
        if known is kind:
            value: Any = event
            for name in path:
                value = getattr(value, name, None)
            if isinstance(value, kind):
                found.append(value)
    return found


class Backlog(Generic[ItemT]):
    """A bounded queue that gives up noise first. `dropped` counts what was lost; the first loss is logged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dropped = 0
        self._items: deque[ItemT] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: ItemT, *, noisy: bool) -> bool:
        """Take the item, or drop it when the bound for its sort is reached; whether it was taken."""
        if len(self._items) < (NOISY_BOUND if noisy else HARD_BOUND):
            self._items.append(item)
            return True
        if self.dropped == 0:
            level = logging.WARNING if noisy else logging.ERROR
            logger.log(level, "%s is %d events behind; dropping, see its counter", self.name, len(self._items))
        self.dropped += 1
        return False

    def take(self) -> ItemT:
        """The oldest item; `IndexError` when empty."""
        return self._items.popleft()


class Subscription:
    """A callback that is called for events of one type; `close()` ends it at once, also for events already waiting."""

    def __init__(
        self, table: dict[tuple[str, str], list[Subscription]], place: tuple[str, str], callback: Callback
    ) -> None:
        self.event_type, self.key = place
        self.callback = callback
        self.closed = False
        self._table = table
        table.setdefault(place, []).append(self)

    def close(self) -> None:
        """No more calls. Closing twice is fine."""
        if self.closed:
            return
        self.closed = True
        place = (self.event_type, self.key)
        self._table[place].remove(self)
        if not self._table[place]:
            del self._table[place]


class Watcher(Protocol):
    """What takes events besides callbacks: an event stream."""

    def offer(self, event: Event) -> None:
        """Take the event without waiting."""

    def wants(self, event_type: str) -> bool:
        """Whether an event of this type is of any use."""

    def close(self) -> None:
        """No more events will come."""


class Dispatcher:
    """Sorts events to callbacks and streams. `client` is handed to what is parsed."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._callbacks: dict[tuple[str, str], list[Subscription]] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        self._lanes: dict[str, Backlog[tuple[Subscription, Event]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def subscribe(self, event_type: str, key: str, callback: Callback) -> Subscription:
        """Call back for events of a type that name the object `key`; an empty key means all of them."""
        return Subscription(self._callbacks, (event_type, key), callback)

    def watch(self, key: str, watcher: Watcher) -> None:
        """Offer the watcher every event that names the object `key`; an empty key means all of them."""
        watchers = self._watchers.setdefault(key, [])
        if watcher not in watchers:
            watchers.append(watcher)

    def unwatch(self, key: str, watcher: Watcher) -> None:
        """Undo `watch`."""
        watchers = self._watchers.get(key, [])
        if watcher in watchers:
            watchers.remove(watcher)
        if not watchers:
            self._watchers.pop(key, None)

    @property
    def lanes(self) -> int:
        """How many objects have callbacks running or waiting."""
        return len(self._lanes)

    def feed(self, raw: Mapping[str, Any]) -> None:
        """Take one event as Asterisk sent it. Never waits."""
        event_type, keys = str(raw.get("type", "")), keys_in(raw)
        if event_type == "ApplicationReplaced":
            self.broadcast(parse_event(raw, self._client))
            return
        subscriptions = list(self._subscriptions(event_type, keys))
        watchers = {
            id(each): each for key in ("", *keys) for each in self._watchers.get(key, ()) if each.wants(event_type)
        }
        if subscriptions or watchers:
            self._deliver(parse_event(raw, self._client), keys, subscriptions, watchers.values())

    def broadcast(self, event: Event) -> None:
        """Give an event that concerns every call to every stream and to the callbacks of its type."""
        watchers = {id(each): each for all_of_key in self._watchers.values() for each in all_of_key}
        wanting = [each for each in watchers.values() if each.wants(event.type)]
        self._deliver(event, [], self._subscriptions(event.type, []), wanting)

    async def close(self) -> None:
        """End the streams, and stop the callbacks that still run (except the one that may be calling this)."""
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                watcher.close()
        running = self._tasks - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _subscriptions(self, event_type: str, keys: list[str]) -> Iterator[Subscription]:
        for key in ("", *keys):
            yield from self._callbacks.get((event_type, key), ())

    def _deliver(self, event: Event, keys: list[str], subscriptions: Any, watchers: Any) -> None:
        for watcher in watchers:
            watcher.offer(event)
        # A channel's lane before a bridge's: "entered the bridge" belongs between the channel's other events.
        own = next((key for key in keys if key.startswith("channel:")), keys[0] if keys else "")
        for subscription in subscriptions:
            self._enqueue(subscription.key or own, subscription, event)

    def _enqueue(self, key: str, subscription: Subscription, event: Event) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Backlog(f"the callbacks for {key or 'the application'}")
            task = asyncio.create_task(self._work(key, lane), name=f"ari callbacks {key}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        lane.put((subscription, event), noisy=event.type in NOISY)

    async def _work(self, key: str, lane: Backlog[tuple[Subscription, Event]]) -> None:
        try:
            while lane:
                subscription, event = lane.take()
                if not subscription.closed:
                    await _call(subscription.callback, event)
        finally:
            del self._lanes[key]


async def _call(callback: Callback, event: Event) -> None:
    """Run one callback; whatever it raises is logged with its event and harms nobody else."""
    task = asyncio.current_task()
    try:
        result = callback(event)
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError:
        # Cancelled ourselves: obey. Something that the callback awaited was cancelled: its affair.
        if task is None or task.cancelling():
            raise
        logger.warning("a callback for %s gave up: what it waited for was cancelled", event.type)
    except Exception:
        logger.exception("a callback failed on %s", event.model_dump_json(exclude_none=True)[:500])
