"""What the media drivers of an Asterisk suffered, as metrics, and what an operator should know of it."""

from __future__ import annotations

from collections import Counter

from asterisk.media.drivers import Drivers
from engine.metrics import Metrics


class MediaWatch:
    """Tells the metrics what is new since the last look."""

    def __init__(self, drivers: Drivers, metrics: Metrics) -> None:
        self._drivers = drivers
        self._metrics = metrics
        self._failures: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()

    def look(self) -> list[str]:
        """Look now; gives which drivers rest, in words."""
        drivers, metrics = self._drivers, self._metrics
        resting = drivers.resting()
        for name in drivers.names:
            metrics.media_failures.labels(name).inc(drivers.failures[name] - self._failures[name])
            metrics.media_replaced.labels(name).inc(drivers.losses[name] - self._losses[name])
            metrics.media_resting.labels(name).set(name in resting)
        self._failures, self._losses = Counter(drivers.failures), Counter(drivers.losses)
        return drivers.complaints()
