"""`gather`: ask, and take what the caller types or says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.beside import first_of
from engine.call import Call
from engine.discretion import aloud
from engine.listening import Ear, Said, listening
from engine.outcome import Outcome
from engine.prompting import Interruptible, collect, key_pressed, keys, prompt, synthesise
from engine.verb import Verb, cannot_recognise
from flows.fields import Duration, Text
from flows.flow import Step
from flows.problems import Misfit, MisfitError, Problem
from flows.scope import Scope
from flows.verb import Fields, Outcomes
from providers.voice import VoiceError

ONLY_SPEECH = ("listening", "hints", "pause")


class GatherFields(Fields):
    """What `gather` takes."""

    say: Text = Field(description="What is asked.")
    input: Literal["digits", "speech", "any"] = Field(
        "digits", description="How the caller answers: by keys, by speech, or by either; what comes first counts."
    )
    digits: int = Field(20, ge=1, le=64, description="How many keys at most; so many end the input.")
    least: int = Field(1, ge=1, le=64, description="How many keys at least; fewer are no match.")
    finish_key: Literal["#", "*", ""] = Field("#", description="The key that ends the input; empty for none.")
    timeout: Duration = Field(5.0, description="How long to wait after the prompt for the first key or word.")
    inter_digit: Duration = Field(3.0, description="How long to wait for each further key.")
    pause: Duration = Field(0.8, description="How long the caller pauses when a spoken answer is over.")
    hints: tuple[Text, ...] = Field((), max_length=100, description="Words that are likely: names, products.")
    listening: str | None = Field(None, description="The voice that writes the speech down; else the engine's own.")
    interruptible: Interruptible | None = Field(
        None, description="What stops the prompt: none, dtmf, speech or any; by default whatever can answer."
    )
    retries: int = Field(1, ge=0, le=9, description="How often it is asked again.")
    sensitive: bool = Field(False, description="Never written to a log, a trace or a record.")
    voice: str | None = Field(None, description="The speaker, as the speech provider names it.")
    language: str | None = Field(None, description="BCP 47; what is spoken by both.")

    @model_validator(mode="after")
    def enough(self) -> Self:
        """`least` fits into `digits`, and nothing is said of speech where keys answer."""
        found: list[Misfit] = []
        if self.least > self.digits:
            message = f"'least' ({self.least}) is more than 'digits' ({self.digits})"
            found.append(Misfit(message, ("least",), ("digits",)))
        if self.input == "digits":
            message = "'{}' is for speech: say 'input: speech' or 'input: any'"
            useless = (name for name in ONLY_SPEECH if name in self.model_fields_set)
            found += [Misfit(message.format(name), (name,), ("input",)) for name in useless]
        if found:
            raise MisfitError(*found)
        return self

    @property
    def stops(self) -> Interruptible:
        """What stops the prompt."""
        ways: dict[str, Interruptible] = {"digits": "dtmf", "speech": "speech", "any": "any"}
        return self.interruptible or ways[self.input]


class Gather(Verb):
    """Reads keys into ``steps.<id>.digits``, speech into ``steps.<id>.text``."""

    name: ClassVar[str] = "gather"
    summary: ClassVar[str] = "Ask the caller, and take the keys that they type or the words that they say."
    Fields: ClassVar[type[Fields]] = GatherFields
    interactive: ClassVar[bool] = True

    def reads_keys(self, fields: Any) -> bool:
        """Not when the caller answers by speech alone."""
        return bool(fields.input != "speech")

    def outcomes(self, fields: Any) -> Outcomes:
        """A recogniser may fail."""
        bad = ("no_input", "no_match")
        return Outcomes(bad=bad if fields.input == "digits" else (*bad, "provider_error"))

    def saves(self, fields: Any) -> dict[str, str]:
        """The keys, without the finishing one; the words."""
        typed, said = {"digits": "string"}, {"text": "string", "confidence": "number"}
        return {"digits": typed, "speech": said, "any": {**typed, **said}}[fields.input]

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Whether the voice that is named writes speech down."""
        yield from cannot_recognise(scope, fields.listening)

    def keys(self, fields: Any) -> str:
        """Whatever is pressed belongs to the answer, or ends it; not where only speech answers."""
        return "0123456789*#" if self.reads_keys(fields) else ""

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ask until there is an answer, or too often."""
        fields = step.fields
        assert isinstance(fields, GatherFields)
        context = call.walker.context()
        text = aloud(fields.say, call.walker)
        hints = [hint.render(context) for hint in fields.hints]
        audio = await synthesise(call, text, voice=fields.voice, language=fields.language)
        outcome = Outcome()
        for attempt in range(1 + fields.retries):
            if attempt:
                call.line.drop_digits()  # the rest of a wrong answer is no answer to the next question
            call.said("voice", text)
            if fields.input == "digits":
                digits = await collect(
                    call, audio, most=fields.digits, first_within=fields.timeout, between=fields.inter_digit,
                    finish=fields.finish_key, interruptible=fields.stops,
                )  # fmt: skip
                outcome = _typed(fields, digits)
            else:
                outcome = await _by_speech(fields, call, audio, hints)
            if outcome.name in ("done", "provider_error"):
                break
        return outcome


async def _by_speech(fields: GatherFields, call: Call, audio: bytes, hints: list[str]) -> Outcome:
    """Ask once, and take what comes first: words, or keys where they count."""
    async with listening(call, provider=fields.listening, language=fields.language, hints=hints) as ear:
        try:
            if fields.input == "speech" and ear.failure is not None:
                raise ear.failure  # who cannot be heard need not be asked
            if fields.stops in ("speech", "any"):
                ear.hear()
            await prompt(call, audio, fields.stops, ear.begun)
            ear.hear()
            said = await (_said(fields, ear) if fields.input == "speech" else _said_before_a_key(fields, call, ear))
        except VoiceError as error:
            # Whoever would press a key may still do so: the prompt has asked for it.
            digits = "" if fields.input == "speech" else await _keys(fields, call, fields.timeout)
            failed = Outcome("provider_error", detail=f"speech is not recognised: {error}")
            return _typed(fields, digits) if digits else failed
    if isinstance(said, Said):
        return _spoken(fields, call, said)
    return _typed(fields, await _keys(fields, call, fields.inter_digit)) if said else Outcome("no_input")


async def _said(fields: GatherFields, ear: Ear) -> Said | None:
    return await ear.answer(fields.timeout, fields.pause)


async def _said_before_a_key(fields: GatherFields, call: Call, ear: Ear) -> Said | Literal["key"] | None:
    answers: list[Said | None] = []

    async def listen() -> None:
        answers.append(await _said(fields, ear))

    first = await first_of(key_pressed(call), listen())
    return answers[0] if first else "key"


async def _keys(fields: GatherFields, call: Call, within: float) -> str:
    return await keys(
        call, most=fields.digits, first_within=within, between=fields.inter_digit, finish=fields.finish_key
    )


def _typed(fields: GatherFields, digits: str) -> Outcome:
    name = "done" if len(digits) >= fields.least else "no_match" if digits else "no_input"
    return Outcome(name, {"digits": digits})


def _spoken(fields: GatherFields, call: Call, said: Said) -> Outcome:
    if not said.text:
        return Outcome("no_match", detail="the caller spoke, and was not understood")
    if not fields.sensitive:
        call.said("caller", said.text)
    call.walker.heard_caller()
    return Outcome("done", {"text": said.text, "confidence": said.confidence})
