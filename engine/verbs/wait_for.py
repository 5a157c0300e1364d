"""`wait_for`: wait for the caller (a key, a word), a machine (its beep), or the world outside (a webhook)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import structlog
from pydantic import Field, model_validator

from engine.audio import AudioError
from engine.beside import first_of
from engine.call import Call
from engine.comfort import Sound, again_and_again, keep_company
from engine.http import HttpFailedError
from engine.inbox import Source
from engine.machine import beep
from engine.outcome import Outcome, StepError
from engine.prompting import speech_heard
from engine.values import fit
from engine.verb import Verb
from engine.verbs.play import SoundFields
from flows.fields import Duration, JsonSchema
from flows.flow import Step
from flows.problems import Misfit, MisfitError, Problem
from flows.scope import Scope
from flows.verb import Fields, Outcomes

log = structlog.get_logger()

OUTSIDE: Mapping[str, Source] = {"webhook": "webhook", "supervisor": "supervisor"}


class WaitForFields(Fields):
    """What, and how long."""

    event: Literal["dtmf", "speech", "beep", "webhook", "supervisor"] = Field(
        description="What is waited for: dtmf (any key), speech, the beep of a machine, webhook (an event that the "
        "company posts) or supervisor (one that a person at the console sends)."
    )
    timeout: Duration = Field(10.0, description="How long to wait.")
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Which webhook or supervisor event, such as payment."
    )
    schema_: JsonSchema | None = Field(
        None, alias="schema", description="What the event's data must be; others are refused."
    )
    caller_hears: Sound = Field("music", description="What the caller hears meanwhile: music or ringback.")
    play: SoundFields | None = Field(None, description="A sound that the caller hears instead, again and again.")

    @model_validator(mode="after")
    def of_its_kind(self) -> Self:
        """An event from outside has a name; what the caller or a machine does has none, and is heard in silence."""
        if self.event in OUTSIDE and self.name is None:
            message = f"the {self.event} event needs a 'name', such as payment"
            raise MisfitError(Misfit(message, beside=("name", "event")))
        given = [key.rstrip("_") for key in ("name", "schema_", "caller_hears", "play") if key in self.model_fields_set]
        if self.event not in OUTSIDE and given:
            message = f"'{{}}' belongs to webhook and supervisor events, not to {self.event}"
            raise MisfitError(*(Misfit(message.format(key), (key,), ("event",)) for key in given))
        return self


class WaitFor(Verb):
    """Takes one key (``steps.<id>.key``), or notices that the caller has begun to speak, by energy, or the
    beep after which an answering machine records; or takes what somebody outside tells the call
    (``steps.<id>.event``), while the caller hears music."""

    name: ClassVar[str] = "wait_for"
    summary: ClassVar[str] = "Wait for a key, for speech, for a machine's beep, or for an event from outside."
    Fields: ClassVar[type[Fields]] = WaitForFields
    takes_save: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "event"
    interactive: ClassVar[bool] = True
    ways_to_end: ClassVar[Outcomes] = Outcomes(bad=("timeout",))

    def reads_keys(self, fields: Any) -> bool:
        """A key is this step's own only when it waits for one."""
        return bool(fields.event == "dtmf")

    def keys(self, fields: Any) -> str:
        """Any key, when it waits for one."""
        return "0123456789*#" if fields.event == "dtmf" else ""

    def saves(self, fields: Any) -> dict[str, str]:
        """The key, or the event's data."""
        if fields.event in OUTSIDE:
            return {"event": "any" if fields.schema_ is None else fields.schema_.type}
        return {"key": "string"} if fields.event == "dtmf" else {}

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """`save` that nothing fills, and a sound that cannot be played."""
        if fields.play is not None:
            yield from fields.play.check(scope, "play")
        if scope.step.save and fields.event not in OUTSIDE:
            message = f"'save' takes the data of webhook and supervisor events; {fields.event} has none"
            yield scope.problem(scope.step.where, "E203", message)

    async def run(self, step: Step, call: Call) -> Outcome:
        """Wait; a key that was pressed before counts, and an event that came before, too."""
        fields = step.fields
        assert isinstance(fields, WaitForFields)
        try:
            async with asyncio.timeout(fields.timeout):
                if fields.event in OUTSIDE:
                    return await _told(step, fields, call)
                if fields.event == "dtmf":
                    key = await call.line.digit()
                    call.pressed(key)
                    return Outcome("done", {"key": key})
                playout = await call.playout()
                await (beep(playout) if fields.event == "beep" else speech_heard(playout))
                return Outcome(detail=fields.event)
        except TimeoutError:
            return Outcome("timeout", detail=f"nothing within {fields.timeout:g} s")


async def _told(step: Step, fields: WaitForFields, call: Call) -> Outcome:
    """The event, while the caller is kept company; one that is there already makes no sound."""
    source, name, fits = OUTSIDE[fields.event], fields.name or "", _fits(step, fields.schema_)
    dropped = call.inbox.dropped
    taken = call.inbox.kept(source, name, fits)
    if call.inbox.dropped > dropped:
        log.warning("events that came early do not fit", name=name, count=call.inbox.dropped - dropped)

    async def take() -> None:
        taken.append(await call.inbox.take(source, name, fits))

    async def company() -> None:
        playout = await call.playout()
        try:
            sound = None if fields.play is None else await fields.play.audio(call)
        except (AudioError, HttpFailedError, StepError) as error:
            log.warning("the sound cannot be played, the caller hears music", error=str(error))
            sound = None
        await (again_and_again(playout, sound) if sound else keep_company(playout, fields.caller_hears))

    if not taken:
        await first_of(take(), company())
    data = taken[0]
    return Outcome("done", {"event": data, **_saved(step, data)})


def _fits(step: Step, schema: JsonSchema | None) -> Callable[[Any], Sequence[str]]:
    """What is wrong with an event's data: its schema, and what `save` names."""

    def wrong(data: Any) -> Sequence[str]:
        if schema is not None and (errors := schema.errors(data)):
            return errors
        try:
            _saved(step, data)
        except StepError as error:
            return [str(error)]
        return []

    return wrong


def _saved(step: Step, data: Any) -> dict[str, Any]:
    """What `save` names, with its types. Raises `StepError`."""
    given = data if isinstance(data, Mapping) else {}
    missing = [name for name in step.save if name not in given]
    if missing:
        raise StepError(f"the event has no {', '.join(missing)}")
    return {name: fit(given[name], type, name) for name, type in step.save.items()}
