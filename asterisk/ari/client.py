"""The ARI client: `client.channels.originate(...)`, `channel.answer()`, `client.on_event("StasisStart", callback)`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Self, TypeVar, overload

from asterisk.ari.dispatch import NOISY, Callback, Dispatcher, Subscription, objects_of
from asterisk.ari.errors import AriError
from asterisk.ari.link import Link, State, no_answer
from asterisk.ari.models import Bridge, Channel, DeviceState, Endpoint, Event, LiveRecording, Playback
from asterisk.ari.record import Live
from asterisk.ari.resources import Events, Resources
from asterisk.ari.rest import Rest
from asterisk.ari.stream import EventStream, keys_of

logger = logging.getLogger(__name__)

EventT = TypeVar("EventT", bound=Event)
LiveT = TypeVar("LiveT", bound=Live)
Result = Awaitable[object] | object


class ClientEvents(Events):
    """The resource `events`; called, it gives a stream of events."""

    def __init__(self, rest: Rest, client: Client, dispatcher: Dispatcher) -> None:
        super().__init__(rest, client)
        self._dispatcher = dispatcher

    def __call__(
        self,
        *,
        channel_id: str | Collection[str] | None = None,
        bridge_id: str | Collection[str] | None = None,
        types: Collection[str] = (),
    ) -> EventStream:
        """`async with client.events(channel_id=...) as stream`: see `EventStream`."""
        return EventStream(self._dispatcher, keys_of(channel_id, bridge_id), types)


class Client(Resources):
    """One Asterisk, one application: requests by resources (`channels`, `bridges`, …), events by callback or stream.

    `async with Client(url, user, password, app) as client`. Without `app` there are requests only and no event socket.
    `url`: `http://host:8088`. `timeout`: s for each request. `start_timeout`: how long (s) entering waits for the event
    socket before it raises what stood in the way (a wrong password at once); None returns at once and goes on trying,
    whatever the answers. `attempts`: how often to try in a row to connect, None for ever. `quiet`: event types that
    Asterisk shall not send.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        app: str | None = None,
        *,
        timeout: float = 5.0,
        start_timeout: float | None = 5.0,
        attempts: int | None = None,
        quiet: Collection[str] = NOISY,
        subscribe_all: bool = False,
    ) -> None:
        self._rest = Rest(url, user, password, timeout=timeout)
        super().__init__(self._rest, self)
        self._dispatcher = Dispatcher(self)
        self.events: ClientEvents = ClientEvents(self._rest, self, self._dispatcher)
        self.app = app or ""
        self.connected = asyncio.Event()
        """Set while events arrive."""
        self.state = State.CONNECTING
        self.failure: AriError | None = None
        """Why the state is LOST."""
        self._quiet = frozenset(quiet)
        self._start_timeout = start_timeout
        self._listeners: list[Callable[[State], object]] = []
        self._task: asyncio.Task[None] | None = None
        self._link = Link(
            self,
            self.app,
            subscribe_all=subscribe_all,
            quiet=quiet,
            attempts=attempts,
            patient=start_timeout is None,
            on_message=self._dispatcher.feed,
            on_reconciled=self._dispatcher.broadcast,
            on_state=self._enter,
        )

    async def __aenter__(self) -> Self:
        await self._rest.__aenter__()
        if self.app:
            self._task = asyncio.create_task(self._keep(), name=f"ari {self.app}")
            if self._start_timeout is not None:
                try:
                    await self._started(self._start_timeout)
                except BaseException:
                    await self.close()
                    raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the sockets, end the streams, stop the callbacks. Channels and bridges in Asterisk stay as they are."""
        self._enter(State.CLOSED)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._dispatcher.close()
        await self._rest.__aexit__()

    async def run(self) -> None:
        """Wait until the event socket is closed; raises why if it was lost (`Replaced`, or out of attempts)."""
        if self._task is None:
            raise RuntimeError("no event socket to wait for: give the client an application name and open it")
        await asyncio.wait([self._task])
        if self.failure is not None:
            raise self.failure

    @property
    def last_error(self) -> AriError | None:
        """What the last failed attempt to connect said, for people who ask why there are no events."""
        return self.failure or self._link.last_error

    def on_state(self, callback: Callable[[State], object]) -> None:
        """Call `callback(state)` at each change of the event socket's state. It must not wait."""
        self._listeners.append(callback)

    @overload
    def on_event(self, event: type[EventT], callback: Callable[[EventT], Result]) -> Subscription: ...
    @overload
    def on_event(self, event: str, callback: Callable[[Any], Result]) -> Subscription: ...
    def on_event(self, event: str | type[Event], callback: Callable[[Any], Result]) -> Subscription:
        """Call `callback(event)` for each event of a type, given by name or class; sync or async, `close()` ends it.

        Events about one channel are handed over one after the other. A type in `quiet` raises `ValueError`.
        """
        return self._subscribe(event, "", callback)

    def on_object_event(
        self, target: LiveT, event: str | type[EventT], callback: Callable[[LiveT, EventT], Result]
    ) -> Subscription:
        """Call `callback(target, event)` for each event of a type that names `target`."""

        def call(told: Any) -> Result:
            return callback(target, told)

        return self._subscribe(event, target.key, call)

    def on_channel_event(
        self, event: str | type[EventT], callback: Callable[[Channel, EventT], Result]
    ) -> Subscription:
        """Call `callback(channel, event)`, `channel` being the event's foremost one, for each event of a type."""
        return self._on_kind(Channel, event, callback)

    def on_bridge_event(self, event: str | type[EventT], callback: Callable[[Bridge, EventT], Result]) -> Subscription:
        """As `on_channel_event`, for bridges."""
        return self._on_kind(Bridge, event, callback)

    def on_playback_event(
        self, event: str | type[EventT], callback: Callable[[Playback, EventT], Result]
    ) -> Subscription:
        """As `on_channel_event`, for playbacks."""
        return self._on_kind(Playback, event, callback)

    def on_live_recording_event(
        self, event: str | type[EventT], callback: Callable[[LiveRecording, EventT], Result]
    ) -> Subscription:
        """As `on_channel_event`, for recordings under way."""
        return self._on_kind(LiveRecording, event, callback)

    def on_endpoint_event(
        self, event: str | type[EventT], callback: Callable[[Endpoint, EventT], Result]
    ) -> Subscription:
        """As `on_channel_event`, for endpoints."""
        return self._on_kind(Endpoint, event, callback)

    def on_device_state_event(
        self, event: str | type[EventT], callback: Callable[[DeviceState, EventT], Result]
    ) -> Subscription:
        """As `on_channel_event`, for device states."""
        return self._on_kind(DeviceState, event, callback)

    def _on_kind(
        self, kind: type[LiveT], event: str | type[EventT], callback: Callable[[LiveT, EventT], Result]
    ) -> Subscription:
        def call(told: Any) -> Result:
            found = objects_of(told, kind)
            return callback(found[0], told) if found else None

        return self._subscribe(event, "", call)

    def _subscribe(self, event: str | type[Event], key: str, callback: Callback) -> Subscription:
        name = event if isinstance(event, str) else event.__name__
        if name in self._quiet:
            raise ValueError(f"{name} is filtered out in Asterisk; open the client with a `quiet` that lacks it")
        return self._dispatcher.subscribe(name, key, callback)

    async def _started(self, seconds: float) -> None:
        assert self._task is not None
        waiting = asyncio.create_task(self.connected.wait())
        try:
            await asyncio.wait({waiting, self._task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self.connected.is_set():
            raise self.last_error or no_answer(seconds)

    async def _keep(self) -> None:
        try:
            await self._link.run()
        except AriError as error:
            self.failure = error
            logger.error("the event socket of %s is lost: %s", self.app, error)
            self._enter(State.LOST)

    def _enter(self, state: State) -> None:
        if state is self.state or self.state is State.CLOSED:
            return
        self.state = state
        if state is State.CONNECTED:
            self.connected.set()
        else:
            self.connected.clear()
        for listener in self._listeners:
            listener(state)


async def connect(url: str, user: str, password: str, app: str | None = None, *, timeout: float = 5.0) -> Client:
    """An open client, for scripts that do not want `async with`; `close()` it at the end."""
    return await Client(url, user, password, app, timeout=timeout).__aenter__()
