"""`say`: speak a text to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from engine.call import Call
from engine.discretion import aloud
from engine.outcome import DONE, Outcome
from engine.prompting import Interruptible, prompt, synthesise
from engine.verb import Verb
from flows.fields import Text
from flows.flow import Step
from flows.verb import Fields, Outcomes


class SayFields(Fields):
    """What `say` takes."""

    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("file", "url", "prompt", "endpoint"),
        "'say' speaks a text; 'play' is for files, prompts and sounds of endpoints",
    )

    text: Text = Field(description="What is spoken; may hold ${expressions}.")
    voice: str | None = Field(None, description="The speaker, as the speech provider names it.")
    language: str | None = Field(None, description="BCP 47, for example en-US.")
    loop: int = Field(1, ge=1, le=100, description="How often it is spoken.")
    interruptible: Interruptible = Field("none", description="What stops it: none, dtmf, speech or any.")


class Say(Verb):
    """Speaks a text by the speech provider of the settings."""

    name: ClassVar[str] = "say"
    summary: ClassVar[str] = "Speak a text to the caller, to the letter."
    Fields: ClassVar[type[Fields]] = SayFields
    shorthand: ClassVar[str | None] = "text"
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=("interrupted",))

    async def run(self, step: Step, call: Call) -> Outcome:
        """Speak it, as often as asked."""
        fields = step.fields
        assert isinstance(fields, SayFields)
        text = aloud(fields.text, call.walker)
        audio = await synthesise(call, text, voice=fields.voice, language=fields.language, early=True)
        spoken = call.said("voice", text)
        for _ in range(fields.loop):
            if not await prompt(call, audio, fields.interruptible, early=True):
                spoken.interrupted = True
                return Outcome("interrupted")
        return DONE
