"""How many wrong tokens an address may try: a bounded memory of failures."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

WITHIN: Final = 60.0  # seconds
FROM_ONE: Final = 5
FROM_ALL: Final = 100
ADDRESSES: Final = 4096  # that are remembered


class Patience:
    """Failures of the last minute, by address. Times are of any monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=FROM_ALL)

    def wait(self, address: str, now: float) -> float:
        """0 when the address may try, else the seconds after which it may."""
        one = self._failures.get(address) or deque()
        waits = [WITHIN - (now - one[0])] if len(one) >= FROM_ONE else []
        waits += [WITHIN - (now - self._all[0])] if len(self._all) == FROM_ALL else []
        return max(0.0, *waits) if waits else 0.0

    def failed(self, address: str, now: float) -> None:
        """Another wrong token."""
        self._failures.setdefault(address, deque(maxlen=FROM_ONE)).append(now)
        self._failures.move_to_end(address)
        self._all.append(now)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
