"""Events on their way from a voice to its owner, who may be slow; what is interrupted meanwhile is taken back."""

from __future__ import annotations

import asyncio
from collections import deque

from providers.voice import Audio, VoiceEvent, VoiceText


class Outbox:
    """In order. None behind the last event."""

    def __init__(self) -> None:
        self._events: deque[VoiceEvent | None] = deque()
        self._news = asyncio.Event()

    def put(self, event: VoiceEvent | None) -> None:
        """This comes next."""
        self._events.append(event)
        self._news.set()

    async def get(self) -> VoiceEvent | None:
        """The next event, as soon as there is one."""
        while not self._events:
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    def unheard(self) -> set[str]:
        """The utterances of which audio was not taken yet."""
        return {event.item for event in self._events if isinstance(event, Audio)}

    def take_back(self, items: set[str]) -> None:
        """Nothing more of these utterances."""
        self._events = deque(
            event for event in self._events if not isinstance(event, Audio | VoiceText) or event.item not in items
        )
