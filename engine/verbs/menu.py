"""`menu`: a spoken choice, answered with one key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field

from engine.call import Call
from engine.discretion import aloud
from engine.outcome import Outcome
from engine.prompting import collect, synthesise
from engine.verb import Verb
from flows.fields import Duration, Text
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Fields, Outcomes

KEYS = tuple("0123456789*#")


class MenuFields(Fields):
    """What `menu` takes."""

    say: Text = Field(description="The choice, as it is spoken.")
    digits: int = Field(1, ge=1, le=1, description="How many keys a choice has.")
    timeout: Duration = Field(5.0, description="How long to wait for a key after the prompt.")
    retries: int = Field(1, ge=0, le=9, description="How often the prompt is repeated when no valid key came.")
    voice: str | None = Field(None, description="The speaker, as the speech provider names it.")
    language: str | None = Field(None, description="BCP 47.")


class Menu(Verb):
    """Its outcomes are the keys; a key that the step does not handle is no match."""

    name: ClassVar[str] = "menu"
    summary: ClassVar[str] = "Let the caller choose by a key."
    Fields: ClassVar[type[Fields]] = MenuFields
    interactive: ClassVar[bool] = True
    takes_digits: ClassVar[bool] = True
    ends_done: ClassVar[bool] = False
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=KEYS, bad=("no_input", "no_match"))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """A choice of nothing."""
        if scope.step.outcomes.keys() <= {"no_input", "no_match"}:
            message = (
                "no outcome of this menu is a key, so every key is a 'no_match': name the keys, such as '\"1\": […]'"
            )
            yield scope.problem(scope.step.where, "W407", message)

    async def run(self, step: Step, call: Call) -> Outcome:
        """Speak the choice until a valid key was pressed, or too often."""
        fields = step.fields
        assert isinstance(fields, MenuFields)
        text = aloud(fields.say, call.walker)
        audio = await synthesise(call, text, voice=fields.voice, language=fields.language)
        outcome = "no_input"
        for attempt in range(1 + fields.retries):
            if attempt:
                call.line.drop_digits()  # the rest of a wrong answer is no answer to the next question
            call.said("voice", text)
            key = await collect(call, audio, most=1, first_within=fields.timeout)
            outcome = key if key in step.outcomes else "no_match" if key else "no_input"
            if key in step.outcomes:
                break
        return Outcome(outcome, {"key": key})

    def saves(self, fields: Any) -> dict[str, str]:
        """The key that was pressed last."""
        return {"key": "string"}
