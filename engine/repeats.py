"""What happens again and again is told now and then, with how often it did: nobody floods a log."""

from __future__ import annotations

from collections import OrderedDict


class Repeats:
    """Counts by whom or what, for at most ``most`` of them; each is told once in ``within`` seconds. Times are of any
    monotonic clock."""

    def __init__(self, within: float = 60.0, most: int = 4096) -> None:
        self._within = within
        self._most = most
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when it was told, and how often it was not

    def again(self, who: str, now: float) -> int:
        """It happened: how often since it was told last, when it is to be told now, else 0."""
        told, silent = self._known.pop(who, (now - self._within, 0))
        due = now - told >= self._within
        self._known[who] = (now, 0) if due else (told, silent + 1)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return silent + 1 if due else 0
