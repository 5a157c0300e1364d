"""A leg: somebody whom we dial, from the INVITE to the end of the conversation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from asterisk import ari
from asterisk.bridge import CallBridge
from asterisk.causes import NORMAL_CLEARING, dial_status
from asterisk.external_media import ExternalMedia
from asterisk.facts import DialResult, DialStatus, Ending, LineError, LineGone
from asterisk.media.leg import MediaLeg
from asterisk.party import Party
from asterisk.switch import Switch

SETUP_WITHIN = 5.0  # seconds for Asterisk to make the channel
BACKSTOP = 10  # seconds after our own time limit Asterisk stops the ringing by itself, should we be gone


class AsteriskLeg:
    """One dialled party. Made by `AsteriskLine.dial`; `answered` says how the dialling ended.

    ``existing``: the channel of somebody who is connected to the caller already.
    """

    def __init__(
        self, switch: Switch, audio: ExternalMedia, target: str, existing: ari.Channel | None = None
    ) -> None:  # fmt: skip
        self._switch = switch
        self._target = target
        self.party: Party = switch.follow(existing.id if existing is not None else None)
        self._bridge = CallBridge(switch, audio, self.party)
        self._audio_lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._result: asyncio.Future[DialResult] = self._loop.create_future()
        self._deadline: asyncio.TimerHandle | None = None
        self._connected = existing is not None
        self._hanging_up: asyncio.Task[None] | None = None
        self.party.up.add_done_callback(self._came_up)
        self.party.ended.add_done_callback(self._went)
        if existing is not None:
            self.party.see(existing)

    @property
    def target(self) -> str:
        """Whom it rings, as the flow wrote it."""
        return self._target

    @property
    def channel(self) -> str:
        """Asterisk's id of its channel."""
        return self.party.id

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Resolves when the leg is gone."""
        return self.party.ended

    async def answered(self) -> DialResult:
        """Wait until the target answers or will not, within its time limit. Cancelling cancels the dialling."""
        try:
            return await asyncio.shield(self._result)
        except asyncio.CancelledError:
            if not self._result.done():
                self._settle("cancelled")
                self._hang_up(NORMAL_CLEARING)
            raise

    async def digit(self) -> str:
        """The next key that this party presses. Raises `LineError` when it has hung up."""
        try:
            return await self.party.key()
        except LineGone:  # is said of the caller alone
            raise self._absent() from None

    async def send_digits(self, digits: str) -> None:
        """Send keys to this party. Raises `LineError`."""
        try:
            await self._switch.send_digits(self.party, digits)
        except LineGone:
            raise self._absent() from None

    async def open_media(self) -> MediaLeg:
        """Audio between this party and the engine, until it is connected or hung up. Raises `LineError`."""
        async with self._audio_lock:
            if self.party.ended.done() or self._hanging_up is not None:
                raise self._absent()
            if self._connected:
                raise LineError(f"{self._target} is connected to the caller: the engine cannot speak to it alone")
            try:
                return await self._bridge.open_media()
            except LineGone:
                raise self._absent() from None

    async def stay(self) -> None:
        """It is connected to the caller now: end the audio between this party and the engine."""
        async with self._audio_lock:
            self._connected = True
            await self._bridge.close()

    async def hangup(self, cause: int = NORMAL_CLEARING) -> None:
        """Hang up, or stop the ringing; returns when the channel is gone, within some seconds. Idempotent."""
        await asyncio.shield(self._hang_up(cause))

    async def start(self, endpoint: str, caller: Party, variables: Mapping[str, str], timeout: float) -> None:
        """Make the channel and send the INVITE; the ringing ends after `timeout` s. `variables`: of `invite_variables`.

        Raises `LineError`; then nothing is left of it.
        """
        shows_own = "CONNECTEDLINE(num)" in variables
        self._deadline = self._loop.call_at(self._began + timeout, self._timed_out)
        channels = self._switch.client.channels
        try:
            with self._switch.speaking_of(f"{self._target} could not be dialled", caller):
                async with asyncio.timeout(SETUP_WITHIN):
                    # The caller's own codecs are offered, so that nothing is transcoded between the two.
                    app = self._switch.client.app
                    request = channels.create(
                        endpoint=endpoint, app=app, channel_id=self.party.id, originator=caller.id, variables=variables
                    )
                    await self._switch.make(self.party, request)
                    await self._enter()  # before its StasisStart it cannot be dialled: 409 (measured)
                    caller_id = None if shows_own else caller.id
                    backstop = int(timeout) + BACKSTOP
                    with contextlib.suppress(ari.NotFound):  # it ended already: its ChannelDestroyed tells why
                        await channels.dial(channel_id=self.party.id, caller=caller_id, timeout=backstop)
        except TimeoutError:
            await self.hangup()
            raise LineError(f"{self._target} could not be dialled within {SETUP_WITHIN:g} s") from None
        except BaseException:
            await asyncio.shield(self._hang_up(NORMAL_CLEARING))
            raise

    async def _enter(self) -> None:
        entered = asyncio.ensure_future(self.party.entered.wait())
        try:
            await asyncio.wait((entered, self.party.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()

    def _absent(self) -> LineError:
        return LineError(f"{self._target} is not on the line any more")

    def _hang_up(self, cause: int) -> asyncio.Task[None]:
        if self._hanging_up is None:
            self._hanging_up = self._switch.start(self._release(cause), f"end of leg {self.party.id}")
        return self._hanging_up

    async def _release(self, cause: int) -> None:
        self._settle("cancelled")
        async with self._audio_lock:
            await self._bridge.close()
        await self._switch.hang_up(self.party, cause)
        self._switch.forget(self.party)

    def _timed_out(self) -> None:
        # Without as much as a 180 nobody was asked: the network or the far exchange is silent.
        self._settle("no_answer" if self.party.rang else "unavailable")
        self._hang_up(NORMAL_CLEARING)

    def _came_up(self, up: asyncio.Future[None]) -> None:
        if not up.cancelled():
            self._settle("answered", sip_code=200)

    def _went(self, ended: asyncio.Future[Ending]) -> None:
        ending = ended.result()
        status = dial_status(ending.sip_code, ending.cause, rang=self.party.rang)
        self._settle(status, sip_code=ending.sip_code, q850=ending.cause)

    def _settle(self, status: DialStatus, sip_code: int | None = None, q850: int | None = None) -> None:
        """The outcome is decided; the first one counts."""
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._result.done():
            ring_ms = int((self._loop.time() - self._began) * 1000)
            self._result.set_result(DialResult(status, sip_code, q850, ring_ms))
