"""G.711 in front of a leg that carries linear samples, so that whoever plays and listens knows one kind of audio."""

from __future__ import annotations

import audioop
from collections.abc import AsyncGenerator

from asterisk.media.leg import Format, MediaEvent, MediaLeg


class CompandedLeg:
    """A `MediaLeg` in format ``ulaw`` on one in format ``slin``: the same marks, flushes and milliseconds."""

    format: Format = "ulaw"

    def __init__(self, linear: MediaLeg) -> None:
        self.channel_id = linear.channel_id
        self._linear = linear

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone, whoever closed it."""
        return self._linear.is_closed

    async def send(self, audio: bytes) -> None:
        """Hand over µ-law audio to play after what came before."""
        await self._linear.send(audioop.ulaw2lin(audio, 2))

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` when everything handed over so far was played."""
        await self._linear.mark(name)

    async def flush(self) -> int:
        """Throw away what was not played yet; returns how many milliseconds that were."""
        return await self._linear.flush()

    async def events(self) -> AsyncGenerator[MediaEvent, None]:
        """Caller audio in µ-law, and events, until `Closed`."""
        async for event in self._linear.events():
            yield audioop.lin2ulaw(event, 2) if type(event) is bytes else event

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        await self._linear.close()
