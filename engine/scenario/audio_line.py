"""The line of a test by audio: a real call, whose every event is written into a log as the virtual line writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, Literal, Protocol

from engine.line import DialOptions, DialResult, Ending, Facts, Leg, Line, LineError, Media
from engine.scenario.audio_media import HeardMedia, Utterance
from engine.scenario.phone import Speaks
from engine.virtual.log import Log
from engine.virtual.targets import Target, Targets, refuse

MARK: Final = "X-Hookflash-Test"  # the SIP header that tells which test a call belongs to

Places = Callable[[str, Target, Log], str]
"""Puts a telephone that behaves so where the real line can dial it: (target, behaviour, log) -> target to dial."""


class LeavingCaller(Speaks, Protocol):
    """Who calls, as the line needs them."""

    def leave(self) -> None:
        """Put the phone down soon; does not wait."""


class AudioLeg:
    """Satisfies `engine.line.Leg` around a real one."""

    def __init__(self, inner: Leg, target: str, log: Log) -> None:
        self.target = target
        self.media: HeardMedia | None = None
        self.hung_up_by_us = False
        self._inner = inner
        self._log = log

    @property
    def channel(self) -> str:
        """The telephone system's own id."""
        return self._inner.channel

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Resolves when the leg is gone."""
        return self._inner.ended

    async def answered(self) -> DialResult:
        """Wait until the target answers or will not."""
        return await self._inner.answered()

    async def digit(self) -> str:
        """The next key that this party presses."""
        return await self._inner.digit()

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to this party."""
        await self._inner.send_digits(digits)
        self._log.add(self.target, "sent_digits", digits)

    async def open_media(self) -> HeardMedia:
        """Audio between this party and the engine."""
        inner = await self._inner.open_media()
        if self.media is None or self.media.closed:
            self.media = HeardMedia(inner, self.target, self._log)
        return self.media

    async def hangup(self, cause: int = 16) -> None:
        """Hang up or stop ringing."""
        self.hung_up_by_us = True
        await self._inner.hangup(cause)

    async def written_down(self) -> None:
        """Write what becomes of it into the log, until it is gone."""
        result = await self._inner.answered()
        if result.status == "answered":
            self._log.add(self.target, "answered")
        elif result.status != "cancelled":
            self._log.add(self.target, "refused", result.status)
        await asyncio.shield(self._inner.ended)
        if self.media is not None:
            self.media.end()
        if result.status in ("answered", "cancelled"):
            self._log.add(self.target, "hung_up", "engine" if self.hung_up_by_us else "target")


class AudioLine:
    """Satisfies `engine.line.Line` and `engine.scenario.phone.Phone` around a real line. Make it when the call comes.

    ``targets``: what becomes of whom the flow rings. Whoever makes it awaits `done` when the call is over.
    """

    def __init__(self, inner: Line, caller: LeavingCaller, log: Log, targets: Targets, place: Places) -> None:
        facts = inner.facts
        self.facts: Facts = replace(facts, headers={key: val for key, val in facts.headers.items() if key != MARK})
        self.caller = caller
        self.log = log
        self.connected: AudioLeg | None = None
        self.medias: list[HeardMedia] = []  # every one that was ever opened
        self._inner = inner
        self._targets = targets
        self._place = place
        self._following: list[asyncio.Task[None]] = []
        self._hung_up_by_us = False
        inner.ended.add_done_callback(lambda _: self._gone())

    @property
    def media(self) -> HeardMedia | None:
        """The open media leg, if there is one."""
        return self.medias[-1] if self.medias and not self.medias[-1].closed else None

    @property
    def utterances(self) -> list[Utterance]:
        """Everything that was said to the caller."""
        return [one for media in self.medias for one in media.utterances]

    @property
    def afresh(self) -> list[float]:
        """When the caller heard a sound that is none of those before it (the loop's clock, s)."""
        return [at for media in self.medias for at in media.afresh]

    def end(self, by: Literal["caller"]) -> None:
        """The caller puts the phone down, if the call still is. Does not wait."""
        if not self.ended.done():
            self.caller.leave()

    async def done(self) -> None:
        """Everything of the call is written down."""
        await asyncio.gather(*self._following)

    # ── engine.line.Line ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Resolves when the caller's side is gone, whoever hung up."""
        return self._inner.ended

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered."""
        return self._inner.is_answered

    async def ring(self) -> None:
        """Tell the caller that it rings."""
        await self._inner.ring()
        if not self.is_answered and not self.log.find("rings"):
            self.log.add("caller", "rings")

    async def progress(self) -> None:
        """Let the caller hear the engine before the answer."""
        await self._inner.progress()
        if not self.is_answered and not self.log.find("progress"):
            self.log.add("caller", "progress")

    async def answer(self) -> None:
        """Answer."""
        was = self.is_answered
        await self._inner.answer()
        if not was:
            self.log.add("caller", "answered")

    async def hangup(self, cause: int = 16) -> None:
        """Hang up, or refuse."""
        self._hung_up_by_us = True
        await self._inner.hangup(cause)

    async def give_back(self) -> bool:
        """Return the call to the dialplan."""
        given = await self._inner.give_back()
        if given:
            self.log.add("caller", "given_back")
        return given

    async def digit(self) -> str:
        """The caller's next key."""
        return await self._inner.digit()

    async def peek_digit(self, since: int = 0) -> tuple[int, str]:
        """The first unread key from that number on, and its number."""
        return await self._inner.peek_digit(since)

    def drop_digits(self) -> None:
        """Forget keys pressed so far."""
        self._inner.drop_digits()

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to the caller."""
        await self._inner.send_digits(digits)
        self.log.add("caller", "sent_digits", digits)

    async def detect_machine(self, *, timeout: float, max_words: int) -> Literal["human", "machine", "unknown"]:
        """What Asterisk's own detector says of who speaks."""
        return await self._inner.detect_machine(timeout=timeout, max_words=max_words)

    async def open_media(self) -> HeardMedia:
        """Audio between the caller and the engine."""
        inner = await self._inner.open_media()
        if self.media is None:
            self.medias.append(HeardMedia(inner, "caller", self.log))
        return self.medias[-1]

    async def dial(self, target: str, options: DialOptions) -> AudioLeg:
        """Ring the telephone that stands for a target. Raises `LineError`."""
        try:
            refuse(target, options, self.facts.caller)
        except LineError:
            self.log.add(target, "refused", "impossible")
            raise
        behaviour = self._targets.dialled(target)
        if behaviour is None or behaviour.status == "impossible":
            reason = "the test's table of targets does not have it" if behaviour is None else "the table says so"
            self.log.add(target, "refused", "impossible")
            raise LineError(f"{target} cannot be dialled: {reason}")
        self.log.add(target, "dialled")
        leg = AudioLeg(await self._inner.dial(self._place(target, behaviour, self.log), options), target, self.log)
        self._following.append(asyncio.create_task(leg.written_down(), name=f"log of {target}"))
        leg.ended.add_done_callback(lambda _: self._left(leg))
        return leg

    async def connect(self, leg: Leg) -> None:
        """Let caller and leg hear each other, in place of the engine's audio."""
        if not isinstance(leg, AudioLeg):
            raise LineError(f"{leg.target} is no leg of this call")
        await self._inner.connect(leg)
        for media in (self.media, leg.media):
            if media is not None:
                media.end()
        self.connected = leg
        self.log.add(leg.target, "connected")

    def overhear(self) -> AbstractAsyncContextManager[tuple[Media, Media]]:
        """What the caller and the other side say to each other."""
        return self._inner.overhear()

    async def close(self) -> None:
        """Release everything."""
        self._hung_up_by_us = True
        await self._inner.close()

    def _gone(self) -> None:
        if self.media is not None:
            self.media.end()
        self.connected = None
        self.log.add("caller", "hung_up", "engine" if self._hung_up_by_us else "caller")

    def _left(self, leg: AudioLeg) -> None:
        if self.connected is leg:
            self.connected = None
