"""What calls on record cost together: by provider and model, by flow and by day."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from decimal import Decimal
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from sqlalchemy import ColumnElement, Select, select

from engine.record import written
from engine.records.tables import PARTS, calls
from engine.records.timeline import plain

GROUPS: Final = ("provider", "flow", "day")
_used: Final = PARTS["tokens"]


@dataclass(slots=True)
class Sum:
    """What some calls cost. ``unpriced``: how many of them used something of which nobody knew the price.

    All that one call cost is added in a row, so the calls need not be remembered.
    """

    cost: Decimal = Decimal(0)
    calls: int = 0
    unpriced: int = 0
    _last: str = ""
    _last_unpriced: str = ""

    def add(self, call: str, cost: Decimal, unpriced: bool) -> None:
        """Add what one model cost one call."""
        self.cost += cost
        self.calls += call != self._last
        self._last = call
        if unpriced:
            self.unpriced += call != self._last_unpriced
            self._last_unpriced = call

    def row(self) -> dict[str, Any]:
        """For JSON; money as text, so that nothing is rounded."""
        return {"calls": self.calls, "cost": written(self.cost), "unpriced": self.unpriced}


@dataclass(slots=True)
class Costs:
    """The sums of one currency. ``groups``: for each way to look at them, sums by name; days are ISO dates."""

    currency: str
    total: Sum = field(default_factory=Sum)
    groups: Mapping[str, dict[str, Sum]] = field(default_factory=lambda: {name: {} for name in GROUPS})

    def add(self, row: Mapping[str, Any], zone: tzinfo | None) -> None:
        """Add what one model cost one call."""
        day = f"{row['started'].astimezone(zone):%Y-%m-%d}"
        names = {"provider": f"{row['provider']} {row['model']}".strip(), "flow": row["flow"], "day": day}
        sums = [self.groups[group].setdefault(name, Sum()) for group, name in names.items()]
        for each in (self.total, *sums):
            each.add(row["call_id"], row["cost"], bool(row["unpriced"]))

    def by(self, group: str) -> list[tuple[str, Sum]]:
        """The sums of a group: days in order, others from the dearest on."""
        found = self.groups[group].items()
        return sorted(found) if group == "day" else sorted(found, key=lambda item: (-item[1].cost, item[0]))

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        groups = {name: [{name: key, **each.row()} for key, each in self.by(name)] for name in GROUPS}
        return {"currency": self.currency, **self.total.row(), **{f"by_{name}": rows for name, rows in groups.items()}}


def table(costs: Costs) -> RenderableType:
    """The sums as a person reads them."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "calls", costs.currency or "cost", "a call"):
        grid.add_column(name, overflow="fold", justify="right" if name else "left")
    for group in GROUPS:
        grid.add_row(Text(f"by {group}", style="bold"))
        for name, each in costs.by(group):
            grid.add_row(Text(f"  {plain(name)}"), *_figures(each))
    grid.add_row(Text("all", style="bold"), *_figures(costs.total))
    if not costs.total.unpriced:
        return grid
    short = f"{costs.total.unpriced} calls used something that has no price and counts as nothing:"
    named = ", ".join(plain(name) for name, each in costs.by("provider") if each.unpriced)
    return Group(grid, Text(f"{short} {named}", style="yellow"))


def _figures(each: Sum) -> tuple[str, str, str]:
    return str(each.calls), f"{each.cost:.4f}", f"{each.cost / each.calls:.4f}"


def query(filters: Iterable[ColumnElement[bool]]) -> Select[Any]:
    """What each model cost each of these calls, without those of before costs were counted."""
    columns = (calls.c.started, calls.c.flow, calls.c.currency, _used.c.call_id, _used.c.provider, _used.c.model)
    chosen = select(*columns, _used.c.cost, _used.c.unpriced).where(*filters, calls.c.currency != "")
    return chosen.join(_used, _used.c.call_id == calls.c.id).order_by(calls.c.started, calls.c.id)


async def summed(rows: AsyncIterable[Mapping[str, Any]], zone: tzinfo | None = None) -> list[Costs]:
    """The costs of each currency; days are those of ``zone`` (None: of this machine)."""
    found: dict[str, Costs] = {}
    async for row in rows:
        found.setdefault(row["currency"], Costs(row["currency"])).add(row, zone)
    return [found[currency] for currency in sorted(found)]
