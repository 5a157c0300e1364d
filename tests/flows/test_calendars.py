"""Opening hours, holidays and changes of the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from flows.calendars import Calendar
from flows.language import Loaded

RESOURCES = """
calendars:
  kitchen:
    timezone: America/New_York
    open: {mon-fri: ["09:00-12:00", "13:00-18:00"], sat: ["22:00-02:00"], sun: []}
    holidays:
      - {date: 2026-12-25, name: Christmas}
      - {rule: "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", name: Thanksgiving}
    exceptions: {2026-12-24: ["09:00-12:00"], 2026-12-26: []}
  night: {timezone: Europe/Berlin, open: {sat-sun: ["20:00-06:00"]}}
  never: {timezone: UTC}
  always: {timezone: UTC, open: {mon-sun: ["00:00-24:00"]}}
"""


@pytest.fixture
def calendar(load: Callable[..., Loaded]) -> Callable[[str], Calendar]:
    loaded = load("flow: a\nsteps: [{say: Hi}]\n", resources=RESOURCES)
    assert loaded.problems == []
    assert loaded.library is not None
    return loaded.library.resources.calendars.__getitem__


@pytest.mark.parametrize(
    ("name", "at", "state"),
    [
        ("kitchen", "2026-05-04T09:00-04:00", "open"),
        ("kitchen", "2026-05-04T08:59-04:00", "closed"),
        ("kitchen", "2026-05-04T12:00-04:00", "closed"),
        ("kitchen", "2026-05-04T17:59-04:00", "open"),
        ("kitchen", "2026-05-04T18:00-04:00", "closed"),
        ("kitchen", "2026-05-04T13:30+00:00", "open"),  # asked in another zone
        ("kitchen", "2026-05-09T23:30-04:00", "open"),
        ("kitchen", "2026-05-10T01:59-04:00", "open"),  # Sunday, by Saturday's hours
        ("kitchen", "2026-05-10T02:00-04:00", "closed"),
        ("kitchen", "2026-12-25T10:00-05:00", "holiday"),
        ("kitchen", "2026-11-26T10:00-05:00", "holiday"),  # the fourth Thursday
        ("kitchen", "2027-11-25T10:00-05:00", "holiday"),
        ("kitchen", "2026-11-19T10:00-05:00", "open"),
        ("kitchen", "2026-12-24T10:00-05:00", "open"),
        ("kitchen", "2026-12-24T14:00-05:00", "closed"),
        ("kitchen", "2026-12-26T22:30-05:00", "closed"),  # a Saturday with hours of its own: none
        ("night", "2026-03-29T05:59+02:00", "open"),  # the night that loses an hour
        ("night", "2026-03-29T06:00+02:00", "closed"),
        ("night", "2026-10-25T05:59+01:00", "open"),  # the night that gains one
        ("never", "2026-05-04T09:00+00:00", "closed"),
        ("always", "2026-05-04T23:59+00:00", "open"),
    ],
)
def test_states(calendar: Callable[[str], Calendar], name: str, at: str, state: str) -> None:
    assert calendar(name).state(datetime.fromisoformat(at)) == state


@pytest.mark.parametrize(
    ("name", "at", "opens", "words"),
    [
        ("kitchen", "2026-05-04T12:30-04:00", "2026-05-04T13:00-04:00", "today at 1 PM"),
        ("kitchen", "2026-05-04T18:00-04:00", "2026-05-05T09:00-04:00", "tomorrow at 9 AM"),
        ("kitchen", "2026-05-08T18:00-04:00", "2026-05-09T22:00-04:00", "tomorrow at 10 PM"),
        ("kitchen", "2026-05-10T10:00-04:00", "2026-05-11T09:00-04:00", "tomorrow at 9 AM"),
        ("kitchen", "2026-12-24T13:00-05:00", "2026-12-28T09:00-05:00", "Monday at 9 AM"),
        ("kitchen", "2026-05-04T10:00-04:00", "2026-05-04T10:00-04:00", "now"),
        ("night", "2026-03-23T10:00+01:00", "2026-03-28T20:00+01:00", "Saturday at 8 PM"),
        ("never", "2026-05-04T09:00+00:00", None, "at a time that is not known yet"),
    ],
)
def test_the_next_opening(
    calendar: Callable[[str], Calendar], name: str, at: str, opens: str | None, words: str
) -> None:
    now = datetime.fromisoformat(at)
    assert calendar(name).next_open(now) == (None if opens is None else datetime.fromisoformat(opens))
    assert calendar(name).say_next_open(now) == words


def test_an_hour_that_summer_time_skips_opens_after_it() -> None:
    early = Calendar("early", ZoneInfo("Europe/Berlin"), {6: ((150, 600),)})  # Sundays at 2:30
    asked = datetime.fromisoformat("2026-03-28T12:00+01:00")
    assert early.next_open(asked) == datetime.fromisoformat("2026-03-29T03:30+02:00")


def test_a_far_opening_is_named_by_its_date() -> None:
    rare = Calendar("rare", ZoneInfo("UTC"), {}, (), {datetime(2026, 6, 1).date(): ((510, 600),)})
    assert rare.say_next_open(datetime.fromisoformat("2026-05-04T09:00+00:00")) == "on June 1 at 8:30 AM"
