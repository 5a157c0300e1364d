"""The line's own ear: whether there is a sound from the caller at all, for when a voice is not to be believed."""

from __future__ import annotations

import asyncio
import audioop
from collections.abc import Callable
from typing import Final

from engine.audio import decode
from engine.playout import Playout

EVERY: Final = 0.2  # seconds between two looks at the caller's audio
LOUD: Final = 330  # of 32768, root mean square (-40 dBFS): below that nobody speaks into a telephone


async def listen(playout: Playout, heard: Callable[[bool], None]) -> None:
    """Tell five times a second, until cancelled, whether the caller makes a sound, as far as one frame in ten tells."""
    seen = playout.heard
    while True:
        await asyncio.sleep(EVERY)
        came, seen = playout.heard != seen, playout.heard
        heard(came and audioop.rms(decode(playout.latest, playout.law), 2) > LOUD)
