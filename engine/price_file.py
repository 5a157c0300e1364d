"""Reading prices from YAML: the table that is shipped (``providers/prices.yaml``) and one of the operator's own.

Everything that is wrong in a file is told at once, as ``file:line:column``, in the way of flow files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.prices import CURRENCY, KINDS, Price, Prices
from flows.problems import Problem, Where, did_you_mean, has
from flows.reader import Map, Seq, read

FILE_KEYS = ("currency", "rates", "prices", "note")
KEYS = ("provider", "model", "source", "date", "currency", "tokens", "minutes", "characters", "items", "free", "note")
TOKENS = KINDS[:6]
MINUTES = {"heard": "seconds_heard", "spoken": "seconds_spoken", "session": "seconds_session"}
CHARGES = ("tokens", "minutes", "characters", "items")
MILLION, MINUTE = Decimal(1_000_000), Decimal(60)
_CURRENCY = re.compile(r"[A-Z]{3}")  # ISO 4217


class PricesError(UserError):
    """A file of prices cannot be used; the text has every mistake in it."""


def load_prices(own: Path | None = None, currency: str = CURRENCY) -> Prices:
    """The operator's own prices, where there are any, before the shipped ones, all in one currency.

    Raises `PricesError`.
    """
    if own is None and currency == CURRENCY:
        return shipped()
    readers = [*([] if own is None else [_read(str(own), _bytes(own))]), _read_shipped()]
    rates = {name: rate for reader in reversed(readers) for name, rate in reader.rates.items()}
    tables = [list(reader.prices(currency, rates)) for reader in readers]
    if problems := [problem for reader in readers for problem in reader.problems]:
        raise PricesError("\n".join(["prices cannot be used:", *map(str, sorted(problems))]))
    return Prices(*tables, currency=currency)


@cache
def shipped() -> Prices:
    """The prices that come with Hookflash."""
    reader = _read_shipped()
    prices = Prices(list(reader.prices(CURRENCY, {})))
    if reader.problems:
        raise PricesError("\n".join(map(str, reader.problems)))
    return prices


def _read_shipped() -> PriceReader:
    return _read("providers/prices.yaml", (files("providers") / "prices.yaml").read_bytes())


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PricesError(f"the file of the setting cost.prices cannot be read: {file}: {error.strerror}") from None


def _read(name: str, content: bytes) -> PriceReader:
    tree, problems = read(name, content)
    reader = PriceReader(tree if isinstance(tree, Map) else Map(Where(name, 1, 1)), problems)
    if not isinstance(tree, Map) and not problems:
        reader.report(Where(name, 1, 1), "E202", "a file of prices needs a list under 'prices:'")
    return reader


class PriceReader:
    """One file's tree. `prices` reads its entries; what is wrong gathers in ``problems``."""

    def __init__(self, tree: Map, problems: list[Problem]) -> None:
        self.problems = problems
        self._tree = tree
        self._without_rate: set[str] = set()
        self._unknown(tree, FILE_KEYS)
        self.rates = dict(self._rates())

    def report(self, where: Where, code: str, message: str) -> None:
        """Something is wrong there."""
        self.problems.append(Problem.at(where, code, message))

    def prices(self, currency: str, rates: Mapping[str, Decimal]) -> Iterator[Price]:
        """Every entry, in this currency; an entry for several providers comes once for each."""
        usual = self._currency(self._tree, CURRENCY)
        entries = self._tree.get("prices")
        if not isinstance(entries, Seq):
            if self._tree:
                self.report(self._tree.value_at.get("prices", self._tree.where), "E202", "'prices' must be a list")
            return
        seen: dict[tuple[str, str], Where] = {}
        for index, entry in enumerate(entries):
            where = entries.value_at[index]
            if not isinstance(entry, Map):
                self.report(where, "E203", "a price is a mapping, such as {provider: openai, model: gpt-…, …}")
                continue
            for price in self._entry(entry, usual, currency, rates):
                key = (price.provider, price.model)
                if key in seen:
                    told = f"{price.provider} {price.model} has a price already (line {seen[key].line})"
                    self.report(where, "E203", told)
                seen.setdefault(key, where)
                yield price

    def _entry(self, entry: Map, usual: str, currency: str, rates: Mapping[str, Decimal]) -> Iterator[Price]:
        self._unknown(entry, KEYS)
        told = {key: self._text(entry, key) for key in ("model", "source", "date")}
        if told["date"] and not _is_date(told["date"]):
            self.report(entry.value_at["date"], "E203", f"'{told['date']}' is no date such as 2026-11-20")
        own = self._currency(entry, usual)
        rate = Decimal(1) if own == currency else rates.get(own)
        if rate is None:
            rate = Decimal(1)
            if own not in self._without_rate:  # once: the others are no news
                self._without_rate.add(own)
                hint = f"add 'rates: {{{own}: …}}' (what one {own} is in {currency}) to your file of prices"
                self.report(entry.where, "E202", f"this price is in {own}, and costs are counted in {currency}: {hint}")
        charges = {kind: price * rate for kind, price in self._charges(entry)}
        for provider in self._providers(entry):
            yield Price(provider, told["model"], charges, told["source"], told["date"])

    def _charges(self, entry: Map) -> Iterator[tuple[str, Decimal]]:
        """The price of a single unit of each kind."""
        free = entry.get("free", False)
        if free not in (True, False):
            self.report(entry.value_at["free"], "E203", "'free' must be true or false")
        if bool(free) == any(key in entry for key in CHARGES):
            told = "needs a price (tokens, minutes, characters or items), or 'free: true'"
            self.report(entry.where, "E202", f"an entry {told}" if not free else f"an entry {told}, not both")
        if free is True:
            yield from ((kind, Decimal(0)) for kind in KINDS)
        for kind, price in self._group(entry, "tokens", TOKENS):
            yield kind, price / MILLION
        for kind, price in self._group(entry, "minutes", MINUTES):
            yield MINUTES[kind], price / MINUTE
        if "characters" in entry:
            yield "characters", self._money(entry, "characters") / MILLION
        if "items" in entry:
            yield "items", self._money(entry, "items")

    def _group(self, entry: Map, key: str, kinds: tuple[str, ...] | Mapping[str, str]) -> Iterator[tuple[str, Decimal]]:
        group = entry.get(key)
        if group is None:
            return
        if not isinstance(group, Map):
            self.report(entry.value_at[key], "E203", f"'{key}' is a mapping from kind to price{has(kinds)}")
            return
        self._unknown(group, tuple(kinds))
        for kind in group:
            if kind in kinds:
                yield kind, self._money(group, kind)

    def _providers(self, entry: Map) -> list[str]:
        """One name or a list of them."""
        value = entry.get("provider")
        found = value if isinstance(value, Seq) else [value]
        if not found or not all(isinstance(name, str) and name for name in found):
            where = entry.value_at.get("provider", entry.where)
            code = "E202" if value is None else "E203"
            self.report(where, code, "a price needs a 'provider', such as openai, or a list of them")
            return []
        return [str(name) for name in found]

    def _text(self, entry: Map, key: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not value:
            code, where = ("E202", entry.where) if value is None else ("E203", entry.value_at[key])
            examples = {"model": 'gpt-realtime-2.1 or "*"', "source": "the address of a page", "date": "2026-11-20"}
            self.report(where, code, f"a price needs '{key}', such as {examples[key]}")
            return ""
        return str(value)

    def _money(self, holder: Map, key: str) -> Decimal:
        value = holder[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            self.report(holder.value_at[key], "E203", f"'{key}' must be a price: a number from 0, without a currency")
            return Decimal(0)
        return Decimal(str(value))

    def _currency(self, holder: Map, usual: str) -> str:
        value = holder.get("currency", usual)
        if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
            self.report(holder.value_at["currency"], "E203", f"{value!r} is no currency such as USD or EUR")
            return usual
        return str(value)

    def _rates(self) -> Iterator[tuple[str, Decimal]]:
        rates = self._tree.get("rates")
        if rates is None:
            return
        if not isinstance(rates, Map):
            self.report(self._tree.value_at["rates"], "E203", "'rates' is a mapping, such as {USD: 0.86}")
            return
        for name, value in rates.items():
            if not _CURRENCY.fullmatch(name):
                self.report(rates.key_at[name], "E203", f"'{name}' is no currency such as USD or EUR")
            elif isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                self.report(rates.value_at[name], "E203", f"the rate of {name} must be a number above 0")
            else:
                yield str(name), Decimal(str(value))

    def _unknown(self, tree: Map, known: tuple[str, ...]) -> None:
        for key in tree:
            if key not in known:
                self.report(tree.key_at[key], "E201", f"unknown key '{key}'{did_you_mean(key, known) or has(known)}")


def _is_date(text: Any) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
