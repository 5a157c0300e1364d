"""A bridge around one party: the engine's audio while it talks to that party, and another party after a hand-off.

The bridge is made when it is first needed and stays until the call ends, so that audio changes hands without a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from asterisk import ari
from asterisk.carrier import CallAudio, Carrier, Carriers
from asterisk.external_media import ExternalMedia
from asterisk.facts import LineError
from asterisk.media.choose import Driver
from asterisk.media.leg import MediaLeg
from asterisk.party import Party
from asterisk.switch import Switch

logger = logging.getLogger(__name__)

# Two in a bridge are connected directly. `proxy_media` keeps their audio here, so that it can change hands;
# `dtmf_events` keeps keys visible to us instead of passing them on unseen.
KIND = "mixing,dtmf_events,proxy_media"


class CallBridge:
    """The bridge of one party. Not safe for concurrent calls but of `close`: its owner serialises."""

    def __init__(self, switch: Switch, audio: ExternalMedia, party: Party, existing: str = "") -> None:
        """``existing``: the id of a bridge in which the party is already."""
        self.id = existing or switch.new_id()
        self.party = party
        self._switch = switch
        self._audio = audio
        self._making: asyncio.Task[ari.Bridge] | None = None
        self._is_member = bool(existing)  # the party is in it
        self._media: CallAudio | None = None
        self._carriers = Carriers(
            self._attempt, lambda old: self._end(self._hang_up(old.leg, old.channel)), audio.drivers
        )
        self._endings: set[asyncio.Task[None]] = set()
        if existing:
            switch.bridges.add(existing)
            self._making = switch.start(switch.client.bridges.get(bridge_id=existing), f"bridge {existing}")

    @property
    def media(self) -> MediaLeg | None:
        """The media leg, while it lives."""
        return self._media.leg if self._media is not None and self._media.is_alive else None

    async def open_media(self) -> MediaLeg:
        """Audio between the party and the engine: the leg that lives, or a new one. Raises `LineError`."""
        if (living := self.media) is not None:
            return living
        await self.drop_media()
        self._media = CallAudio(await self._carriers.open(), self._carriers, self.party)
        return self._media.leg

    async def connect(self, other: Party) -> None:
        """Let the party and `other` hear each other, in place of the engine. Raises `LineError`.

        The engine leaves first: with three in it the bridge would mix, and change back, which costs another 20 ms of
        silence (measured: 20 ms and no frame of the other lost, against 40 ms and two lost; both take 3 ms).
        """
        with self._switch.speaking_of("the two parties could not be connected", self.party):
            await asyncio.shield(self._make())
            if other.ended.done():
                raise LineError("the two parties could not be connected: the other one has hung up")
            await self.drop_media()
            await self._add(other)

    async def drop_media(self) -> None:
        """Close the media leg and wait until its channel is gone."""
        media, self._media = self._media, None
        if media is not None:
            await asyncio.shield(self._end(media.close()))

    async def close(self) -> None:
        """Delete everything: media leg, bridge. The party stays as it is. Idempotent."""
        await self.drop_media()
        if self._endings:  # of media legs that were given up
            await asyncio.wait(self._endings)
        if self._making is not None:
            await self._switch.finish(self._destroy(self._making), f"end of bridge {self.id}")
            self._making = None

    def let_be(self) -> None:
        """Follow it no more, and leave it as it is."""
        self._making = None
        self._switch.bridges.discard(self.id)

    async def _attempt(self, driver: Driver) -> Carrier:
        """One media channel by this driver, in the bridge. Raises `LineError`; then, or cancelled, it is hung up."""
        channel, leg = self._switch.follow(), None
        try:
            with self._switch.speaking_of("audio could not be connected", self.party):
                making = self._make()
                leg = await self._audio.open(channel, driver)
                await asyncio.shield(making)
                await self._enter(channel)
                await self._add(channel)
            return Carrier(leg, channel, driver, asyncio.get_running_loop().time())
        except BaseException:
            self._end(self._hang_up(leg, channel))
            raise

    async def _enter(self, channel: Party) -> None:
        """Asterisk takes a channel into a bridge only after its StasisStart."""
        entered = asyncio.ensure_future(channel.entered.wait())
        try:
            await asyncio.wait((entered, channel.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
        if channel.ended.done():
            raise LineError(f"audio could not be connected: the media channel ended ({channel.ended.result().text})")

    def _make(self) -> asyncio.Task[ari.Bridge]:
        if self._making is None or (self._making.done() and self._making.exception() is not None):
            self._switch.bridges.add(self.id)
            self._making = self._switch.start(self._made(), f"bridge {self.id}")
        return self._making

    async def _made(self) -> ari.Bridge:
        bridges = self._switch.client.bridges
        try:
            made = await bridges.create_with_id(bridge_id=self.id, type=KIND, name=self._switch.client.app)
        except ari.Conflict:  # the id is ours alone: an earlier request, whose answer never came, took effect after all
            return await bridges.get(bridge_id=self.id)
        self._is_member = False  # the bridge in which the party was already could not be found, and is no more
        return made

    async def _add(self, other: Party) -> None:
        members = [other.id] if self._is_member else [self.party.id, other.id]
        await self._switch.client.bridges.add_channel(bridge_id=self.id, channel=members)
        self._is_member = True

    def _end(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """End media, whoever is cancelled meanwhile; nobody who talks has to wait for it."""
        ending = self._switch.start(work, f"end of media of {self.party.id}")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending

    async def _hang_up(self, leg: MediaLeg | None, channel: Party) -> None:
        if leg is not None:
            await leg.close()
        await self._switch.hang_up(channel)
        self._switch.forget(channel)

    async def _destroy(self, making: asyncio.Task[ari.Bridge]) -> None:
        await asyncio.wait([making])
        try:
            await self._switch.client.bridges.destroy(bridge_id=self.id)
        except ari.NotFound:
            if making.exception() is not None:
                self._switch.doubt.set()  # it may be made yet
        except ari.AriError as error:
            logger.warning("bridge %s could not be deleted: %s", self.id, error)
            self._switch.doubt.set()
        finally:
            self._switch.bridges.discard(self.id)
