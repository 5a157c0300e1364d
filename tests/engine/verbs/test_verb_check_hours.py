from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from engine.virtual import run
from tests.engine.verbs.phone import dial, flow, library, problems

STEPS = """
- id: hours
  check_hours: {calendar: office}
  outcomes: {open: [{say: Open.}], closed: [{say: Closed.}], holiday: [{say: Holiday.}]}
- say: ${steps.hours.outcome}
"""


@pytest.mark.parametrize(
    ("now", "state"),
    [
        ("2026-01-05T09:00:00+01:00", "open"),  # a Monday in Berlin
        ("2026-01-05T08:59:59+01:00", "closed"),
        ("2026-01-05T08:30:00+00:00", "open"),  # the office's clock counts, not the engine's
        ("2026-01-05T17:30:00+00:00", "closed"),
        ("2026-01-10T12:00:00+01:00", "closed"),  # a Saturday
        ("2026-12-25T12:00:00+01:00", "holiday"),
        ("2026-07-06T16:30:00+00:00", "closed"),  # summer time: 18:30
    ],
)
def test_a_calendar_decides(tmp_path: Path, now: str, state: str) -> None:
    async def call() -> list[str]:
        return (await dial(library(tmp_path, flow(STEPS)))).heard

    assert run(call(), start=datetime.fromisoformat(now)) == [f"{state.capitalize()}.", state]


def test_time_goes_on_during_the_call(tmp_path: Path) -> None:
    """The clock is asked when the step runs, not when the call comes."""

    async def call() -> list[tuple[str, str | None]]:
        steps = "- answer: {after: 2s}\n- check_hours: office\n  outcomes: {closed: [], holiday: []}"
        return (await dial(library(tmp_path, flow(steps)))).ways

    start = datetime.fromisoformat("2026-01-05T17:59:59+01:00")
    assert run(call(), start=start) == [("answer", "done"), ("check_hours", "closed")]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - check_hours: ofice
          outcomes: {closed: [], holiday: []}
        - check_hours: {}
        - check_hours: "${vars.calendar}"
        """,
    )
    assert [line for line in found if "error[" in line] == [
        "3:18: error[E302]: unknown calendar 'ofice' (did you mean 'office'?)",
        "5:5: error[E202]: check_hours needs 'calendar'",
        "6:18: error[E203]: the name of a calendar is fixed; '${…}' cannot be used in it",
    ]


def test_a_closed_office_wants_an_answer(tmp_path: Path) -> None:
    found = problems(tmp_path, "- check_hours: office")
    assert len(found) == 1
    assert "check_hours may end with closed, holiday" in found[0]
