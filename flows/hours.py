"""Reading calendars from resources.yaml: days, spans, holidays, exceptions."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from flows.calendars import DAYS, Calendar, Holiday, Span
from flows.draft import Draft
from flows.holidays import read_rule
from flows.problems import MistakeError, Where, did_you_mean, has
from flows.reader import Map, Seq

_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_CALENDAR_KEYS = ("timezone", "open", "holidays", "exceptions", "note")


def read_calendar(name: str, given: Any, where: Where, draft: Draft) -> Calendar | None:
    """A calendar, or None when it cannot be used; what is wrong is in the draft."""
    if not isinstance(given, Map):
        draft.report(where, "E203", "a calendar is a mapping with 'timezone' and 'open'")
        return None
    known_keys(given, _CALENDAR_KEYS, draft)
    zone = _timezone(given, where, draft)
    week: dict[int, tuple[Span, ...]] = {}
    hours = _mapping(given, "open", draft)
    for days, spans in hours.items():
        for day in _weekdays(days, hours.key_at[days], draft):
            week[day] = _spans(spans, hours.value_at[days], draft)
    exceptions: dict[date, tuple[Span, ...]] = {}
    special = _mapping(given, "exceptions", draft)
    for written, spans in special.items():
        if (parsed := _date(written, special.key_at[written], draft)) is not None:
            exceptions[parsed] = _spans(spans, special.value_at[written], draft)
    holidays = _holidays(given, draft)
    return None if zone is None else Calendar(name, zone, week, holidays, exceptions)


def known_keys(given: Map, keys: tuple[str, ...], draft: Draft) -> None:
    """Report every key that is not among these."""
    for key in given:
        if key not in keys:
            draft.report(given.key_at[key], "E201", f"unknown key '{key}'{did_you_mean(key, keys) or has(keys)}")


def _mapping(given: Map, key: str, draft: Draft) -> Map:
    value = given.get(key)
    if isinstance(value, Map):
        return value
    if value is not None:
        draft.report(given.value_at[key], "E203", f"'{key}' must be a mapping")
    return Map()


def _timezone(given: Map, where: Where, draft: Draft) -> ZoneInfo | None:
    name = given.get("timezone")
    if not isinstance(name, str):
        draft.report(where, "E202", "a calendar needs a 'timezone', such as Europe/Berlin")
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = did_you_mean(name, available_timezones())
        draft.report(given.value_at["timezone"], "E203", f"unknown time zone '{name}'{near}")
        return None


def _weekdays(given: str, where: Where, draft: Draft) -> list[int]:
    """``mon-fri`` or ``sat`` as weekdays, 0 for Monday; a range may run over the end of the week."""
    first, dash, last = given.lower().partition("-")
    for word in (first, last) if dash else (first,):
        if word not in DAYS:
            draft.report(where, "E203", f"'{given}' is not a day or a range of days{has(DAYS)}")
            return []
    start = DAYS.index(first)
    length = (DAYS.index(last) - start) % 7 + 1 if dash else 1
    return [(start + offset) % 7 for offset in range(length)]


def _spans(given: Any, where: Where, draft: Draft) -> tuple[Span, ...]:
    if not isinstance(given, Seq):
        draft.report(where, "E203", 'opening hours are a list, such as ["09:00-12:00", "13:00-18:00"]')
        return ()
    found = (_span(span, given.value_at[index], draft) for index, span in enumerate(given))
    return tuple(span for span in found if span is not None)


def _span(given: Any, where: Where, draft: Draft) -> Span | None:
    match = _SPAN.fullmatch(given.replace(" ", "")) if isinstance(given, str) else None
    if match:
        hours, minutes, until_hours, until_minutes = (int(part) for part in match.groups())
        start, end = hours * 60 + minutes, until_hours * 60 + until_minutes
        if max(minutes, until_minutes) < 60 and start < 1440 and end <= 1440:
            return start, end if end > start else end + 1440
    draft.report(where, "E203", f'{given!r} is not a span of hours, such as "09:00-18:00"')
    return None


def _date(given: Any, where: Where, draft: Draft) -> date | None:
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        draft.report(where, "E203", f'{given!r} is not a date, such as "2026-12-24"')
        return None


def _holidays(given: Map, draft: Draft) -> tuple[Holiday, ...]:
    days = given.get("holidays")
    if days is None:
        return ()
    if not isinstance(days, Seq):
        draft.report(given.value_at["holidays"], "E203", "'holidays' must be a list, each with 'date' or 'rule'")
        return ()
    found = (_holiday(day, days.value_at[index], draft) for index, day in enumerate(days))
    return tuple(holiday for holiday in found if holiday is not None)


def _holiday(given: Any, where: Where, draft: Draft) -> Holiday | None:
    if not isinstance(given, Map) or ("date" in given) == ("rule" in given):
        draft.report(
            where,
            "E202",
            "a holiday needs either a 'date' or a 'rule', such as {date: \"2026-12-25\", name: Christmas}",
        )
        return None
    known_keys(given, ("date", "rule", "name"), draft)
    name = str(given.get("name") or given.get("date") or "holiday")
    if "date" in given:
        day = _date(given["date"], given.value_at["date"], draft)
        return None if day is None else Holiday(name, lambda asked: asked == day)
    rule = given["rule"]
    try:
        if not isinstance(rule, str):
            raise MistakeError(given.value_at["rule"], "E203", "a rule is a text, such as FREQ=YEARLY;BYMONTH=12")
        return Holiday(name, read_rule(rule, given.value_at["rule"]))
    except MistakeError as mistake:
        draft.report(mistake.where, mistake.code, mistake.message)
        return None
