"""`ringing`: let the caller hear that it rings."""

from __future__ import annotations

from typing import ClassVar

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.verb import Verb
from flows.flow import Step
from flows.verb import Fields


class RingingFields(Fields):
    """Nothing."""


class Ringing(Verb):
    """Sends 180 and goes on at once; a call that was answered stays as it is."""

    name: ClassVar[str] = "ringing"
    summary: ClassVar[str] = "Let the caller hear that it rings, without answering."
    Fields: ClassVar[type[Fields]] = RingingFields

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ring."""
        if not call.line.is_answered:
            await call.line.ring()
        return DONE
