"""What carries the engine's audio: one external media channel and the leg on it. How one is opened, whatever fails.

The first driver is tried; where it is not up in time it is tried afresh beside that, then the next driver, and so on.
The first that is up carries the call; the others are hung up in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from asterisk.facts import LineError, LineGone
from asterisk.media.choose import Driver
from asterisk.media.drivers import LASTING_S, Drivers
from asterisk.media.leg import Closed, MediaLeg
from asterisk.media.steady import SteadyLeg
from asterisk.party import Party

logger = logging.getLogger(__name__)

MEDIA_WITHIN = 4.0  # seconds for audio to be heard, whatever has to be tried
FIRST_WITHIN = 1.5  # seconds that the first attempt is given (measured: 0.1 at ease, 1.4 for 200 at once)
NEXT_WITHIN = 0.8  # the same for the others


@dataclass(frozen=True, slots=True)
class Carrier:
    """One external media channel that is up and in its bridge."""

    leg: MediaLeg
    channel: Party
    driver: Driver
    since: float  # the loop's clock


Attempt = Callable[[Driver], Awaitable[Carrier]]
"""Opens a carrier by one driver. Raises `LineError`; when it is cancelled it leaves nothing behind."""


class Carriers:
    """Opens and ends the carriers of one party."""

    def __init__(self, attempt: Attempt, end: Callable[[Carrier], asyncio.Task[None]], drivers: Drivers) -> None:
        self.attempt = attempt
        self.end = end  # in the background
        self.drivers = drivers

    async def open(self, avoid: Driver | None = None) -> Carrier:
        """A carrier by the driver that is up first. `avoid`: the driver that has just failed this call.

        Raises `LineError` when there is none within `MEDIA_WITHIN`, `LineGone` when the call has ended.
        """
        opening, carrier = _Opening(self, iter(self.drivers.order(avoid))), None
        try:
            async with asyncio.timeout(MEDIA_WITHIN):
                carrier = await opening.run()
        except TimeoutError:
            raise opening.timed_out() from None
        finally:
            try:
                await opening.end()
            except asyncio.CancelledError:
                if carrier is not None:  # nobody will have it
                    self.end(carrier)
                raise
        return carrier


class CallAudio:
    """The engine's audio with one party: a leg, and the carrier that it is on now."""

    def __init__(self, carrier: Carrier, carriers: Carriers, party: Party) -> None:
        self.leg = SteadyLeg(carrier.leg, self._replace)
        self._carrier = carrier
        self._carriers = carriers
        self._party = party

    @property
    def is_alive(self) -> bool:
        """Whether audio passes, or will again in a moment."""
        return not self.leg.is_closed and (self.leg.is_attended or not self._carrier.channel.ended.done())

    async def close(self) -> None:
        """End it, and wait until its channel is gone."""
        await self.leg.close()
        self._carriers.drivers.carried(self._carrier.driver)
        await asyncio.shield(self._carriers.end(self._carrier))

    async def _replace(self, closed: Closed) -> MediaLeg:
        lost, now = self._carrier, asyncio.get_running_loop().time()
        if self._party.ended.done():
            raise LineGone("the call has ended")
        logger.warning("audio of %s was lost (%s, %s): opening it anew", self._party.id, lost.driver, closed.reason)
        self._carriers.end(lost)
        lived = now - closed.silent - lost.since
        self._carrier = await self._carriers.open(avoid=lost.driver if lived < LASTING_S else None)
        self._carriers.drivers.lost(lost.driver, lived)
        return self._carrier.leg


class _Opening:
    def __init__(self, carriers: Carriers, order: Iterator[Driver]) -> None:
        self._carriers = carriers
        self._order = order
        self._running: dict[asyncio.Future[Carrier], Driver] = {}
        self._failed: list[Driver] = []
        self._errors: list[LineError] = []

    async def run(self) -> Carrier:
        """The first that is up. Raises the first attempt's `LineError` when all have failed."""
        within: float | None = FIRST_WITHIN
        while True:
            if (driver := next(self._order, None)) is not None:
                self._running[asyncio.ensure_future(self._carriers.attempt(driver))] = driver
            elif not self._running:
                raise self._errors[0]
            else:
                within = None  # nothing else can be tried: the time of all is the limit
            done, _ = await asyncio.wait(self._running, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            within = NEXT_WITHIN
            for future in done:
                if (carrier := self._outcome(future)) is not None:
                    return carrier

    async def end(self) -> None:
        """Give up what still runs."""
        for future in self._running:
            future.add_done_callback(self._too_late)
            future.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _too_late(self, future: asyncio.Future[Carrier]) -> None:
        if not future.cancelled() and future.exception() is None:  # it came up at the same time
            self._carriers.end(future.result())

    def timed_out(self) -> LineError:
        """None is up."""
        for driver in self._running.values():
            self._carriers.drivers.failed(driver)
        told = [str(error) for error in self._errors] + [f"{driver}: no answer" for driver in self._running.values()]
        return LineError(f"audio could not be connected within {MEDIA_WITHIN:g} s ({'; '.join(told)})")

    def _outcome(self, future: asyncio.Future[Carrier]) -> Carrier | None:
        driver = self._running.pop(future)
        try:
            carrier = future.result()
        except LineGone:
            raise
        except LineError as error:
            self._errors.append(error)
            self._fail(driver)
            return None
        for late in self._running.values():
            self._fail(late)
        self._carriers.drivers.opened(driver, self._failed)
        return carrier

    def _fail(self, driver: Driver) -> None:
        self._carriers.drivers.failed(driver)
        self._failed.append(driver)
