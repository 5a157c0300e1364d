"""Holidays by iCalendar rules: what they mean, what is refused, and how long an answer may take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.calendars import Calendar, Holiday
from flows.holidays import Rule, read_rule
from flows.language import Loaded
from flows.problems import NOWHERE, MistakeError

UTC = ZoneInfo("UTC")


def days(rule: str, year: int) -> list[str]:
    """The days of a year, as month-day."""
    falls_on = read_rule(rule, NOWHERE)
    all_days = (date(year, 1, 1) + timedelta(n) for n in range(366))
    return [f"{day:%m-%d}" for day in all_days if day.year == year and falls_on(day)]


@pytest.mark.parametrize(
    ("rule", "year", "expected"),
    [
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", 2026, ["11-26"]),
        ("RRULE:freq=yearly;bymonth=12;bymonthday=25,26", 2026, ["12-25", "12-26"]),
        ("FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO", 2026, ["05-25"]),
        ("FREQ=MONTHLY;BYMONTH=1,2;BYMONTHDAY=-1", 2028, ["01-31", "02-29"]),
        ("FREQ=YEARLY;BYEASTER=-2,1", 2026, ["04-03", "04-06"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", 2027, []),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=TU", 2028, ["02-29"]),
        ("FREQ=YEARLY;INTERVAL=2;BYYEARDAY=1", 2026, ["01-01"]),
        ("FREQ=YEARLY;INTERVAL=2;BYYEARDAY=1", 2027, []),
        ("FREQ=YEARLY;BYMONTH=12", 2026, ["12-01"]),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=FR", 2026, ["01-02"] if date(2026, 1, 2).isocalendar().week == 53 else []),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=TH", 2026, ["01-01"]),
        ("FREQ=MONTHLY;BYMONTH=6;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", 2026, ["06-30"]),
        ("FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=4;UNTIL=20251231T235959Z", 2025, ["07-04"]),
        ("FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=4;UNTIL=20251231T235959Z", 2026, []),
    ],
)  # fmt: skip
def test_what_a_rule_means(rule: str, year: int, expected: list[str]) -> None:
    assert days(rule, year) == expected


@pytest.mark.parametrize(
    ("rule", "column", "words"),
    [
        ("FREQ=DAILY;INTERVAL=0", 62, "INTERVAL is a whole number from 1, and this is 0"),
        ("FREQ=DAILY;INTERVAL=-1", 62, "INTERVAL is a whole number from 1, and this is -1"),
        ("FREQ=YEARLY;BYMONTH=13", 63, "BYMONTH is 1 to 12, and this is 13"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 50, "this rule has no day: none from 2000 to 2039"),
        ("FREQ=MONTHLY;BYMONTHDAY=-40", 64, "BYMONTHDAY is 1 to 31, or -1 to -31 from the end, and this is -40"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", 64, "and this is 0"),
        ("FREQ=HOURLY;BYMONTH=1", 51, "a frequency of days or longer"),
        ("BYMONTH=1", 50, "a frequency of days or longer"),
        ("FREQ=YEERLY", 51, "did you mean 'YEARLY'?"),
        ("FREQ=YEARLY;BYMNTH=1", 63, "unknown part 'BYMNTH=1' (did you mean 'BYMONTH'?)"),
        ("FREQ=YEARLY;BYHOUR=9", 63, "a holiday is a whole day"),
        ("FREQ=YEARLY;COUNT=3", 63, "no beginning to count from"),
        ("FREQ=WEEKLY;BYDAY=2MO", 63, "counts within a month or a year"),
        ("FREQ=YEARLY;BYDAY=XX", 63, "BYDAY is a list of days such as MO,TU, 4TH or -1FR, and this is XX"),
        ("FREQ=YEARLY;BYMONTH=", 63, "and this is empty"),
        ("FREQ=YEARLY;BYMONTH=1;BYMONTH=2", 73, "BYMONTH stands twice"),
        ("FREQ=YEARLY;UNTIL=20260230", 63, "UNTIL is a day such as 20261231, and this is 20260230"),
        ("FREQ=YEARLY;WKST=XX", 63, "WKST is a day"),
        ("FREQ=YEARLY;INTERVAL=5000", 50, "this rule has no day"),
        ("FREQ=DAILY;BYMONTH=1;INTERVAL=1;", 83, "unknown part ''"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused_at_its_place(
    load: Callable[..., Loaded], rule: str, column: int, words: str
) -> None:
    resources = f'calendars: {{a: {{timezone: UTC, holidays: [{{rule: "{rule}"}}]}}}}\n'
    loaded = load("flow: a\nsteps: [{say: Hi}]\n", resources=resources)
    (problem,) = loaded.problems
    assert (problem.file, problem.line, problem.column, problem.code) == ("resources.yaml", 1, column, "E203")
    assert words in problem.message


numbers = st.integers(-400, 400).map(str)
weekday = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU", "1MO", "-1FR", "5SU", "53TU", "XX"])
part = st.one_of(
    st.tuples(
        st.sampled_from(["BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS", "BYEASTER"]),
        st.lists(st.one_of(st.integers(-13, 31).map(str), numbers), min_size=1, max_size=4).map(",".join),
    ),
    st.tuples(st.just("BYDAY"), st.lists(weekday, min_size=1, max_size=3).map(",".join)),
    st.tuples(st.just("INTERVAL"), st.integers(-1, 50).map(str)),
    st.tuples(st.just("WKST"), st.sampled_from(["MO", "SU", "TH"])),
    st.tuples(st.just("UNTIL"), st.sampled_from(["20300101", "19990101", "20261224T000000Z", "soon"])),
    st.tuples(st.text("BYMONTHX=;, \x00é", max_size=8), st.text("0123456789,-;=", max_size=8)),
)
frequencies = st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "SECONDLY", "é"])
rules = st.tuples(frequencies, st.lists(part, max_size=4)).map(
    lambda drawn: ";".join([f"FREQ={drawn[0]}", *(f"{key}={value}" for key, value in drawn[1])])
)


@settings(max_examples=150, deadline=None)
@given(rule=st.one_of(rules, st.text(max_size=30)), at=st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1)))
def test_what_passes_the_check_is_answered_within_a_bound(rule: str, at: datetime) -> None:
    try:
        falls_on = read_rule(rule, NOWHERE)
    except MistakeError:
        return
    looked_at = 0

    def counted(self: Rule, day: date) -> bool:
        nonlocal looked_at
        looked_at += 1
        return fits(self, day)

    fits = Rule._fits
    calendar = Calendar("a", UTC, dict.fromkeys(range(7), ((540, 1080),)), (Holiday("h", falls_on),))
    now = at.replace(tzinfo=UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_fits", counted)
        assert calendar.state(now) in ("open", "closed", "holiday")
        opening = calendar.next_open(now)
    assert opening is None or opening >= now
    assert looked_at <= 4 * 380  # the days of each year that is asked for, once


@settings(max_examples=150, deadline=None)
@given(
    rule=st.one_of(
        st.builds("FREQ=YEARLY;BYMONTH={};BYMONTHDAY={}".format, st.integers(1, 12), st.integers(-28, -1)),
        st.builds("FREQ=YEARLY;BYMONTH={};BYDAY={}MO".format, st.integers(1, 12), st.sampled_from([1, 4, -1, -4])),
        st.builds("FREQ=YEARLY;BYDAY={}FR;INTERVAL={}".format, st.sampled_from([1, 20, 52, -1]), st.integers(1, 4)),
        st.builds("FREQ=YEARLY;BYWEEKNO={};WKST={}".format, st.integers(2, 51), st.sampled_from(["MO", "SU", "TH"])),
        st.builds("FREQ=MONTHLY;INTERVAL={};BYDAY=MO,TU,FR;BYSETPOS={}".format, st.integers(1, 7),
                  st.sampled_from(["1", "-1", "2,-2"])),
        st.builds("FREQ=WEEKLY;INTERVAL={};WKST={}".format, st.integers(1, 9), st.sampled_from(["MO", "SU", "FR"])),
        st.builds("FREQ=DAILY;INTERVAL={};BYMONTH=1,7".format, st.integers(1, 40)),
        st.builds("FREQ=YEARLY;BYEASTER={}".format, st.integers(-60, 120)),
        st.builds("FREQ=YEARLY;BYYEARDAY={},{}".format, st.integers(1, 365), st.integers(-365, -1)),
    ),
    year=st.integers(1995, 2045),
)  # fmt: skip
def test_rules_mean_what_another_library_says(rule: str, year: int) -> None:
    theirs = rrulestr(rule, dtstart=datetime(1970, 1, 1)).between(
        datetime(year, 1, 1), datetime(year, 12, 31, 23), inc=True
    )
    assert days(rule, year) == [f"{moment:%m-%d}" for moment in theirs]
