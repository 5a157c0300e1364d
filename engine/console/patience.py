"""How many wrong tokens an address may try, and how often that is told: bounded memories."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from engine.repeats import Repeats

WITHIN: Final = 60.0  # seconds
FROM_ONE: Final = 5
FROM_ALL: Final = 100
ADDRESSES: Final = 4096  # that are remembered
EVERYBODY: Final = "all"  # whose attempts are told together while all have to wait


class Patience:
    """Failures of the last minute, by address. Times are of any monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=FROM_ALL)
        self._refused = Repeats(WITHIN, ADDRESSES)

    def wait(self, address: str, now: float) -> float:
        """0 when the address may try, else the seconds after which it may."""
        return max(self._alone(address, now), self._together(now))

    def failed(self, address: str, now: float) -> None:
        """Another wrong token."""
        self._failures.setdefault(address, deque(maxlen=FROM_ONE)).append(now)
        self._failures.move_to_end(address)
        self._all.append(now)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def refused(self, address: str, now: float) -> int:
        """An address tried although it must wait. How often that happened since it was told last; 0 when it was just
        told: that is once a minute for an address, and once for all when all must wait."""
        return self._refused.again(address if self._alone(address, now) else EVERYBODY, now)

    def _alone(self, address: str, now: float) -> float:
        one = self._failures.get(address) or deque()
        return max(0.0, WITHIN - (now - one[0])) if len(one) >= FROM_ONE else 0.0

    def _together(self, now: float) -> float:
        return max(0.0, WITHIN - (now - self._all[0])) if len(self._all) == FROM_ALL else 0.0
