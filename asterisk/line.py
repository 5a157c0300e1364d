"""A line: one call that came in, and everything that can be done to it: the engine's Line protocol, by shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from asterisk import ari
from asterisk.bridge import CallBridge
from asterisk.causes import NORMAL_CLEARING
from asterisk.detector import Verdict, detect
from asterisk.ear import Ear
from asterisk.external_media import ExternalMedia
from asterisk.facts import DialOptions, Ending, Facts, LineError, LineGone
from asterisk.janitor import LeftOver
from asterisk.leg import AsteriskLeg
from asterisk.media.leg import MediaLeg
from asterisk.party import Party
from asterisk.switch import GONE_WITHIN, Switch
from asterisk.targets import Targets, invite_variables

logger = logging.getLogger(__name__)


T = TypeVar("T")


class Connectable(Protocol):
    """A leg, as `AsteriskLine.connect` wants it."""

    @property
    def channel(self) -> str:
        """Its channel's id."""


class AsteriskLine:
    """One phone call. The caller may hang up at any moment: then what is under way raises `LineGone`."""

    def __init__(
        self, switch: Switch, audio: ExternalMedia, targets: Targets, party: Party, facts: Facts,
        left_over: LeftOver | None = None,
    ) -> None:  # fmt: skip
        self._switch = switch
        self._audio = audio
        self._targets = targets
        self._party = party
        self._facts = facts
        self._bridge = CallBridge(switch, audio, party, "" if left_over is None else left_over.bridge)
        self._changing = asyncio.Lock()  # one change of the bridge at a time
        self._legs: dict[str, AsteriskLeg] = {}
        self.peer: AsteriskLeg | None = None
        """With whom the caller talks since an earlier engine connected them."""
        if left_over is not None and (other := left_over.peer) is not None:
            self.peer = self._legs[other.id] = AsteriskLeg(switch, audio, other.name, other)
        self._given_back = False
        self._over = asyncio.Event()  # nothing new may be begun: the caller went, or the line is being closed
        self._closing: asyncio.Task[None] | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Resolves when everything is released."""
        party.ended.add_done_callback(lambda _: self._over.set())

    @property
    def facts(self) -> Facts:
        """What was known at its start."""
        return self._facts

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Resolves when the caller's side is gone, whoever hung up."""
        return self._party.ended

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered."""
        return self._party.is_up

    def recall(self, facts: Facts) -> None:
        """What is known of the call from before: an earlier engine had it."""
        self._facts = facts

    def let_be(self) -> None:
        """Let go of a caller and their peer, whose call nobody knows: they talk on, and nothing is released."""
        self._over.set()
        self._bridge.let_be()
        for leg in self._legs.values():
            self._switch.forget(leg.party)
        self._switch.forget(self._party)
        if not self.closed.done():
            self.closed.set_result(None)

    async def ring(self) -> None:
        """Tell the caller that it rings (180). Does nothing after the answer. Raises `LineGone`."""
        if not self.is_answered:
            await self._ask("ringing", self._switch.client.channels.ring(channel_id=self._party.id))

    async def progress(self) -> None:
        """Let the caller hear us before the answer (183 with SDP). Does nothing after the answer. Raises `LineGone`."""
        if not self.is_answered:
            await self._ask("early media", self._switch.client.channels.progress(channel_id=self._party.id))

    async def answer(self) -> None:
        """Answer (200). Idempotent. Raises `LineGone`."""
        if not self.is_answered:
            await self._ask("answering", self._switch.client.channels.answer(channel_id=self._party.id))
            if not self._party.up.done():
                self._party.up.set_result(None)

    async def hangup(self, cause: int = NORMAL_CLEARING) -> None:
        """Hang up (or refuse, before the answer) with a Q.850 cause. Idempotent; a call that was given back stays."""
        if not self._given_back:
            await self._switch.finish(self._switch.hang_up(self._party, cause), f"hang-up of {self._party.id}")

    async def give_back(self) -> bool:
        """Return the call to the dialplan behind `Stasis`. False when the call has ended: nothing to return."""
        if self._given_back or self._over.is_set():
            return self._given_back
        return await self._switch.finish(self._return(), f"return of {self._party.id}")

    async def digit(self) -> str:
        """The caller's next key; keys pressed earlier wait in order. Raises `LineGone`."""
        return await self._party.key()

    async def peek_digit(self, since: int = 0) -> tuple[int, str]:
        """The first unread key from number ``since`` on, when there is one, and its number; it stays unread.

        Keys are numbered from 0 as they come, whoever reads or forgets others meanwhile. Raises `LineGone`.
        """
        return await self._party.peek_key(since)

    def drop_digits(self) -> None:
        """Forget keys pressed so far."""
        self._party.forget_keys()

    async def send_digits(self, digits: str) -> None:
        """Send keys (0-9, *, #, A-D; 64 at most) to the caller. Raises `LineError`, `LineGone`."""
        await self._switch.send_digits(self._party, digits)

    async def detect_machine(self, *, timeout: float, max_words: int) -> Verdict:
        """What Asterisk's AMD says of who speaks at the caller's side. Raises `LineError`, `LineGone`."""
        return await self._while_there(detect(self._switch, self._party, timeout=timeout, max_words=max_words))

    async def open_media(self) -> MediaLeg:
        """Audio between the caller and the engine; the same leg while it lives. Raises `LineError`, `LineGone`."""
        async with self._changing:
            return await self._while_there(self._bridge.open_media())

    async def dial(self, target: str, options: DialOptions) -> AsteriskLeg:
        """Create a leg and start dialling. Raises `LineError`, `LineGone`; then nothing is left of the leg."""
        endpoint = self._targets.endpoint(target)
        variables = invite_variables(options, self._facts.caller)
        self._refuse_when_over()
        leg = AsteriskLeg(self._switch, self._audio, target)
        self._legs[leg.channel] = leg
        await self._while_there(leg.start(endpoint, self._party, variables, options.timeout))
        return leg

    async def connect(self, leg: Connectable) -> None:
        """Let the caller and the leg hear each other, in place of the engine; answers the call if nobody did.

        Raises `LineError` when the leg is gone, `LineGone` when the caller is.
        """
        known = self._legs.get(leg.channel)
        if known is None:
            raise LineError(f"channel {leg.channel} is no leg of this call")
        await self.answer()
        async with self._changing:
            await self._while_there(self._bridge.connect(known.party))
        await known.stay()

    @asynccontextmanager
    async def overhear(self) -> AsyncIterator[tuple[MediaLeg, MediaLeg]]:
        """What the caller says, and what the caller hears, whoever talks. Raises `LineError`, `LineGone`."""
        self._refuse_when_over()
        ears = Ear(self._switch, self._audio, self._party, "in"), Ear(self._switch, self._audio, self._party, "out")
        try:
            caller, other = await self._while_there(_both(*(ear.open() for ear in ears)))
            yield caller, other
        finally:
            await self._switch.finish(_close(*ears), f"end of listening to {self._party.id}")

    async def close(self) -> None:
        """Release everything: legs, media, bridge, and the call itself unless it was given back. Idempotent."""
        if self.closed.done():
            return
        if self._closing is None:
            self._closing = self._switch.start(self._release(), f"end of line {self._facts.id}")
        await asyncio.shield(self._closing)

    async def _ask(self, what: str, request: Coroutine[Any, Any, None]) -> None:
        with self._switch.speaking_of(what, self._party):
            await request

    async def _return(self) -> bool:
        self._party.going_back = True
        try:
            await self._switch.client.channels.continue_in_dialplan(channel_id=self._party.id)
        except ari.AriError as error:
            self._party.going_back = False
            if self._party.left.is_set():
                self._party.leave()
            logger.warning("call %s could not be given back: %s", self._facts.id, error)
            return False
        self._given_back = True
        self._over.set()
        try:
            async with asyncio.timeout(GONE_WITHIN):
                await self._party.left.wait()
        except TimeoutError:
            pass  # Asterisk took the request; it will leave
        return True

    async def _release(self) -> None:
        self._over.set()
        try:
            async with self._changing:  # what was being changed is cancelled by now and has undone itself
                await self._bridge.drop_media()
                await asyncio.gather(*(leg.hangup() for leg in self._legs.values()))
                await self._bridge.close()
            if not self._given_back:
                await self._switch.hang_up(self._party)
        finally:
            self._switch.forget(self._party)
            words = "given back to the dialplan" if self._given_back else "released"
            self._party.end(Ending(NORMAL_CLEARING, None, words))
            self.closed.set_result(None)

    def _refuse_when_over(self) -> None:
        if self._over.is_set():
            raise LineGone("the call has ended" if self._party.ended.done() else "the line is closed")

    async def _while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something of several steps, but no longer than the caller stays. Raises `LineGone`."""
        doing, over = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((doing, over), return_when=asyncio.FIRST_COMPLETED)
            self._refuse_when_over()
            return doing.result()
        finally:
            over.cancel()
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)


async def _close(*ears: Ear) -> None:
    await asyncio.gather(*(ear.close() for ear in ears))


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, T]) -> tuple[T, T]:
    """Do both at the same time; when one fails the other is cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(first), group.create_task(second)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return tasks[0].result(), tasks[1].result()
