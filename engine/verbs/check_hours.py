"""`check_hours`: is the company open?"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from engine.call import Call
from engine.outcome import Outcome
from engine.verb import Verb
from flows.fields import CalendarName
from flows.flow import Step
from flows.verb import Fields, Outcomes


class CheckHoursFields(Fields):
    """Which calendar."""

    calendar: CalendarName = Field(description="A calendar of resources.yaml.")


class CheckHours(Verb):
    """Looks into a calendar with its own time zone and holidays."""

    name: ClassVar[str] = "check_hours"
    summary: ClassVar[str] = "Go on by whether a calendar is open now."
    Fields: ClassVar[type[Fields]] = CheckHoursFields
    shorthand: ClassVar[str | None] = "calendar"
    needs_caller: ClassVar[bool] = False
    ends_done: ClassVar[bool] = False
    failure: ClassVar[str | None] = None
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=("open",), bad=("closed", "holiday"))

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ask the calendar."""
        fields = step.fields
        assert isinstance(fields, CheckHoursFields)
        calendar = call.library.resources.calendars[fields.calendar]
        return Outcome(calendar.state(call.services.clock.now()))
