"""An ear at a channel: one direction of its audio, for who listens to a call that does not pass the engine.

A snoop channel copies the audio; a bridge of its own carries it to a media leg. The call's own channels and bridge are
not touched (https://docs.asterisk.org/, Channels REST API: snoopChannel).
"""

from __future__ import annotations

import asyncio
from typing import Literal

from asterisk.bridge import CallBridge
from asterisk.external_media import ExternalMedia
from asterisk.facts import LineError
from asterisk.media.leg import MediaLeg
from asterisk.party import Party
from asterisk.switch import Switch

SNOOP_WITHIN = 4.0  # seconds for the snoop channel to be there

Direction = Literal["in", "out"]
"""``in``: what its party says; ``out``: what its party hears."""


class Ear:
    """Made for one channel and one direction. `close` it, whatever became of `open`."""

    def __init__(self, switch: Switch, audio: ExternalMedia, spied: Party, direction: Direction) -> None:
        self._switch = switch
        self._spied = spied
        self._direction = direction
        self._snoop = switch.follow()
        self._bridge = CallBridge(switch, audio, self._snoop)

    async def open(self) -> MediaLeg:
        """The audio. Raises `LineError`, `LineGone`."""
        client = self._switch.client
        request = client.channels.snoop_channel_with_id(
            channel_id=self._spied.id, snoop_id=self._snoop.id, spy=self._direction, app=client.app
        )
        try:
            with self._switch.speaking_of("the call cannot be overheard", self._spied):
                async with asyncio.timeout(SNOOP_WITHIN):
                    await self._switch.make(self._snoop, request)
                    await self._snoop.entered.wait()
        except TimeoutError:
            raise LineError(f"the call cannot be overheard: no channel within {SNOOP_WITHIN:g} s") from None
        return await self._bridge.open_media()

    async def close(self) -> None:
        """Nothing of it is left. Idempotent."""
        await self._bridge.close()
        await self._switch.hang_up(self._snoop)
        self._switch.forget(self._snoop)
