"""The voice's ear: it hears time pass although a telephone is silent, and nobody waits for one that takes no audio.

And the line's own: whether there is a sound from the caller at all, for when a voice is not to be believed.
"""

from __future__ import annotations

import asyncio
import audioop
from collections.abc import Awaitable, Callable
from typing import Final

from engine.audio import BYTES_PER_MS, SILENCE, decode
from engine.playout import Playout

EVERY: Final = 0.2  # seconds between two looks at the caller's audio
LOUD: Final = 330  # of 32768, root mean square (-40 dBFS): below that nobody speaks into a telephone
DEAF_AFTER: Final = 3.0  # seconds in which a provider takes no audio or no command: it is gone


async def keep_in_time(
    playout: Playout, hear: Callable[[bytes], Awaitable[None]], deaf: Callable[[], None], looked: Callable[[], None]
) -> None:
    """Keep the voice's ear in time, until cancelled. ``hear`` gives the voice audio, ``deaf`` tells that it takes none.
    ``looked`` is called at every look, for who wants to know of `Sounds`.

    A telephone may send nothing while its user is silent (mute, hold, comfort noise); a voice that counts time by
    audio would then wait for ever for the end of a sentence, so it gets silence. And a provider that takes no audio
    blocks the ear, and with it everything that the leg reports.
    """
    silence = SILENCE[playout.law] * int(EVERY * 1000 * BYTES_PER_MS)
    heard, stuck = playout.heard, 0.0
    while True:
        await asyncio.sleep(EVERY)
        looked()
        if playout.listening:
            stuck += EVERY
            if stuck >= DEAF_AFTER:
                stuck = 0.0
                deaf()
            continue
        stuck = 0.0
        if heard == playout.heard:
            await hear(silence)
        heard = playout.heard


class Sounds:
    """Whether the caller makes a sound, as far as one frame in ten tells."""

    def __init__(self, playout: Playout) -> None:
        self._playout = playout
        self._seen = playout.heard

    def loud(self) -> bool:
        """Whether the last frame that came since the last look holds one."""
        seen, self._seen = self._seen, self._playout.heard
        if seen == self._playout.heard or not self._playout.latest:
            return False
        return audioop.rms(decode(self._playout.latest, self._playout.law), 2) > LOUD
