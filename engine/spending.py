"""What a call may cost, and what the calls of a tenant may cost in a day, by this engine's own count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

import structlog

log = structlog.get_logger()

WARN_AT = Decimal("0.8")  # of what may be spent
MAX_TENANTS = 1000  # that are remembered; whoever spent least is forgotten first


def lowest(caps: Iterable[Decimal | None]) -> Decimal | None:
    """The cap that holds when several are set."""
    return min((cap for cap in caps if cap is not None), default=None)


class Spending:
    """What one call has spent. ``over`` is set when it is all that it may (``most``; None: no cap)."""

    def __init__(self, most: Decimal | None, spent: Decimal = Decimal(0)) -> None:
        self.most = most
        self.spent = spent
        self.over = asyncio.Event()
        if most is not None and spent and spent >= most:
            self.over.set()

    def add(self, amount: Decimal) -> bool:
        """Spend this; whether it is a good moment to warn, which comes once."""
        before, self.spent = self.spent, self.spent + amount
        if self.most is None:
            return False
        if self.spent >= self.most:
            self.over.set()
        return before < self.most * WARN_AT <= self.spent < self.most


class Days:
    """What each tenant has spent today (UTC), and the cap for each (``most``)."""

    def __init__(self, most: Decimal | None = None) -> None:
        self.most = most
        self._day = date.min
        self._spent: dict[str, Decimal] = {}

    def add(self, tenant: str, amount: Decimal, now: datetime) -> None:
        """A call of the tenant spent this."""
        if self.most is None:
            return
        before = self.spent(tenant, now)
        self._spent[tenant] = spent = before + amount
        if len(self._spent) > MAX_TENANTS:
            del self._spent[min(self._spent, key=self._spent.__getitem__)]
        if before < self.most * WARN_AT <= spent < self.most:
            log.warning(
                f"{WARN_AT:.0%} of what calls may cost today is spent", tenant=tenant, spent=str(spent),
                most=str(self.most),
            )  # fmt: skip

    def spent(self, tenant: str, now: datetime) -> Decimal:
        """What the tenant's calls cost so far today."""
        today = now.astimezone(UTC).date()
        if today != self._day:
            self._day, self._spent = today, {}
        return self._spent.get(tenant, Decimal(0))

    def over(self, tenant: str, now: datetime) -> bool:
        """Whether the tenant has spent all that it may today: a new call gets no AI."""
        return self.most is not None and self.spent(tenant, now) >= self.most
