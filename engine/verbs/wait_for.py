"""`wait_for`: wait until the caller presses a key or speaks."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.prompting import speech_heard
from engine.verb import Verb
from flows.fields import Duration
from flows.flow import Step
from flows.verb import Fields, Outcomes


class WaitForFields(Fields):
    """What, and how long."""

    event: Literal["dtmf", "speech"] = Field(description="What is waited for: dtmf (any key) or speech.")
    timeout: Duration = Field(10.0, description="How long to wait.")


class WaitFor(Verb):
    """Takes one key (``steps.<id>.key``), or notices that the caller has begun to speak, by energy."""

    name: ClassVar[str] = "wait_for"
    summary: ClassVar[str] = "Wait until the caller presses a key or speaks."
    Fields: ClassVar[type[Fields]] = WaitForFields
    shorthand: ClassVar[str | None] = "event"
    interactive: ClassVar[bool] = True
    ways_to_end: ClassVar[Outcomes] = Outcomes(bad=("timeout",))

    def reads_keys(self, fields: Any) -> bool:
        """A key is this step's own only when it waits for one."""
        return bool(fields.event == "dtmf")

    def saves(self, fields: Any) -> dict[str, str]:
        """The key."""
        return {"key": "string"} if fields.event == "dtmf" else {}

    async def run(self, step: Step, call: Call) -> Outcome:
        """Wait; a key that was pressed before counts."""
        fields = step.fields
        assert isinstance(fields, WaitForFields)
        try:
            async with asyncio.timeout(fields.timeout):
                if fields.event == "dtmf":
                    return Outcome("done", {"key": await call.line.digit()})
                await speech_heard(await call.playout())
                return DONE
        except TimeoutError:
            return Outcome("timeout", detail=f"nothing within {fields.timeout:g} s")
