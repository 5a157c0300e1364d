"""`play`: play a sound file, a prompt of `resources.yaml`, or a sound of an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from engine.audio import AudioError, from_file
from engine.call import Call
from engine.comfort import patience
from engine.http import HttpFailedError, escape
from engine.leaks import leaks, whole_address
from engine.outcome import DONE, Outcome
from engine.prompting import Interruptible, prompt, synthesise
from engine.verb import Verb
from flows.addresses import instead_of, is_address
from flows.draft import Draft
from flows.fields import Duration, EndpointName, FilePath, PromptName, Text
from flows.flow import Step
from flows.problems import Misfit, MisfitError, MistakeError, Problem
from flows.reader import where_of
from flows.resources import Resources
from flows.scope import Scope
from flows.verb import Fields, Outcomes


class SoundFields(Fields):
    """A sound: a file, a prompt, or what an endpoint has."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "text": "'say' speaks a text; a text that several flows need is a prompt of resources.yaml"
    }

    file: FilePath | None = Field(None, description="A WAV (8 kHz, mono, 16 bit), .ulaw or .alaw file beside the flow.")
    prompt: PromptName | None = Field(None, description="A prompt of resources.yaml.")
    endpoint: EndpointName | None = Field(None, description="An endpoint of resources.yaml that has the sound.")
    path: Text | None = Field(None, description="The sound's path below the endpoint's address; values are escaped.")
    keep: Duration = Field(300.0, description="How long a sound of an endpoint is played again without asking.")
    voice: str | None = Field(None, description="Who speaks a prompt that is a text, as the speech provider names it.")
    language: str | None = Field(None, description="The language of a prompt that is a text, BCP 47.")

    @field_validator("file", mode="before")
    @classmethod
    def no_address(cls, value: Any, info: ValidationInfo) -> Any:
        """What is no file of ours: an address, the name of a prompt."""
        if is_address(value):
            raise MistakeError(where_of(value), "E306", f"'{value}' is an address, not a file: {instead_of(value)}")
        draft = info.context
        if isinstance(draft, Draft) and isinstance(value, str) and value.replace("-", "_").isidentifier():
            file = draft.file.parent / value
            if not file.exists():
                draft.sought.add(file)
                message = f"file '{value}': not found; a prompt of resources.yaml is played by 'prompt: {value}'"
                raise MistakeError(where_of(value), "E306", message)
        return value

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Exactly one of `file`, `prompt` and `endpoint`, and this with a `path`."""
        kinds = ("file", "prompt", "endpoint")
        given = [name for name in kinds if getattr(self, name) is not None]
        message = "play needs exactly one of 'file', 'prompt' and 'endpoint'"
        if not given:
            raise MisfitError(Misfit(message, beside=kinds))
        found = [Misfit(message, (name,), kinds) for name in given[1:]]
        if (self.endpoint is None) != (self.path is None):
            alone = "path" if self.endpoint is None else "endpoint"
            found.append(Misfit("'endpoint' and 'path' belong together", (alone,), ("endpoint", "path")))
        if found:
            raise MisfitError(*found)
        return self

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """A sound that could not be played; ``path`` leads to these fields."""
        sound = _recorded(self, scope.resources)
        try:
            if sound is not None:
                from_file(*sound, "ulaw")
        except AudioError as error:
            where = scope.at(*path, "file" if self.file is not None else "prompt")
            yield scope.problem(where, "E306", str(error))
        if self.path is not None:
            yield from leaks(scope, self.path.expressions, "in a URL")
            yield from whole_address(scope, self.path, *path, "path")

    async def audio(self, call: Call, timeout: float | None = None) -> bytes:
        """The sound in the line's law. Raises `HttpFailedError`, `AudioError`, `StepError`."""
        law = (await call.playout(early=True)).law
        if self.endpoint is not None and self.path is not None:
            endpoint = call.library.resources.endpoints[self.endpoint]
            path = self.path.render(call.walker.context(), escape)
            services = call.services
            async with patience(call):
                return await services.sounds.get(services.http, endpoint, path, law, keep=self.keep, timeout=timeout)
        sound = _recorded(self, call.library.resources)
        if sound is not None:
            return from_file(*sound, law)
        text = call.library.resources.prompts[self.prompt or ""].text or ""
        return await synthesise(call, text, voice=self.voice, language=self.language, early=True)


class PlayFields(SoundFields):
    """What `play` takes."""

    loop: int = Field(1, ge=1, le=1000, description="How often it is played.")
    interruptible: Interruptible = Field("none", description="What stops it: none, dtmf, speech or any.")


class Play(Verb):
    """Plays a recorded sound."""

    name: ClassVar[str] = "play"
    summary: ClassVar[str] = "Play a sound file or a prompt to the caller."
    Fields: ClassVar[type[Fields]] = PlayFields
    shorthand: ClassVar[str | None] = "file"

    def outcomes(self, fields: Any) -> Outcomes:
        """What lies with the flow is always there; an endpoint may fail."""
        return Outcomes(good=("interrupted",), bad=() if fields.endpoint is None else ("http_error", "timeout"))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """A sound that could not be played."""
        yield from fields.check(scope)

    async def run(self, step: Step, call: Call) -> Outcome:
        """Play it, as often as asked."""
        fields = step.fields
        assert isinstance(fields, PlayFields)
        try:
            audio = await fields.audio(call, step.timeout)
        except HttpFailedError as error:
            return Outcome(error.kind, detail=str(error))
        except AudioError as error:
            return Outcome("http_error", detail=str(error))
        for _ in range(fields.loop):
            if not await prompt(call, audio, fields.interruptible, early=True):
                return Outcome("interrupted")
        return DONE


def _recorded(fields: SoundFields, resources: Resources) -> tuple[Path, bytes] | None:
    """The sound file and its content, as they were when the flow was loaded; None for a prompt that is spoken."""
    if fields.file is not None:
        return fields.file.path, fields.file.read_bytes()
    known = resources.prompts.get(fields.prompt or "")
    return None if known is None or known.path is None else (known.path, known.content)
