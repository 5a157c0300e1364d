"""`record`: keep the call as a sound file."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.call import Call
from engine.discretion import aloud
from engine.outcome import DONE, Outcome
from engine.prompting import prompt, synthesise
from engine.record import StepTrace
from engine.recording import Recording, new_file
from engine.verb import Verb
from flows.fields import Text
from flows.flow import Step
from flows.problems import Misfit, MisfitError
from flows.verb import Fields

NOTHING_RUNS = "nothing is being recorded"


class RecordFields(Fields):
    """What to do."""

    action: Literal["start", "stop", "pause", "resume"] = Field(description="start, stop, pause or resume.")
    channels: Literal[1, 2] = Field(2, description="2: the caller left, the engine right; 1: both in one.")
    announce: Text | None = Field(None, description="What the caller is told before the recording begins.")

    @model_validator(mode="after")
    def for_a_start(self) -> Self:
        """How it is recorded is said where it begins."""
        useless = [name for name in ("channels", "announce") if name in self.model_fields_set]
        if self.action != "start" and useless:
            message = f"'{{}}' belongs to start, not to {self.action}"
            raise MisfitError(*(Misfit(message.format(name), (name,), ("action",)) for name in useless))
        return self


class Record(Verb):
    """Both sides from the first `start` on: ``steps.<id>.file``. A call has one recording at a time; one that nobody
    stops ends with the call."""

    name: ClassVar[str] = "record"
    summary: ClassVar[str] = "Record what the caller and the engine say."
    Fields: ClassVar[type[Fields]] = RecordFields
    shorthand: ClassVar[str | None] = "action"

    def saves(self, fields: Any) -> dict[str, str]:
        """Where it is kept."""
        return {"file": "string"} if fields.action == "start" else {}

    async def run(self, step: Step, call: Call) -> Outcome:
        """Do it; what was done already is no mistake."""
        fields = step.fields
        assert isinstance(fields, RecordFields)
        recording = call.recording
        runs = recording is not None and not recording.over.is_set()
        if fields.action == "start":
            if recording is None or not runs:
                recording = await _start(call, fields)
            recording.resume()
            return Outcome("done", {"file": str(recording.path)})
        if recording is None or not runs:
            return Outcome(detail=NOTHING_RUNS)
        if fields.action == "stop":
            await recording.stop()
        elif fields.action == "pause":
            recording.pause()
        else:
            recording.resume()
        return DONE


async def _start(call: Call, fields: RecordFields) -> Recording:
    """Begin, beside whatever the flow does next; what announces it is not in it."""
    law = (await call.playout()).law
    if fields.announce is not None:
        text = aloud(fields.announce, call.walker)
        audio = await synthesise(call, text)
        call.said("voice", text)
        await prompt(call, audio, "none")
    folder = call.services.storage / "recordings"
    path = new_file(folder, call.services.clock.now(), call.record.id, len(call.record.steps))
    recording = Recording(path, law, asyncio.get_running_loop().time, fields.channels)
    call.recording = recording
    call.tap(recording)
    call.beside(_keep(call, recording, call.record.steps[-1]), f"recording {call.record.id}")
    return recording


async def _keep(call: Call, recording: Recording, trace: StepTrace) -> None:
    """Write it, and note in the record what became of it."""
    before = len(call.record.attempts)
    try:
        await recording.run()
    finally:
        call.untap(recording)
        trace.detail = recording.error or f"{recording.seconds:.1f} s in {recording.path}"
        if any(attempt.status == "answered" for attempt in call.record.attempts[before:]):
            trace.detail += "; without the talk with a person, whose audio does not pass the engine"
