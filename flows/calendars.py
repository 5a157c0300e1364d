"""Opening hours: weekly spans in a time zone, holidays (dates or iCalendar rules) and days with hours of their own.

Everything is reckoned in the calendar's own time zone by the wall clock, so a shift that spans a change to summer time
opens and closes when the clock on the wall says so. A span may run past midnight (``"22:00-06:00"``); it belongs to
the day it starts on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

State = Literal["open", "closed", "holiday"]
Span = tuple[int, int]
"""Opening and closing in minutes after midnight; closing may lie beyond 1440 for a span past midnight."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HORIZON = 400  # days that `next_open` looks ahead: every weekly plan and yearly holiday has come round by then
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holiday:
    """A named day on which nobody is there: ``falls_on(day)`` tells whether it is this one."""

    name: str
    falls_on: Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The hours of one place. ``open`` maps weekday (0 is Monday) to spans; ``exceptions`` replaces a day's spans,
    holiday or not."""

    name: str
    timezone: ZoneInfo
    open: Mapping[int, tuple[Span, ...]]
    holidays: tuple[Holiday, ...] = ()
    exceptions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)

    def state(self, at: datetime) -> State:
        """``open``, ``closed``, or ``holiday`` when it is closed because of one. ``at`` carries its time zone."""
        local = at.astimezone(self.timezone)
        today, minute = local.date(), local.hour * 60 + local.minute
        if any(start <= minute < end for start, end in self._spans(today)):
            return "open"
        if any(start <= minute + 1440 < end for start, end in self._spans(today - timedelta(days=1))):
            return "open"
        return "holiday" if today not in self.exceptions and self.holiday(today) else "closed"

    def holiday(self, day: date) -> str | None:
        """The name of the holiday on this day, if it is one."""
        return next((holiday.name for holiday in self.holidays if holiday.falls_on(day)), None)

    def next_open(self, at: datetime) -> datetime | None:
        """The moment when it opens next (``at`` itself when it is open), or None when it does not within 400 days."""
        if self.state(at) == "open":
            return at
        local = at.astimezone(self.timezone)
        return next((opening for opening in self._openings(local.date()) if opening > at), None)

    def say_next_open(self, at: datetime) -> str:
        """`next_open` in words that follow "We open": ``now``, ``tomorrow at 9 AM``, ``on May 2 at 8:30 AM``."""
        opening = self.next_open(at)
        if opening is None:
            return "at a time that is not known yet"
        if opening == at:
            return "now"
        local = opening.astimezone(self.timezone)
        minutes = f":{local.minute:02}" if local.minute else ""
        hour = f"{(local.hour - 1) % 12 + 1}{minutes} {'AM' if local.hour < 12 else 'PM'}"
        days = (local.date() - at.astimezone(self.timezone).date()).days
        if days == 0:
            return f"today at {hour}"
        if days == 1:
            return f"tomorrow at {hour}"
        if days < 7:
            return f"{_NAMES[local.weekday()]} at {hour}"
        return f"on {_MONTHS[local.month - 1]} {local.day} at {hour}"

    def _spans(self, day: date) -> tuple[Span, ...]:
        if day in self.exceptions:
            return self.exceptions[day]
        if self.holiday(day):
            return ()
        return self.open.get(day.weekday(), ())

    def _openings(self, first: date) -> Iterator[datetime]:
        for days in range(_HORIZON):
            day = first + timedelta(days=days)
            for start, _ in sorted(self._spans(day)):
                midnight = datetime.combine(day, time(), self.timezone)
                # Adding to an aware datetime moves its wall clock; the way over UTC leads out of the hour that summer
                # time skips.
                yield (midnight + timedelta(minutes=start)).astimezone(UTC).astimezone(self.timezone)
