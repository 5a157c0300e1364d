"""`repeat`: run steps again."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.verb import Verb
from flows.fields import Condition, Steps
from flows.flow import Step
from flows.verb import Fields


class RepeatFields(Fields):
    """How often, while what, and which steps."""

    max: int = Field(ge=1, le=1000, description="How often at most.")
    while_: Condition | None = Field(None, alias="while", description="Checked before each round.")
    steps: Steps = Field(description="What is repeated.")


class Repeat(Verb):
    """A loop with a bound."""

    name: ClassVar[str] = "repeat"
    summary: ClassVar[str] = "Run steps again, a bounded number of times."
    Fields: ClassVar[type[Fields]] = RepeatFields
    needs_caller: ClassVar[bool] = False
    takes_digits: ClassVar[bool] = True  # its steps may
    repeats: ClassVar[bool] = True

    async def run(self, step: Step, call: Call) -> Outcome:
        """Round after round."""
        fields = step.fields
        assert isinstance(fields, RepeatFields)
        for _ in range(fields.max):
            if fields.while_ is not None and not fields.while_.evaluate(call.walker.context()):
                break
            await call.walker.run_steps(fields.steps)
        return DONE
