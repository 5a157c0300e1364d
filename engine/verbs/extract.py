"""`extract`: take data out of what was said, or out of a text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from engine.call import Call
from engine.comfort import patience
from engine.extraction import Extracted, extract
from engine.outcome import DONE, Outcome, StepError
from engine.text import talk
from engine.values import fits
from engine.verb import Verb, unknown
from engine.written import needs_text_model
from flows.fields import JsonSchema, SchemaFile, Text
from flows.flow import Step
from flows.problems import Misfit, MisfitError, Problem
from flows.scope import Scope
from flows.secrets import Assignment
from flows.verb import Fields, Outcomes
from providers.voice import VoiceError

TRANSCRIPT: Final = "transcript"
WITHIN: Final = 10.0  # seconds for the whole step, when it has no timeout of its own


class ExtractFields(Fields):
    """Where the data is, what it looks like, and which variable receives it."""

    from_: str = Field(TRANSCRIPT, alias="from", description="'transcript', the talk so far, or a variable's name.")
    schema_: JsonSchema | None = Field(None, alias="schema", description="The JSON Schema of what is looked for.")
    schema_file: SchemaFile | None = Field(None, description="A file with that JSON Schema.")
    into: str = Field(description="The variable that receives it.")
    prompt: Text | None = Field(None, description="What to look for, in words for the model.")

    @model_validator(mode="after")
    def one_schema(self) -> Self:
        """Exactly one schema."""
        if (self.schema_ is None) == (self.schema_file is None):
            path = () if self.schema_ is None else ("schema_file",)
            message = "extract needs exactly one of 'schema' and 'schema_file'"
            raise MisfitError(Misfit(message, path, ("schema", "schema_file")))
        return self

    @property
    def shape(self) -> JsonSchema:
        """The schema, wherever it stands."""
        if self.schema_ is not None:
            return self.schema_
        assert self.schema_file is not None
        return self.schema_file.schema


class Extract(Verb):
    """A text model reads; what it answers is checked by the schema before the flow sees it."""

    name: ClassVar[str] = "extract"
    summary: ClassVar[str] = "Take data out of what was said, or out of a text, by a text model."
    Fields: ClassVar[type[Fields]] = ExtractFields
    needs_caller: ClassVar[bool] = False
    failure: ClassVar[str | None] = "provider_error"
    ways_to_end: ClassVar[Outcomes] = Outcomes(bad=("not_found", "provider_error"))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Names and types of variables, secrets that would lose their mask, and somebody who writes."""
        into, source = scope.vars.get(fields.into), scope.vars.get(fields.from_)
        if into is None:
            yield unknown(scope, scope.at("into"), "variable", fields.into, scope.vars)
        elif not fits(fields.shape.type, into.type):
            message = f"vars.{fields.into} is declared as {into.type}, but the schema describes {fields.shape.type}"
            yield scope.problem(scope.at("into"), "E301", message)
        if fields.from_ != TRANSCRIPT:
            if source is None:
                yield unknown(scope, scope.at("from"), "variable", fields.from_, [*scope.vars, TRANSCRIPT])
            elif source.sensitive and into is not None and not into.sensitive:
                message = f"vars.{fields.from_} is sensitive, so vars.{fields.into} must be, too"
                yield scope.problem(scope.at("into"), "E203", message)
        yield from needs_text_model(scope, scope.at(), self.name)

    def assigns(self, fields: Any, step: Step) -> Iterable[Assignment]:
        """What was in a text may be in what is taken out of it."""
        if fields.from_ != TRANSCRIPT:
            yield Assignment(f"vars.{fields.into}", f"vars.{fields.from_}")

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ask the model, at most twice, within the step's time."""
        fields = step.fields
        assert isinstance(fields, ExtractFields)
        within = WITHIN if step.timeout is None else step.timeout
        try:
            async with asyncio.timeout(within), patience(call):
                extracted = await self._ask(fields, call, within)
        except VoiceError as error:
            return Outcome("provider_error", detail=str(error))
        except TimeoutError:
            return Outcome("provider_error", detail=f"the text model took over {within:g} s")
        if extracted.missing:
            return Outcome("not_found", detail=extracted.missing)
        try:
            call.walker.set(fields.into, extracted.value)
        except StepError as error:
            return Outcome("not_found", detail=str(error))
        return DONE

    @staticmethod
    async def _ask(fields: ExtractFields, call: Call, within: float) -> Extracted:
        context = call.walker.context()
        wanted = "" if fields.prompt is None else fields.prompt.render(context)
        text: Any = call.walker.vars.get(fields.from_)
        if fields.from_ == TRANSCRIPT:
            text = talk(call)
        if not text:
            return Extracted(missing="there is nothing to read")
        return await extract(call, text, fields.shape, wanted, within)
