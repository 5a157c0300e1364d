"""The switch: every channel that we follow, and how channels are made and ended without leaving any behind.

Two rules of ARI are kept here. Ids are ours and are followed before the POST that uses them. A POST that makes
something is never abandoned half-way: whoever asked may be cancelled, the request runs to its end, and what it made is
deleted then.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from asterisk import ari
from asterisk.causes import NETWORK_OUT_OF_ORDER, NORMAL_CLEARING, describe
from asterisk.facts import Ending, LineError, LineGone
from asterisk.media.control import MediaError
from asterisk.party import Party

logger = logging.getLogger(__name__)

_DTMF = re.compile(r"[0-9A-Da-d*#]{1,64}")
DTMF_MS = 100  # for a key, and between two (RFC 4733 asks for 40 at least; some switches want more)
GONE_WITHIN = 2.0  # seconds from a hang-up request to ChannelDestroyed

T = TypeVar("T")


class Switch:
    """The channels of one exchange. `tag` begins every id that it gives."""

    def __init__(self, client: ari.Client, tag: str) -> None:
        self.client = client
        self.tag = tag
        self.parties: dict[str, Party] = {}
        self.bridges: set[str] = set()
        self.doubt = asyncio.Event()
        """Something may be left in Asterisk: a request to end it, or one to make it, got no clear answer."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def follow(self, channel_id: str | None = None) -> Party:
        """Follow a channel: a given one, or one that is about to be made, with a fresh id."""
        party = Party(channel_id or self.new_id())
        self.parties[party.id] = party
        return party

    def forget(self, party: Party) -> None:
        """Follow it no more."""
        if self.parties.get(party.id) is party:
            del self.parties[party.id]

    def new_id(self) -> str:
        """An id for a channel or a bridge."""
        return ari.new_id(self.tag)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run work that nobody's cancellation stops; it is waited for when the exchange closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run work to its end and give its result, also when the caller of this is cancelled meanwhile."""
        return await asyncio.shield(self.start(work, name))

    async def make(self, party: Party, request: Coroutine[Any, Any, ari.Channel]) -> ari.Channel:
        """Make the channel of `party` by a POST. Cancelled or not, it runs to its end: `hang_up` waits for it."""
        party.making = self.start(request, f"making of {party.id}")
        return await asyncio.shield(party.making)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever awaits the task gets the error as well; this is for the work that outlived its caller.
            logger.debug("%s: %s", task.get_name(), error)

    async def settle(self, seconds: float) -> None:
        """Wait for the work that was started, then cancel what still runs."""
        running = self._tasks - {asyncio.current_task()}
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def hang_up(self, party: Party, cause: int = NORMAL_CLEARING) -> None:
        """End a channel and wait until it is gone, for at most 2 s. Raises nothing: what stays is the janitor's.

        A POST that got no answer may make its channel yet, after it was said that there is none.
        """
        if party.making is not None and not party.making.done():
            await asyncio.wait([party.making])
        if party.ended.done():
            return
        party.going(Ending(cause, None, describe(cause)))
        try:
            await self.client.channels.hangup(channel_id=party.id, reason_code=str(cause))
            await asyncio.wait([party.ended], timeout=GONE_WITHIN)
        except ari.NotFound:
            if party.making is not None and party.making.exception() is not None:
                self.doubt.set()
            party.end(Ending(cause, None, describe(cause)))
        except ari.AriError as error:
            logger.warning("channel %s could not be hung up: %s", party.id, error)
        if not party.ended.done():
            self.doubt.set()

    @contextmanager
    def speaking_of(self, what: str, party: Party) -> Iterator[None]:
        """ARI's and the media's errors as the line's, about something that is done for `party`."""
        try:
            yield
        except (ari.AriError, MediaError) as error:
            if party.ended.done() or (isinstance(error, ari.NotFound | ari.NotInStasis) and party.id in error.path):
                raise LineGone(f"{what}: the call has ended") from error
            raise LineError(f"{what}: {error}") from error

    async def send_digits(self, party: Party, digits: str) -> None:
        """Send keys (0-9, *, #, A-D; 64 at most) to a party. Raises `LineError`, `LineGone`."""
        if not _DTMF.fullmatch(digits):
            raise LineError(f"{digits!r} cannot be sent: 1 to 64 of 0-9, *, # and A-D can")
        with self.speaking_of("sending keys", party):
            await self.client.channels.send_dtmf(
                channel_id=party.id, dtmf=digits.upper(), duration=DTMF_MS, between=DTMF_MS
            )

    def lost(self, party: Party) -> None:
        """The channel ended and nobody told us: Asterisk restarted, or could not be heard meanwhile."""
        party.end(Ending(NETWORK_OUT_OF_ORDER, None, "it ended while Asterisk could not be heard"))
