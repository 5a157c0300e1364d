"""`wait_for`: wait until the caller presses a key or speaks, or a machine beeps."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.call import Call
from engine.machine import beep
from engine.outcome import Outcome
from engine.prompting import speech_heard
from engine.verb import Verb
from flows.fields import Duration
from flows.flow import Step
from flows.verb import Fields, Outcomes


class WaitForFields(Fields):
    """What, and how long."""

    event: Literal["dtmf", "speech", "beep"] = Field(
        description="What is waited for: dtmf (any key), speech, or the beep of a machine."
    )
    timeout: Duration = Field(10.0, description="How long to wait.")


class WaitFor(Verb):
    """Takes one key (``steps.<id>.key``), or notices that the caller has begun to speak, by energy, or the
    beep after which an answering machine records."""

    name: ClassVar[str] = "wait_for"
    summary: ClassVar[str] = "Wait until the caller presses a key or speaks, or a machine beeps."
    Fields: ClassVar[type[Fields]] = WaitForFields
    shorthand: ClassVar[str | None] = "event"
    interactive: ClassVar[bool] = True
    ways_to_end: ClassVar[Outcomes] = Outcomes(bad=("timeout",))

    def reads_keys(self, fields: Any) -> bool:
        """A key is this step's own only when it waits for one."""
        return bool(fields.event == "dtmf")

    def keys(self, fields: Any) -> str:
        """Any key, when it waits for one."""
        return "0123456789*#" if fields.event == "dtmf" else ""

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
                    key = await call.line.digit()
                    call.pressed(key)
                    return Outcome("done", {"key": key})
                playout = await call.playout()
                await (beep(playout) if fields.event == "beep" else speech_heard(playout))
                return Outcome(detail=fields.event)
        except TimeoutError:
            return Outcome("timeout", detail=f"nothing within {fields.timeout:g} s")
