"""`detect_machine`: is it a person who answered?"""

from __future__ import annotations

from typing import ClassVar, Literal

import structlog
from pydantic import Field

from engine.call import Call
from engine.line import LineError, LineGone
from engine.machine import detect
from engine.outcome import Outcome
from engine.verb import Verb
from flows.fields import Duration
from flows.flow import Step
from flows.verb import Fields, Outcomes

log = structlog.get_logger()


class DetectMachineFields(Fields):
    """What tells a machine."""

    engine: Literal["speech", "asterisk"] = Field(
        "speech", description="Who listens: Hookflash (speech), or Asterisk's own AMD (asterisk)."
    )
    max_words: int = Field(6, ge=1, le=50, description="Whoever says more words than this in one go is a machine.")
    timeout: Duration = Field(4.0, description="How long to listen.")


class DetectMachine(Verb):
    """Listens to the first words of whoever answered, and says nothing meanwhile."""

    name: ClassVar[str] = "detect_machine"
    summary: ClassVar[str] = "Tell a person from an answering machine by the first words."
    Fields: ClassVar[type[Fields]] = DetectMachineFields
    interactive: ClassVar[bool] = True
    ends_done: ClassVar[bool] = False
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=("human", "machine", "unknown"))

    async def run(self, step: Step, call: Call) -> Outcome:
        """Listen. An Asterisk that cannot tell is one more reason not to know."""
        fields = step.fields
        assert isinstance(fields, DetectMachineFields)
        if fields.engine == "asterisk":
            await call.answer()
            try:
                return Outcome(await call.line.detect_machine(timeout=fields.timeout, max_words=fields.max_words))
            except LineGone:
                raise
            except LineError as error:
                log.warning("Asterisk cannot tell who answered", error=str(error))
                return Outcome("unknown", detail=str(error))
        return Outcome(await detect(await call.playout(), timeout=fields.timeout, max_words=fields.max_words))
