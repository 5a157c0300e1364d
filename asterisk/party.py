"""A party: one channel, followed from before it exists until it is gone. Events in, state out; it asks nothing."""

from __future__ import annotations

import asyncio
from collections import deque

from asterisk.ari import Channel
from asterisk.causes import NORMAL_CLEARING
from asterisk.facts import Ending, LineGone

KEYS = 64  # that wait; a caller who leans on the keypad fills no memory


class Party:
    """What is known of a channel. Made before the POST that makes the channel: its events come before the answer."""

    def __init__(self, channel_id: str) -> None:
        loop = asyncio.get_running_loop()
        self.id = channel_id
        self.making: asyncio.Task[Channel] | None = None
        """The POST that makes it, for a channel of ours."""
        self.seen_at: float | None = None
        """When Asterisk first spoke of the channel (the loop's clock, s); None while it may not exist yet."""
        self.entered = asyncio.Event()
        """It is ours to control: its StasisStart came."""
        self.left = asyncio.Event()
        """It is ours no longer: its StasisEnd came."""
        self.going_back = False
        """It was told to go on in the dialplan: leaving is no end."""
        self.back: asyncio.Future[tuple[str, ...]] | None = None
        """It was sent into the dialplan and shall come back: resolves with the arguments of its next StasisStart."""
        self.rang = False
        """The far side said that it rings, or plays something before the answer (180, 183)."""
        self.up: asyncio.Future[None] = loop.create_future()
        """Resolves when the channel is answered; cancelled when it ends without."""
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self._ending: Ending | None = None  # told by the request to hang up
        self._keys: deque[str] = deque()
        self._first_key = 0  # the number of the first of them
        self._key_came = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether it was answered (also after its end)."""
        return self.up.done() and not self.up.cancelled()

    def see(self, channel: Channel) -> None:
        """Take the channel's state as Asterisk tells it."""
        if self.seen_at is None:
            self.seen_at = asyncio.get_running_loop().time()
        if channel.state == "Ringing":
            self.rang = True
        elif channel.state == "Up" and not self.up.done():
            self.up.set_result(None)

    def press(self, key: str) -> None:
        """The party pressed a key."""
        if len(self._keys) < KEYS:
            self._keys.append(key)
            self._key_came.set()

    def going(self, ending: Ending) -> None:
        """It was asked to hang up, by either side."""
        self._ending = self._ending or ending

    def leave(self) -> None:
        """It left the application.

        A channel that came from the dialplan tells no more after this (measured: no ChannelDestroyed), so this is its
        end, unless it was given back. One that we made tells its end, and the true cause, in its ChannelDestroyed.
        """
        self.left.set()
        from_dialplan = self.making is None or (self.back is not None and self.back.done())
        if from_dialplan and not self.going_back:
            self.end(self._ending or Ending(NORMAL_CLEARING, None, "it left the application"))

    def end(self, ending: Ending) -> None:
        """The channel is gone. The first ending told is the one that counts."""
        if not self.ended.done():
            self.ended.set_result(ending)
            self.up.cancel()
            self._key_came.set()

    async def key(self) -> str:
        """The next key, earlier ones first. Raises `LineGone` when the channel is gone and no key is left."""
        await self.peek_key()
        self._first_key += 1
        return self._keys.popleft()

    async def peek_key(self, since: int = 0) -> tuple[int, str]:
        """The first unread key from number ``since`` on, and its number; it stays unread. Raises as `key`."""
        while (index := max(since - self._first_key, 0)) >= len(self._keys):
            if self.ended.done():
                raise LineGone(f"no more keys: {self.ended.result().text}")
            self._key_came.clear()
            await self._key_came.wait()
        return self._first_key + index, self._keys[index]

    def forget_keys(self) -> None:
        """Drop the keys that wait."""
        self._first_key += len(self._keys)
        self._keys.clear()
