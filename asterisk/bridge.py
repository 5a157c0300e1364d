"""A bridge around one party: the engine's audio while it talks to that party, and another party after a hand-off.

The bridge is made when it is first needed and stays until the call ends, so that audio changes hands without a pause.
"""

from __future__ import annotations

import asyncio
import logging

from asterisk import ari
from asterisk.external_media import ExternalMedia
from asterisk.facts import LineError
from asterisk.media.leg import MediaLeg
from asterisk.party import Party
from asterisk.switch import Switch

logger = logging.getLogger(__name__)

MEDIA_WITHIN = 4.0  # seconds for a media leg to be heard
# Two in a bridge are connected directly. `proxy_media` keeps their audio here, so that it can change hands;
# `dtmf_events` keeps keys visible to us instead of passing them on unseen.
KIND = "mixing,dtmf_events,proxy_media"


class CallBridge:
    """The bridge of one party. Not safe for concurrent calls but of `close`: its owner serialises."""

    def __init__(self, switch: Switch, audio: ExternalMedia, party: Party) -> None:
        self.id = switch.new_id()
        self.party = party
        self._switch = switch
        self._audio = audio
        self._making: asyncio.Task[ari.Bridge] | None = None
        self._is_member = False  # the party is in it
        self._media: tuple[MediaLeg, Party] | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def media(self) -> MediaLeg | None:
        """The media leg, while it lives."""
        if self._media is None or self._media[0].is_closed or self._media[1].ended.done():
            return None
        return self._media[0]

    async def open_media(self) -> MediaLeg:
        """Audio between the party and the engine: the leg that lives, or a new one. Raises `LineError`."""
        if (living := self.media) is not None:
            return living
        await self.drop_media()
        channel = self._switch.follow()
        try:
            with self._switch.speaking_of("audio could not be connected", self.party):
                async with asyncio.timeout(MEDIA_WITHIN):
                    return await self._attach(channel)
        except TimeoutError:
            await self.drop_media(channel)
            raise LineError(f"audio could not be connected within {MEDIA_WITHIN:g} s") from None
        except BaseException:
            await self.drop_media(channel)
            raise

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

    async def drop_media(self, channel: Party | None = None) -> None:
        """Close the media leg (or a `channel` that was to become one) and wait until its channel is gone."""
        media, self._media = self._media, None
        leg = None
        if media is not None:
            leg, channel = media
        if channel is not None:
            ending = self._switch.start(self._end(leg, channel), f"end of media {channel.id}")
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            await asyncio.shield(ending)

    async def close(self) -> None:
        """Delete everything: media leg, bridge. The party stays as it is. Idempotent."""
        await self.drop_media()
        if self._endings:  # of media legs whose dropping was cancelled
            await asyncio.wait(self._endings)
        if self._making is not None:
            await self._switch.finish(self._destroy(self._making), f"end of bridge {self.id}")
            self._making = None

    async def _attach(self, channel: Party) -> MediaLeg:
        making = self._make()
        leg = await self._audio.open(channel)
        self._media = leg, channel
        await asyncio.shield(making)
        # Asterisk takes a channel into a bridge only after its StasisStart.
        entered = asyncio.ensure_future(channel.entered.wait())
        try:
            await asyncio.wait((entered, channel.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
        if channel.ended.done():
            raise LineError(f"audio could not be connected: the media channel ended ({channel.ended.result().text})")
        await self._add(channel)
        return leg

    def _make(self) -> asyncio.Task[ari.Bridge]:
        if self._making is None or (self._making.done() and self._making.exception() is not None):
            self._switch.bridges.add(self.id)
            bridges = self._switch.client.bridges
            request = bridges.create_with_id(bridge_id=self.id, type=KIND, name=self._switch.client.app)
            self._making = self._switch.start(request, f"bridge {self.id}")
        return self._making

    async def _add(self, other: Party) -> None:
        members = [other.id] if self._is_member else [self.party.id, other.id]
        await self._switch.client.bridges.add_channel(bridge_id=self.id, channel=members)
        self._is_member = True

    async def _end(self, leg: MediaLeg | None, channel: Party) -> None:
        if leg is not None:
            await leg.close()
        await self._switch.hang_up(channel)
        self._switch.forget(channel)

    async def _destroy(self, making: asyncio.Task[ari.Bridge]) -> None:
        await asyncio.wait([making])
        try:
            await self._switch.client.bridges.destroy(bridge_id=self.id)
        except ari.NotFound:
            pass
        except ari.AriError as error:
            logger.warning("bridge %s could not be deleted: %s", self.id, error)
        finally:
            self._switch.bridges.discard(self.id)
