"""`play`: play a sound file or a prompt of `resources.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from engine.audio import AudioError, from_file
from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.prompting import Interruptible, prompt, synthesise
from engine.verb import Verb
from flows.fields import FilePath, PromptName
from flows.flow import Step
from flows.problems import Problem
from flows.resources import Resources
from flows.scope import Scope
from flows.verb import Fields, Outcomes


class PlayFields(Fields):
    """What `play` takes: a file or a prompt."""

    file: FilePath | None = Field(None, description="A WAV (8 kHz, mono, 16 bit), .ulaw or .alaw file beside the flow.")
    prompt: PromptName | None = Field(None, description="A prompt of resources.yaml.")
    loop: int = Field(1, ge=1, le=1000, description="How often it is played.")
    interruptible: Interruptible = Field("none", description="What stops it: none, dtmf, speech or any.")

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Exactly one of `file` and `prompt`."""
        if (self.file is None) == (self.prompt is None):
            raise ValueError("play needs exactly one of 'file' and 'prompt'")
        return self


class Play(Verb):
    """Plays a recorded sound."""

    name: ClassVar[str] = "play"
    summary: ClassVar[str] = "Play a sound file or a prompt to the caller."
    Fields: ClassVar[type[Fields]] = PlayFields
    shorthand: ClassVar[str | None] = "file"
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=("interrupted",))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """A sound that could not be played."""
        sound = _recorded(fields, scope.resources)
        try:
            if sound is not None:
                from_file(*sound, "ulaw")
        except AudioError as error:
            yield scope.problem(scope.at("file" if fields.file is not None else "prompt"), "E306", str(error))

    async def run(self, step: Step, call: Call) -> Outcome:
        """Play it, as often as asked."""
        fields = step.fields
        assert isinstance(fields, PlayFields)
        sound = _recorded(fields, call.library.resources)
        if sound is not None:
            audio = from_file(*sound, (await call.playout()).law)
        else:
            spoken = call.library.resources.prompts[fields.prompt or ""].text
            audio = await synthesise(call, spoken or "")
        for _ in range(fields.loop):
            if not await prompt(call, audio, fields.interruptible):
                return Outcome("interrupted")
        return DONE


def _recorded(fields: PlayFields, resources: Resources) -> tuple[Path, bytes] | None:
    """The sound file and its content, as they were when the flow was loaded; None for a prompt that is spoken."""
    if fields.file is not None:
        return fields.file.path, fields.file.read_bytes()
    known = resources.prompts.get(fields.prompt or "")
    return None if known is None or known.path is None else (known.path, known.content)
