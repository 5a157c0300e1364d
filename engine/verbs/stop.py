"""`stop`: the flow is over."""

from __future__ import annotations

from typing import ClassVar

from engine.call import Call
from engine.outcome import Outcome
from engine.outcome import Stop as Over
from engine.verb import Verb
from flows.flow import Step
from flows.verb import Fields


class StopFields(Fields):
    """Nothing."""


class Stop(Verb):
    """Ends the flow and every flow that called it; the line is hung up."""

    name: ClassVar[str] = "stop"
    summary: ClassVar[str] = "End the flow."
    Fields: ClassVar[type[Fields]] = StopFields
    falls_through: ClassVar[bool] = False
    needs_caller: ClassVar[bool] = False
    failure: ClassVar[str | None] = None

    async def run(self, step: Step, call: Call) -> Outcome:
        """End."""
        raise Over
