"""A circuit breaker for each provider, shared by all calls: who failed again and again is not asked for a while.

Pure: the time is handed in. Closed (all is well), open (after `FAILURES` in a row: not asked), half open (it rested:
the next call tries it; if that succeeds all is well again).
"""

from __future__ import annotations

from dataclasses import dataclass, field

FAILURES = 3  # in a row
REST = 30.0  # seconds; doubles with every failed try
LONGEST = 300.0


@dataclass(slots=True)
class Breaker:
    """The state of one provider."""

    failures: int = 0
    open_until: float | None = None
    rest: float = REST

    def allows(self, now: float) -> bool:
        """Whether a call may ask the provider."""
        return self.open_until is None or now >= self.open_until

    def asked(self, now: float) -> None:
        """A call asks. If it is the one that tries after a rest, the others keep waiting for what comes of it."""
        if self.open_until is not None:
            self.open_until = now + self.rest

    def succeeded(self) -> None:
        """It answered."""
        self.failures, self.open_until, self.rest = 0, None, REST

    def failed(self, now: float) -> bool:
        """It did not; True when it is not asked any more from now on."""
        self.failures += 1
        was_open = self.open_until is not None
        if was_open:
            self.rest = min(2 * self.rest, LONGEST)
        if was_open or self.failures >= FAILURES:
            self.open_until = now + self.rest
        return self.open_until is not None and not was_open


@dataclass(slots=True)
class Breakers:
    """All of them, by the provider's name."""

    _known: dict[str, Breaker] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Breaker:
        return self._known.setdefault(name, Breaker())

    def resting(self, now: float) -> tuple[str, ...]:
        """Who is not asked at the moment."""
        return tuple(
            name for name, one in sorted(self._known.items()) if one.open_until is not None and now < one.open_until
        )
