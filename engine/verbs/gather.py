"""`gather`: read a number that the caller types."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.call import Call
from engine.outcome import Outcome
from engine.prompting import collect, synthesise
from engine.verb import Verb
from flows.fields import Duration, Text
from flows.flow import Step
from flows.verb import Fields, Outcomes


class GatherFields(Fields):
    """What `gather` takes."""

    say: Text = Field(description="What is asked.")
    input: Literal["digits"] = Field("digits", description="How the caller answers.")
    digits: int = Field(20, ge=1, le=64, description="How many keys at most; so many end the input.")
    least: int = Field(1, ge=1, le=64, description="How many keys at least; fewer are no match.")
    finish_key: Literal["#", "*", ""] = Field("#", description="The key that ends the input; empty for none.")
    timeout: Duration = Field(5.0, description="How long to wait for the first key after the prompt.")
    inter_digit: Duration = Field(3.0, description="How long to wait for each further key.")
    retries: int = Field(1, ge=0, le=9, description="How often it is asked again.")
    sensitive: bool = Field(False, description="Never written to a log, a trace or a record.")
    voice: str | None = Field(None, description="The speaker, as the speech provider names it.")
    language: str | None = Field(None, description="BCP 47.")

    @model_validator(mode="after")
    def enough(self) -> Self:
        """`least` fits into `digits`."""
        if self.least > self.digits:
            raise ValueError(f"'least' ({self.least}) is more than 'digits' ({self.digits})")
        return self


class Gather(Verb):
    """Reads keys into ``steps.<id>.digits``."""

    name: ClassVar[str] = "gather"
    summary: ClassVar[str] = "Ask for a number and read the keys that the caller types."
    Fields: ClassVar[type[Fields]] = GatherFields
    interactive: ClassVar[bool] = True
    takes_digits: ClassVar[bool] = True
    ways_to_end: ClassVar[Outcomes] = Outcomes(bad=("no_input", "no_match"))

    def saves(self, fields: Any) -> dict[str, str]:
        """The keys, without the finishing one."""
        return {"digits": "string"}

    def keys(self, fields: Any) -> str:
        """Whatever is pressed belongs to the answer, or ends it."""
        return "0123456789*#"

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ask until enough keys came, or too often."""
        fields = step.fields
        assert isinstance(fields, GatherFields)
        text = fields.say.render(call.walker.context())
        audio = await synthesise(call, text, voice=fields.voice, language=fields.language)
        digits = ""
        for attempt in range(1 + fields.retries):
            if attempt:
                call.line.drop_digits()  # the rest of a wrong answer is no answer to the next question
            call.said("voice", text)
            digits = await collect(
                call, audio, most=fields.digits, first_within=fields.timeout, between=fields.inter_digit,
                finish=fields.finish_key,
            )  # fmt: skip
            if len(digits) >= fields.least:
                return Outcome("done", {"digits": digits})
        return Outcome("no_match" if digits else "no_input", {"digits": digits})
