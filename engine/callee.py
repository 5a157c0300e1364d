"""The person who answers a hand-off, before the caller hears them: asked to accept, told what the call is about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

from engine.beside import first_of
from engine.line import Leg, LineError
from engine.machine import detect
from engine.playout import Playout
from providers.voice import VoiceError

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

TAKEN = "This call was already taken."
MOVED_ON = "The caller was moved on."
HUNG_UP = "The caller has hung up."
LAST_WORDS = 4.0  # seconds for one of these
AGAIN = 3.0  # seconds until who has not pressed a key is asked again
PAUSE = 0.5  # seconds of a `w` between keys
MACHINE_WITHIN = 3.0  # seconds of listening

Answered = Literal["answered", "declined", "no_answer", "machine"]


@dataclass(frozen=True, slots=True)
class Accept:
    """The key with which a person takes the call. ``say`` is given the brief's text; ``timeout`` counts from the
    answer, in seconds."""

    say: Callable[[str], str]
    digit: str = "1"
    decline: str | None = None
    timeout: float = 15.0


class Callee:
    """One person who answered. Their audio is the engine's until they are connected or hung up."""

    def __init__(self, call: Call, leg: Leg) -> None:
        self._call = call
        self.leg = leg
        self.key = ""  # with which they took or declined the call
        self.key_at = 0.0  # when, by the loop's clock
        self._playout: Playout | None = None

    async def playout(self) -> Playout:
        """Audio to and from them. Raises `LineError`."""
        if self._playout is None:
            self._playout = Playout(await self.leg.open_media())
            self._call.beside(self._playout.run(), f"callee {self.leg.target}")
        return self._playout

    async def hears(self, text: str, *, within: float | None = None) -> None:
        """Say something to them alone; cut off after ``within`` seconds. What cannot be spoken is left out."""
        playout = await self.playout()
        try:
            audio = await self._call.services.speech.audio(text, playout.law, spent=self._call.spent)
        except VoiceError as error:
            log.warning("the person who answered is told nothing", target=self.leg.target, error=str(error))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await playout.play(audio)

    async def last_words(self, text: str) -> None:
        """Say why there is no call for them, in bounded time, whatever happens."""
        with suppress(LineError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self.hears(text)

    async def dials(self, keys: str) -> None:
        """Send keys, as for an extension; each ``w`` is a pause. Raises `LineError`."""
        for index, part in enumerate(keys.lower().split("w")):
            if index:
                await asyncio.sleep(PAUSE)
            if part:
                await self.leg.send_digits(part)

    async def is_machine(self) -> bool:
        """Whether it is a machine that answered, as far as it did not hang up. Raises `LineError`."""
        playout, heard = await self.playout(), ""

        async def listen() -> None:
            nonlocal heard
            heard = await detect(playout, timeout=MACHINE_WITHIN)

        await first_of(listen(), _gone(self.leg))
        return heard == "machine"

    async def accepts(self, accept: Accept, brief: str) -> Answered:
        """Ask until they press the key, decline, hang up or wait too long. Raises `LineError`: no audio."""
        question, pressed = accept.say(brief), ""
        await self.playout()

        async def ask() -> None:
            while True:
                await self.hears(question)
                await asyncio.sleep(AGAIN)

        async def key() -> None:
            nonlocal pressed
            while pressed not in (accept.digit, accept.decline):
                pressed = await self.leg.digit()
            self.key, self.key_at = pressed, asyncio.get_running_loop().time()

        try:
            async with asyncio.timeout(accept.timeout):
                await first_of(key(), ask(), _gone(self.leg))
        except (TimeoutError, LineError):  # they hung up
            return "declined" if self.leg.ended.done() else "no_answer"
        return "answered" if pressed == accept.digit else "declined"


async def _gone(leg: Leg) -> None:
    await asyncio.shield(leg.ended)
