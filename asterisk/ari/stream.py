"""Events as an async iterator: `async with client.events(channel_id=...) as stream: async for event in stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Self

from asterisk.ari.dispatch import NOISY, Backlog, Dispatcher
from asterisk.ari.models import Event


class EventStream:
    """The events of some channels and bridges, of some types, in the order in which Asterisk sent them.

    Without ids it gives the events of all; without types, all types. Whoever makes a channel follows its id *before*
    the POST, for events come before the answer. Events that concern every call (`Reconciled`, `ApplicationReplaced`)
    come through every stream that takes their type. The queue is bounded: noisy types are dropped first, `dropped`
    counts. The iteration ends when the client closes.
    """

    def __init__(self, dispatcher: Dispatcher, keys: Iterable[str], types: Collection[str]) -> None:
        self._dispatcher = dispatcher
        self._keys = set(keys) or {""}
        self._types = frozenset(types)
        self._backlog: Backlog[Event] = Backlog(f"the stream of {', '.join(sorted(self._keys)) or 'all events'}")
        self._arrived = asyncio.Event()
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        for key in self._keys:
            self._dispatcher.watch(key, self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._backlog:
            if not self._open:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._backlog.take()

    @property
    def dropped(self) -> int:
        """How many events were lost because nobody took them in time."""
        return self._backlog.dropped

    def follow(self, *, channel_id: str | None = None, bridge_id: str | None = None) -> None:
        """Take the events of one more channel or bridge from now on."""
        for key in keys_of(channel_id, bridge_id):
            self._keys.add(key)
            self._dispatcher.watch(key, self)

    def unfollow(self, *, channel_id: str | None = None, bridge_id: str | None = None) -> None:
        """Undo `follow`; what has arrived stays in the queue."""
        for key in keys_of(channel_id, bridge_id):
            self._keys.discard(key)
            self._dispatcher.unwatch(key, self)

    def close(self) -> None:
        """End the iteration after what has arrived. Closing twice is fine."""
        self._open = False
        for key in self._keys:
            self._dispatcher.unwatch(key, self)
        self._arrived.set()

    def wants(self, event_type: str) -> bool:
        """Whether this stream takes events of this type."""
        return not self._types or event_type in self._types

    def offer(self, event: Event) -> None:
        """Take an event from the dispatcher."""
        self._backlog.put(event, noisy=event.type in NOISY)
        self._arrived.set()


def keys_of(channel_id: str | Collection[str] | None, bridge_id: str | Collection[str] | None) -> list[str]:
    """The keys of channels and bridges; one id or several."""
    named = (("channel", channel_id), ("bridge", bridge_id))
    return [f"{kind}:{each}" for kind, ids in named if ids for each in ([ids] if isinstance(ids, str) else ids)]
