"""`answer`: take the call, at once, after some ringing, or let prompts be heard before."""

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


class AnswerFields(Fields):
    """What `answer` takes."""

    after: Duration = Field(0.0, description="How long the caller hears ringing before the call is answered.")
    early_media: bool = Field(
        False,
        description="Let prompts be heard before the answer (SIP 183), which comes with the next answer, or a step "
        "that does more than speak.",
    )


class Answer(Verb):
    """Answers and opens the audio, so that the first word comes without delay; with `early_media` it opens the audio
    alone, and the call costs nothing yet."""

    name: ClassVar[str] = "answer"
    summary: ClassVar[str] = "Answer the call, after some ringing if you like."
    Fields: ClassVar[type[Fields]] = AnswerFields
    shorthand: ClassVar[str | None] = "after"

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ring, answer, open the audio."""
        fields = step.fields
        assert isinstance(fields, AnswerFields)
        if fields.after and not call.line.is_answered:
            await call.line.ring()
            await asyncio.sleep(fields.after)
        if fields.early_media:
            await call.progress()
        await call.playout(early=fields.early_media)
        return DONE
