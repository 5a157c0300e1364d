"""What vendors charge: tables from provider and model to the price of each kind of unit, and what usage costs by them.

Money is `decimal.Decimal` in one currency, that of the settings; amounts are kept to a thousand-millionth of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.record import Tokens

SMALLEST = Decimal("0.000000001")  # to which amounts are rounded: a token of the cheapest model is 60 of it
CURRENCY = "USD"
KINDS = (
    "input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio", "seconds_heard",
    "seconds_spoken", "seconds_session", "characters", "items",
)  # fmt: skip
"""What can be charged for."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one provider charges for a model. ``charges`` is the price of a single unit (a token, a second, a character,
    an item) by its kind.

    ``model`` may hold ``*`` for any characters. ``source`` and ``date`` (ISO) tell where and when it was read.
    """

    provider: str
    model: str
    charges: Mapping[str, Decimal] = field(default_factory=dict)
    source: str = ""
    date: str = ""

    def fits(self, provider: str, model: str) -> bool:
        """Whether it is the price of this model."""
        if provider != self.provider:
            return False
        return model == self.model or re.fullmatch(".*".join(map(re.escape, self.model.split("*"))), model) is not None


class Prices:
    """All prices: each kind of unit costs what the first table has for it, and in a table the most exact entry."""

    def __init__(self, *tables: Iterable[Price], currency: str = CURRENCY, free: bool = False) -> None:
        self.currency = currency
        self._tables = [sorted(table, key=_exactness, reverse=True) for table in tables]
        self._free = free
        self._known: dict[tuple[str, str], Mapping[str, Decimal]] = {}
        self._told: set[tuple[str, str]] = set()

    @classmethod
    def free(cls) -> Prices:
        """Everything costs nothing: for tests of flows, which use no vendor."""
        return cls(free=True)

    def charges(self, provider: str, model: str) -> Mapping[str, Decimal]:
        """The price of a single unit of each kind; a kind that is not there has no price that anybody knows."""
        key = (provider, model)
        if key not in self._known:
            found: dict[str, Decimal] = dict.fromkeys(KINDS, Decimal(0)) if self._free else {}
            for price in self.entries():
                if price.fits(provider, model):
                    found = {**price.charges, **found}
            self._known[key] = found
        return self._known[key]

    def entries(self) -> Iterator[Price]:
        """Every price, in the order in which they hold."""
        return chain.from_iterable(self._tables)

    def is_news(self, provider: str, model: str) -> bool:
        """Whether it was not told yet that this model has no price."""
        news = (provider, model) not in self._told
        self._told.add((provider, model))
        return news


def _exactness(price: Price) -> tuple[bool, int]:
    return "*" not in price.model, len(price.model)


def costs(charges: Mapping[str, Decimal], used: Tokens) -> tuple[dict[str, Decimal], list[str]]:
    """What this costs, by kind (nothing where it is free), and the kinds that were used and have no price."""
    units = {kind: number for kind, number in _units(charges, used).items() if number > 0}
    found = {
        kind: (Decimal(str(number)) * charges[kind]).quantize(SMALLEST)
        for kind, number in units.items() if charges.get(kind)
    }  # fmt: skip
    return found, [kind for kind in units if kind not in charges]


def _units(charges: Mapping[str, Decimal], used: Tokens) -> dict[str, float]:
    """How much of each kind is charged for.

    Cached tokens are input tokens, which are charged for once: as cached where there is a price for that, else like all
    others. A vendor that does not tell which of them were audio is taken to have kept text first.
    """
    cached_text = min(max(used.cached - used.cached_audio, 0), used.input_text)
    cached_audio = min(used.cached - cached_text, used.input_audio)
    cached_text *= "cached_text" in charges
    cached_audio *= "cached_audio" in charges
    return {
        "input_text": used.input_text - cached_text, "input_audio": used.input_audio - cached_audio,
        "cached_text": cached_text, "cached_audio": cached_audio,
        "output_text": used.output_text, "output_audio": used.output_audio,
        "seconds_heard": used.seconds_heard, "seconds_spoken": used.seconds_spoken,
        "seconds_session": used.seconds_session, "characters": used.characters, "items": used.items,
    }  # fmt: skip
