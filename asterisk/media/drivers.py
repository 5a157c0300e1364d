"""The media drivers of one Asterisk: which to try for a leg, in which order, and which rests because it failed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from asterisk.media.choose import Driver

logger = logging.getLogger(__name__)

FAILURES = 3  # in a row after which a driver rests
REST_S = 60.0
TRIAL_S = 5.0  # after its rest one leg tries it; how long the others wait for how that one fares
LASTING_S = 10.0  # a leg that was lost sooner than this says something about its driver


class Drivers:
    """The drivers that may be used, best first.

    A driver that brings no leg up where another does, or whose legs are lost soon after, rests after `FAILURES` such
    legs in a row: the others are tried first, for `REST_S` seconds. `clock`: seconds.
    """

    def __init__(self, names: Sequence[Driver], clock: Callable[[], float] = time.monotonic) -> None:
        if not names:
            raise ValueError("there must be a media driver")
        self.names = tuple(names)
        self.failures: Counter[Driver] = Counter()
        """How often each brought no leg up, since the start."""
        self.losses: Counter[Driver] = Counter()
        """How often a leg of each was lost in mid-call, since the start."""
        self._clock = clock
        self._unopened: Counter[Driver] = Counter()  # in a row
        self._short_lived: Counter[Driver] = Counter()  # in a row
        self._rests: dict[Driver, float] = {}  # until when

    @property
    def best(self) -> Driver:
        """The one that is used unless it fails."""
        return self.names[0]

    def order(self, avoid: Driver | None = None) -> list[Driver]:
        """What to try for a leg, one after the other; the first comes twice. `avoid`: it has just failed this call."""
        now = self._clock()
        ranked = sorted(self.names, key=lambda name: (self._is_resting(name, now), name == avoid))
        first = ranked[0]
        if first in self._rests:
            self._rests[first] = now + TRIAL_S
        return [first, *ranked]

    def opened(self, driver: Driver, instead_of: Iterable[Driver] = ()) -> None:
        """It brought a leg up, where others did not: so Asterisk is there, and the fault is theirs."""
        for other in set(instead_of) - {driver}:
            self._unopened[other] += 1
            self._weary(other, self._unopened[other], "could not be opened")
        self._unopened[driver] = 0
        self._wake(driver)

    def failed(self, driver: Driver) -> None:
        """An attempt with it brought no leg up; whether that speaks against it `opened` tells."""
        self.failures[driver] += 1

    def lost(self, driver: Driver, lived: float) -> None:
        """A leg of it, `lived` seconds old, broke off or fell silent in mid-call, and another took its place."""
        self.losses[driver] += 1
        if lived < LASTING_S:
            self._short_lived[driver] += 1
            self._weary(driver, self._short_lived[driver], "were lost at once")
        else:
            self.carried(driver)

    def carried(self, driver: Driver) -> None:
        """A leg of it did its work."""
        self._short_lived[driver] = 0
        self._wake(driver)

    def complaints(self) -> list[str]:
        """Which drivers rest, in words for an operator; empty when all is well."""
        return [
            f"media driver {name} rests: {FAILURES} legs in a row failed; calls use {self._instead(name)}"
            for name in self.resting()
        ]

    def resting(self) -> list[Driver]:
        """Which drivers are tried last because they kept failing."""
        now = self._clock()
        return [name for name in self.names if self._is_resting(name, now)]

    def _is_resting(self, driver: Driver, now: float) -> bool:
        return self._rests.get(driver, now) > now

    def _instead(self, driver: Driver) -> str:
        others = [name for name in self.names if name != driver]
        return " or ".join(others) or "it all the same: this Asterisk has no other"

    def _weary(self, driver: Driver, in_a_row: int, what: str) -> None:
        if in_a_row < FAILURES:
            return
        if driver not in self._rests:
            others = self._instead(driver)
            logger.error("%d media legs in a row %s by %s: calls use %s for now", in_a_row, what, driver, others)
        self._rests[driver] = self._clock() + REST_S

    def _wake(self, driver: Driver) -> None:
        tired = max(self._unopened[driver], self._short_lived[driver]) >= FAILURES
        if not tired and self._rests.pop(driver, None) is not None:
            logger.warning("media driver %s works again", driver)
