"""`play`: play a sound file or a prompt of `resources.yaml`."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from engine.audio import AudioError, load
from engine.call import Call
from engine.outcome import DONE, Outcome, StepError
from engine.prompting import Interruptible, prompt, synthesise
from engine.verb import Verb
from flows.fields import FilePath, PromptName
from flows.flow import Step
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

    async def run(self, step: Step, call: Call) -> Outcome:
        """Play it, as often as asked."""
        fields = step.fields
        assert isinstance(fields, PlayFields)
        audio = await self._audio(fields, call)
        for _ in range(fields.loop):
            if not await prompt(call, audio, fields.interruptible):
                return Outcome("interrupted")
        return DONE

    @staticmethod
    async def _audio(fields: PlayFields, call: Call) -> bytes:
        law = (await call.playout()).law
        known = call.library.resources.prompts[fields.prompt] if fields.prompt is not None else None
        if known is not None and known.text is not None:
            return await synthesise(call, known.text)
        path = known.path if known is not None else fields.file.path if fields.file is not None else None
        assert path is not None
        try:
            return load(path, law)
        except AudioError as error:
            raise StepError(str(error)) from error
