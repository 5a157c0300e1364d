"""`wait`: let time pass."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from pydantic import Field

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.verb import Verb
from flows.fields import Duration
from flows.flow import Step
from flows.verb import Fields


class WaitFields(Fields):
    """How long."""

    duration: Duration = Field(description="How long, for example 2s.")


class Wait(Verb):
    """The caller hears silence, or what they heard before the call was answered. Keys and handlers work as ever."""

    name: ClassVar[str] = "wait"
    summary: ClassVar[str] = "Let some time pass."
    Fields: ClassVar[type[Fields]] = WaitFields
    shorthand: ClassVar[str | None] = "duration"
    needs_caller: ClassVar[bool] = False

    async def run(self, step: Step, call: Call) -> Outcome:
        """Wait."""
        assert isinstance(step.fields, WaitFields)
        await asyncio.sleep(step.fields.duration)
        return DONE
