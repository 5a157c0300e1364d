"""Holidays by rule: iCalendar rules (RFC 5545 section 3.3.10, RRULE) of whole days.

Whether a day is one is reckoned from the day and its own year, month or week alone, never by counting from the rule's
beginning: so every question takes as long as the next, whatever the rule. Rules count from 1 January 1970, which
matters where INTERVAL is more than 1. BYEASTER (days after Easter Sunday) is for the holidays that move with it.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Literal

from dateutil.easter import easter

from flows.problems import MistakeError, Where, did_you_mean, has
from flows.reader import Str

Frequency = Literal["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]

_FREQUENCIES: Final[tuple[Frequency, ...]] = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_TOO_OFTEN: Final = ("HOURLY", "MINUTELY", "SECONDLY")
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_NUMBERS: Final = {
    "BYMONTH": (1, 12), "BYMONTHDAY": (-31, 31), "BYYEARDAY": (-366, 366), "BYWEEKNO": (-53, 53),
    "BYSETPOS": (-366, 366), "BYEASTER": (-366, 366),
}  # fmt: skip
_KEYS: Final = ("FREQ", "INTERVAL", "UNTIL", "BYDAY", "WKST", *_NUMBERS)
_FIELD: Final = {
    "BYMONTH": "months", "BYMONTHDAY": "month_days", "BYYEARDAY": "year_days", "BYWEEKNO": "weeks",
    "BYSETPOS": "positions", "BYEASTER": "easter",
}  # fmt: skip
_DAY: Final = re.compile(r"([+-]?[0-9]{1,2})?([A-Z]{2})")
_UNTIL: Final = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:T[0-9:]{4,8}Z?)?")
_INTERVAL: Final = re.compile(r"[0-9]{1,6}")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,6}")
_BEGINNING: Final = date(1970, 1, 1)
_TRIED: Final = (2000, 2039)  # years in which every rule that means anything has a day: a 29 February on each weekday


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. A weekday is ``(n, day)``: the n-th of its month or year (0: each), day 0 is Monday."""

    frequency: Frequency
    interval: int = 1
    until: date | None = None
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    easter: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    def days(self, year: int) -> frozenset[date]:
        """Its days in a year: 366 days are looked at, and those of the weeks at both ends."""
        return frozenset(day for day in self._days(date(year, 1, 1), date(year, 12, 31)) if day.year == year)

    def _days(self, first: date, last: date) -> Iterator[date]:
        begin, length = self._period(first)
        while begin <= last:
            if self._number(begin) % self.interval == 0:
                fitting = [day for day in map(begin.__add__, map(timedelta, range(length))) if self._fits(day)]
                yield from (day for day in self._chosen(fitting) if self.until is None or day <= self.until)
            begin, length = self._period(begin + timedelta(length))

    def _chosen(self, days: list[date]) -> list[date]:
        """The days of one period that BYSETPOS names."""
        if not self.positions:
            return days
        return [days[at - 1 if at > 0 else at] for at in self.positions if abs(at) <= len(days)]

    def _period(self, day: date) -> tuple[date, int]:
        """The first day and the number of days of the year, month or week of a day, or the day itself."""
        match self.frequency:
            case "YEARLY":
                return date(day.year, 1, 1), 366 if isleap(day.year) else 365
            case "MONTHLY":
                return day.replace(day=1), monthrange(day.year, day.month)[1]
            case "WEEKLY":
                return self._week(day), 7
            case "DAILY":
                return day, 1

    def _number(self, begin: date) -> int:
        """How many periods lie between the beginning of all rules and the period that begins here."""
        match self.frequency:
            case "YEARLY":
                return begin.year - _BEGINNING.year
            case "MONTHLY":
                return (begin.year - _BEGINNING.year) * 12 + begin.month - 1
            case "WEEKLY":
                return (begin - self._week(_BEGINNING)).days // 7
            case "DAILY":
                return (begin - _BEGINNING).days

    def _fits(self, day: date) -> bool:
        """Whether a day is in each of the lists that the rule has."""
        return (
            (not self.months or day.month in self.months)
            and (not self.month_days or _either(day.day, monthrange(day.year, day.month)[1], self.month_days))
            and (not self.weekdays or any(self._is_weekday(day, n, weekday) for n, weekday in self.weekdays))
            and (not self.year_days or _either(_day_of_year(day), 366 if isleap(day.year) else 365, self.year_days))
            and (not self.weeks or _either(*self._week_of_year(day), self.weeks))
            and (not self.easter or (day - easter(day.year)).days in self.easter)
        )

    def _is_weekday(self, day: date, n: int, weekday: int) -> bool:
        if day.weekday() != weekday:
            return False
        if self.frequency == "MONTHLY" or self.months:
            at, length = day.day, monthrange(day.year, day.month)[1]
        else:
            at, length = _day_of_year(day), 366 if isleap(day.year) else 365
        return n == 0 or n == (at - 1) // 7 + 1 or -n == (length - at) // 7 + 1

    def _week(self, day: date) -> date:
        return day - timedelta((day.weekday() - self.week_start) % 7)

    def _week_of_year(self, day: date) -> tuple[int, int]:
        """The week's number, and how many its year has. A week belongs to the year in which most of it lies."""
        middle = self._week(day) + timedelta(3)
        last = self._week(date(middle.year, 12, 28)) + timedelta(3)
        return (_day_of_year(middle) - 1) // 7 + 1, (_day_of_year(last) - 1) // 7 + 1


def read_rule(text: str, where: Where) -> Callable[[date], bool]:
    """A rule as a test for one day; ``where`` is the place of the text. Raises `MistakeError`."""
    rule = _read(text, where)
    first, last = _TRIED
    always = replace(rule, until=None)  # an end that has come is no mistake: the rule was good until then
    if not any(always.days(year) for year in range(first, last + 1)):
        message = f"this rule has no day: none from {first} to {last} fits all of its parts"
        raise MistakeError(where, "E203", message)

    @lru_cache(maxsize=8)
    def dates(year: int) -> frozenset[date]:
        return rule.days(year)

    return lambda day: day in dates(day.year)


def _read(text: str, where: Where) -> Rule:
    """The rule that a text says. Raises `MistakeError`."""
    parts = _parts(text, where)
    word, at = parts.get("FREQ", ("", where))
    frequency = next((one for one in _FREQUENCIES if one == word), None)
    if frequency is None:
        near = "" if word in ("", *_TOO_OFTEN) else did_you_mean(word, _FREQUENCIES) or has(_FREQUENCIES)
        message = f"a rule begins with a frequency of days or longer, such as FREQ=YEARLY;BYMONTH=12{near}"
        raise MistakeError(at, "E203", message)
    found: dict[str, tuple[int, ...]] = {
        _FIELD[key]: _numbers(key, *parts[key], *ends) for key, ends in _NUMBERS.items() if key in parts
    }
    interval, at = parts.get("INTERVAL", ("1", where))
    if not _INTERVAL.fullmatch(interval) or int(interval) < 1:
        raise MistakeError(at, "E203", f"INTERVAL is a whole number from 1, and this is {interval}")
    week_start, at = parts.get("WKST", ("MO", where))
    if week_start not in _DAYS:
        raise MistakeError(at, "E203", f"WKST is a day{has(_DAYS)}, and this is {week_start}")
    nth_allowed = frequency in ("YEARLY", "MONTHLY")
    weekdays = _weekdays(*parts["BYDAY"], nth_allowed) if "BYDAY" in parts else ()
    until = _until(*parts["UNTIL"]) if "UNTIL" in parts else None
    return _with_usual_days(
        Rule(frequency, int(interval), until, weekdays=weekdays, week_start=_DAYS.index(week_start), **found)
    )


def _parts(text: str, where: Where) -> dict[str, tuple[str, Where]]:
    """``KEY=value;…`` as values with the places of their parts."""
    found: dict[str, tuple[str, Where]] = {}
    offset = len("RRULE:") if text[:6].upper() == "RRULE:" else 0
    for part in text[offset:].split(";"):
        at = text.at(offset) if isinstance(text, Str) else where
        offset += len(part) + 1
        key, equals, value = part.strip().upper().partition("=")
        if key in ("COUNT", "DTSTART"):
            raise MistakeError(at, "E203", f"a holiday's rule has no beginning to count from: {key} means nothing here")
        if key in ("BYHOUR", "BYMINUTE", "BYSECOND"):
            raise MistakeError(at, "E203", f"a holiday is a whole day: {key} means nothing here")
        if not equals or key not in _KEYS:
            near = did_you_mean(key, _KEYS) or has(_KEYS)
            raise MistakeError(at, "E203", f"not an iCalendar rule (RRULE): unknown part '{part.strip()[:40]}'{near}")
        if key in found:
            raise MistakeError(at, "E203", f"{key} stands twice in this rule; list its values with commas")
        found[key] = value, at
    return found


def _numbers(key: str, written: str, at: Where, least: int, most: int) -> tuple[int, ...]:
    found = []
    for one in written.split(","):
        fits = _INTEGER.fullmatch(one.strip()) and least <= int(one) <= most
        if not fits or (int(one) == 0 and key != "BYEASTER"):
            from_end = "" if least > 0 or key == "BYEASTER" else f", or -1 to {least} from the end"
            start = least if key == "BYEASTER" else 1
            message = f"{key} is {start} to {most}{from_end}, and this is {one.strip() or 'empty'}"
            raise MistakeError(at, "E203", message)
        found.append(int(one))
    return tuple(dict.fromkeys(found))


def _weekdays(written: str, at: Where, nth_allowed: bool) -> tuple[tuple[int, int], ...]:
    found = []
    for one in written.split(","):
        match = _DAY.fullmatch(one.strip())
        if match is None or match[2] not in _DAYS or (match[1] and not 1 <= abs(int(match[1])) <= 53):
            message = f"BYDAY is a list of days such as MO,TU, 4TH or -1FR, and this is {one.strip() or 'empty'}"
            raise MistakeError(at, "E203", message)
        if match[1] and not nth_allowed:
            message = f"'{one.strip()}' counts within a month or a year: write FREQ=MONTHLY or FREQ=YEARLY"
            raise MistakeError(at, "E203", message)
        found.append((int(match[1] or 0), _DAYS.index(match[2])))
    return tuple(dict.fromkeys(found))


def _with_usual_days(rule: Rule) -> Rule:
    """The day that a rule means which names none: that of 1 January 1970, a Thursday."""
    if rule.weeks or rule.year_days or rule.month_days or rule.weekdays or rule.easter:
        return rule
    match rule.frequency:
        case "YEARLY":
            return replace(rule, months=rule.months or (1,), month_days=(1,))
        case "MONTHLY":
            return replace(rule, month_days=(1,))
        case "WEEKLY":
            return replace(rule, weekdays=((0, _BEGINNING.weekday()),))
        case "DAILY":
            return rule


def _until(written: str, at: Where) -> date:
    found = _UNTIL.fullmatch(written)
    try:
        if found is not None:
            return date(*map(int, found.groups()))
    except ValueError:  # 30 February
        pass
    raise MistakeError(at, "E203", f"UNTIL is a day such as 20261231, and this is {written or 'empty'}")


def _either(at: int, length: int, wanted: tuple[int, ...]) -> bool:
    """Whether a place counted from the beginning or from the end is wanted."""
    return at in wanted or at - length - 1 in wanted


def _day_of_year(day: date) -> int:
    return day.timetuple().tm_yday
