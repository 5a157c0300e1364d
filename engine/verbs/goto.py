"""`goto`: go on with a section and do not come back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field

from engine.call import Call
from engine.outcome import Outcome
from engine.verb import Verb
from flows.fields import SectionName
from flows.flow import Step
from flows.verb import Fields


class GotoFields(Fields):
    """Where to."""

    section: SectionName = Field(description="A section of this flow.")


class Goto(Verb):
    """Leaves the steps that are running."""

    name: ClassVar[str] = "goto"
    summary: ClassVar[str] = "Go on with a section."
    Fields: ClassVar[type[Fields]] = GotoFields
    shorthand: ClassVar[str | None] = "section"
    falls_through: ClassVar[bool] = False
    needs_caller: ClassVar[bool] = False

    def sections(self, fields: Any) -> Iterable[str]:
        """The section it goes to."""
        return (fields.section,)

    async def run(self, step: Step, call: Call) -> Outcome:
        """Jump."""
        assert isinstance(step.fields, GotoFields)
        call.walker.jump(step.fields.section)
