"""The event socket: opened, kept alive, opened again; and what must be put in order each time.

Asterisk remembers nothing for us: it does not repeat the events of a gap, and after its own restart it knows neither
our filter nor our channels. So after each connection the filter is set, and after each reconnection what is alive is
read again (`Reconciled`), for the owner to drop the calls that died meanwhile.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import random
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import aiohttp
import tenacity
from pydantic import Field

from asterisk.ari.errors import AriError, BadResponse, Forbidden, NotFound, Replaced, Timeout, Unauthorized
from asterisk.ari.models import Application, Bridge, Channel, Event

if TYPE_CHECKING:
    from asterisk.ari.client import Client

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# A connection that breaks sooner than this counts as a failed attempt, so that a flapping Asterisk is not hammered.
STEADY_S = 2.0
# The upgrade is answered before the application is registered; a filter that comes in between meets 404.
REGISTRATION_ATTEMPTS = 20
REGISTRATION_PAUSE_S = 0.05
# Asterisk may serve an attempt that we gave up long ago, when it was stopped for a while: our own ghost then takes our
# name for a moment. A replacement so soon after a time-out of ours is not believed once.
GHOST_S = 30.0


class State(enum.StrEnum):
    """Where the event socket stands."""

    CONNECTING = "connecting"
    """No connection (yet, or again); attempts go on. Requests may work all the same."""
    CONNECTED = "connected"
    """Events arrive, the filter is set, after a gap what is alive has been read."""
    LOST = "lost"
    """It will not come back by itself: `Client.failure` says why (replaced, or out of attempts)."""
    CLOSED = "closed"
    """Closed by its owner."""


class Reconciled(Event):
    """After a gap in the events: what is alive now. A call whose channel is missing died during the gap.

    `asked` is the event loop's time (s) just before the lists were read; channels made later may be missing from them.
    """

    type: str = "Reconciled"
    subscribed: Application = Field(default_factory=Application)
    channels: list[Channel] = Field(default_factory=list)
    bridges: list[Bridge] = Field(default_factory=list)
    asked: float = 0.0

    def has_channel(self, channel_id: str) -> bool:
        """Whether the channel lives."""
        return any(channel.id == channel_id for channel in self.channels)


class Link:
    """Keeps the event socket of one application; hands over decoded messages and tells its state.

    `quiet`: event types that Asterisk shall not send. `attempts`: how often to try in a row before giving up, None for
    ever. `patient`: go on also when the first answer says that the password or the address is wrong. `on_message`,
    `on_reconciled` and `on_state` are called in the reader and must not wait.
    """

    def __init__(
        self,
        client: Client,
        app: str,
        *,
        subscribe_all: bool,
        quiet: Collection[str],
        attempts: int | None,
        patient: bool,
        on_message: Callable[[dict[str, Any]], None],
        on_reconciled: Callable[[Reconciled], None],
        on_state: Callable[[State], None],
    ) -> None:
        self._client = client
        self._app = app
        self._subscribe_all = subscribe_all
        self._quiet = sorted(quiet)
        self._on_message = on_message
        self._on_reconciled = on_reconciled
        self._on_state = on_state
        self._patient = patient
        self._ever_connected = False
        self._ghost_until = 0.0
        self.last_error: AriError | None = None
        self._retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(self._worth_another),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            stop=tenacity.stop_never if attempts is None else tenacity.stop_after_attempt(attempts),
            before_sleep=self._failed,
            reraise=True,
        )

    async def run(self) -> None:
        """Keep the socket until cancelled. Raises `Replaced`, or the last error when the attempts are used up."""
        while True:
            self._on_state(State.CONNECTING)
            socket: aiohttp.ClientWebSocketResponse = await self._retrying(self._connect)
            began = asyncio.get_running_loop().time()
            try:
                await self._listen(socket)
            except Replaced:
                if began > self._ghost_until:
                    raise
                self._ghost_until = 0.0
            finally:
                await socket.close()
            logger.warning("the event socket of %s broke (close code %s)", self._app, socket.close_code)
            if asyncio.get_running_loop().time() - began < STEADY_S:
                await asyncio.sleep(random.uniform(0.5, 1.5) * FIRST_PAUSE_S)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        return await self._client.events.event_websocket(app=self._app, subscribe_all=self._subscribe_all or None)

    def _worth_another(self, error: BaseException) -> bool:
        # A wrong password at the first attempt is a mistake of the settings: say so at once, unless told to be patient.
        if isinstance(error, Unauthorized | Forbidden | BadResponse):
            return self._patient or self._ever_connected
        return isinstance(error, AriError)

    def _failed(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, AriError):
            self.last_error = error
        if isinstance(error, Timeout):
            self._ghost_until = asyncio.get_running_loop().time() + GHOST_S
        pause = state.next_action.sleep if state.next_action else 0.0
        logger.log(
            logging.WARNING if state.attempt_number == 1 else logging.INFO,
            "no event socket for %s, attempt %d: %s; next in %.1f s",
            self._app,
            state.attempt_number,
            error,
            pause,
        )

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        settling = asyncio.create_task(self._settle(socket), name=f"ari settling {self._app}")
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data)
        finally:
            settling.cancel()
            await asyncio.wait([settling])
        if not settling.cancelled():
            settling.result()

    def _take(self, text: str) -> None:
        try:
            raw = json.loads(text)
        except ValueError:
            raw = None
        if not isinstance(raw, dict):
            logger.warning("not an event, left out: %.200s", text)
            return
        try:
            self._on_message(raw)
        except Exception:
            logger.exception("an event could not be handed over: %.500s", text)
        if raw.get("type") == "ApplicationReplaced" and raw.get("application", self._app) == self._app:
            message = f"another client took the application name {self._app}; its events go there. Give each its own"
            raise Replaced(0, message, "GET", "/events")

    async def _settle(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Set the filter and, after a gap, read what is alive; then we are connected. A failure closes the socket."""
        try:
            await self._set_filter()
            if self._ever_connected:
                self._on_reconciled(await self._reconcile())
        except AriError as error:
            self.last_error = error
            logger.warning("connected as %s, but %s; connecting again", self._app, error)
            await socket.close()
            return
        except Exception:
            await socket.close()
            raise
        self._ever_connected = True
        self._on_state(State.CONNECTED)

    async def _set_filter(self) -> None:
        unwanted = {"disallowed": [{"type": name} for name in self._quiet]}
        for left in reversed(range(REGISTRATION_ATTEMPTS)):
            try:
                await self._client.applications.filter(application_name=self._app, filter=unwanted)
                return
            except NotFound:
                if not left:
                    raise
                await asyncio.sleep(REGISTRATION_PAUSE_S)
            except Forbidden:
                logger.warning("the ARI user may only read, so %s gets all events, also %s", self._app, self._quiet)
                return

    async def _reconcile(self) -> Reconciled:
        asked = asyncio.get_running_loop().time()
        return Reconciled(
            application=self._app,
            subscribed=await self._client.applications.get(application_name=self._app),
            channels=await self._client.channels.list(),
            bridges=await self._client.bridges.list(),
            asked=asked,
        )


def no_answer(seconds: float) -> Timeout:
    """The error for an Asterisk that gave no event socket in time."""
    return Timeout(0, f"no event socket within {seconds:g} s", "GET", "/events")
