"""`converse`: the AI talks with the caller, until it takes one of the exits that the flow declares."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import structlog
from pydantic import Field, model_validator

from engine.before import Before, Context, before
from engine.call import Call
from engine.comfort import patience
from engine.conversation import Conversation
from engine.discretion import aloud, on_record
from engine.outcome import Outcome
from engine.playout import Playout
from engine.succession import Seat, Succession
from engine.toolbox import FINISH, LEAVES, Collect, Exit, Toolbox
from engine.turn import FELL_SILENT, TurnOptions
from engine.verb import Verb, unknown
from engine.verbs.tools import ToolFields, flow_tool
from engine.written import needs_text_model
from flows.fields import Duration, JsonSchema, SchemaFile, Text, TextFile
from flows.flow import Step
from flows.json_schema import plain
from flows.problems import Misfit, MisfitError, Problem, Where
from flows.scope import Scope
from flows.secrets import Assignment
from flows.verb import Fields, Outcomes
from providers.voice import ALAW, ULAW, Session, Turns, VoiceError

log = structlog.get_logger()

LIMITS = ("silence", "max_duration", "provider_error")
LATE = 0.9  # seconds after `min_delay` in which a voice says that the caller's turn is over
TALKS = 5  # a model that hands over again and again shall not do so for ever
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what every provider takes


class ExitFields(Fields):
    """A way out that the model may choose."""

    description: str = Field("", description="When the model takes it, in words for the model.")
    requires: tuple[str, ...] = Field((), description="Variables that must have a value before it can be taken.")


class CollectFields(Fields):
    """Data that the model hands over when it finishes."""

    into: str = Field(description="The variable that receives it.")
    schema_: JsonSchema | None = Field(None, alias="schema", description="Its JSON Schema.")
    schema_file: SchemaFile | None = Field(None, description="A file with its JSON Schema.")

    @model_validator(mode="after")
    def one_schema(self) -> Self:
        """Exactly one schema."""
        if (self.schema_ is None) == (self.schema_file is None):
            path = () if self.schema_ is None else ("schema_file",)
            message = "collect needs exactly one of 'schema' and 'schema_file'"
            raise MisfitError(Misfit(message, path, ("schema", "schema_file")))
        return self

    @property
    def shape(self) -> JsonSchema:
        """The schema, wherever it stands."""
        if self.schema_ is not None:
            return self.schema_
        assert self.schema_file is not None
        return self.schema_file.schema


class SilenceFields(Fields):
    """What happens when nobody speaks."""

    after: Duration = Field(8.0, description="How long nobody speaks before the caller is asked.")
    reprompts: int = Field(
        2, ge=0, le=9, description="How often the caller is asked before the step ends with silence."
    )
    say: Text = Field(Text("Are you still there?"), description="What the caller is asked.")


class ConverseFields(Fields):
    """Whom the caller talks to, about what, with which tools, and how it ends."""

    provider: str | tuple[str, ...] | None = Field(
        None,
        description="The voice; or several, each taking over when the one before fails. Else the engine's default.",
    )
    model: str | dict[str, str] | None = Field(None, description="The provider's model; with several, by provider.")
    voice: str | dict[str, str] | None = Field(
        None, description="The speaker, as the provider names it; with several providers, by provider."
    )
    bridge: Text = Field(
        Text("One moment, please."), description="What the caller hears while another voice takes over."
    )
    language: str | None = Field(None, description="BCP 47, for example en-US.")
    greeting: Text | None = Field(None, description="The first words.")
    prompt: Text | None = Field(None, description="What the model is told.")
    prompt_file: TextFile | None = Field(None, description="A file with what the model is told.")
    tools: dict[str, ToolFields] = Field(default_factory=dict, description="What the model can do.")
    collect: CollectFields | None = Field(None, description="Data that the model hands over when it finishes.")
    exits: dict[str, ExitFields] = Field(default_factory=dict, description="The ways out that the model may choose.")
    context: Context = Field("continue", description="What it knows of the talk before: all, a summary, or nothing.")
    silence: SilenceFields = Field(SilenceFields(), description="What happens when nobody speaks.")
    max_duration: Duration | None = Field(None, description="How long the talk may last.")
    max_turns: int | None = Field(None, ge=1, description="How many answers the voice may give.")
    interruptible: bool = Field(True, description="Whether the caller may speak over the voice.")
    min_delay: Duration | None = Field(None, description="How long the caller must pause before the voice answers.")
    answer_within: Duration = Field(8.0, description="A voice that owes an answer for so long has failed.")
    connect_within: Duration = Field(5.0, description="A provider that cannot be reached for so long has failed.")
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What only one provider understands, by its name; taken as it is written."
    )

    @property
    def providers(self) -> tuple[str, ...]:
        """Who talks, in the order of taking over; nobody when it is left to the engine."""
        if self.provider is None:
            return ()
        return (self.provider,) if isinstance(self.provider, str) else self.provider

    def of(self, field: str | dict[str, str] | None, provider: str) -> str | None:
        """What ``model`` or ``voice`` says for a provider. A plain text is meant for the first of them."""
        if isinstance(field, dict):
            return field.get(provider)
        return field if not self.providers or provider == self.providers[0] else None

    @model_validator(mode="after")
    def whole(self) -> Self:
        """One prompt; exits do not carry the names of limits."""
        if found := list(self._misfits()):
            raise MisfitError(*found)
        return self

    def _misfits(self) -> Iterable[Misfit]:
        if self.prompt is not None and self.prompt_file is not None:
            yield Misfit("converse takes 'prompt' or 'prompt_file', not both", ("prompt_file",), ("prompt",))
        for name in self.exits:
            if name in (*LIMITS, "done", "error"):
                yield Misfit(f"an exit cannot be called '{name}': the step itself ends that way", ("exits", name))
        for name in self.tools:
            if not TOOL_NAME.fullmatch(name):
                message = f"a tool's name has letters, digits, '_' and '-' only, and '{name}' has others"
                yield Misfit(message, ("tools", name))
        if self.provider is not None and not self.providers:
            yield Misfit("'provider' is an empty list: name a voice, or leave it out", ("provider",))
        for index, name in enumerate(self.providers):
            if name in self.providers[:index]:
                yield Misfit(f"the voice '{name}' stands in 'provider' twice", ("provider", index))
        if FINISH in self.tools:
            yield Misfit("a tool cannot be called 'finish': the model leaves the step by it", ("tools", FINISH))


class Converse(Verb):
    """Its outcomes are its exits and its limits."""

    name: ClassVar[str] = "converse"
    summary: ClassVar[str] = "Let the AI talk with the caller until it takes an exit."
    Fields: ClassVar[type[Fields]] = ConverseFields
    interactive: ClassVar[bool] = True
    ends_done: ClassVar[bool] = False
    outcome_word: ClassVar[str] = "exit"
    failure: ClassVar[str | None] = "provider_error"

    def outcomes(self, fields: Any) -> Outcomes:
        """Exits are good, limits are bad."""
        return Outcomes(good=tuple(fields.exits), bad=LIMITS)

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Names of variables, and what the voice can do."""
        if fields.collect is not None and fields.collect.into not in scope.vars:
            yield unknown(scope, scope.at("collect", "into"), "variable", fields.collect.into, scope.vars)
        for name, way in fields.exits.items():
            for index, required in enumerate(way.requires):
                if required not in scope.vars:
                    yield unknown(scope, scope.at("exits", name, "requires", index), "variable", required, scope.vars)
        for name, tool in fields.tools.items():
            yield from tool.kind.check(scope, "tools", name, tool.kind_name)
            if tool.while_running is not None and tool.while_running.play is not None:
                yield from tool.while_running.play.check(scope, "tools", name, "while_running", "play")
        if fields.context == "summary":
            yield from needs_text_model(scope, scope.at("context"), "context: summary")
        for index, name in enumerate(fields.providers):
            place = scope.at("provider") if isinstance(fields.provider, str) else scope.at("provider", index)
            yield from self._check_voice(fields, scope, name, place)

    @staticmethod
    def _check_voice(fields: ConverseFields, scope: Scope, name: str, place: Where) -> Iterable[Problem]:
        if scope.voices is None:
            return
        if name not in scope.voices:
            known = [voice for voice, facts in scope.voices.items() if facts.formats]
            yield unknown(scope, place, "voice", name, known)
        elif not scope.voices[name].formats:
            yield scope.problem(place, "E203", f"the provider '{name}' has no voice; it reads and writes")
        elif (fields.exits or fields.tools) and not scope.voices[name].tools:
            message = f"the voice '{name}' calls no tools, so it can take no exit and use none"
            yield scope.problem(place, "E203", message)

    def assigns(self, fields: Any, step: Step) -> Iterable[Assignment]:
        """What its tools set and give to other flows."""
        for name, tool in fields.tools.items():
            yield from tool.kind.assigns("" if tool.input is None else f"{step.path}.{name}")

    async def run(self, step: Step, call: Call) -> Outcome:
        """Talk; a tool may leave the talk, and come back when nobody could be reached."""
        fields = step.fields
        assert isinstance(fields, ConverseFields)
        toolbox, trace = self._toolbox(step, fields, call), call.record.steps[-1]
        try:
            return await self._talks(fields, call, toolbox)
        finally:
            if toolbox.data is not None:
                trace.data["data"] = toolbox.data

    async def _talks(self, fields: ConverseFields, call: Call, toolbox: Toolbox) -> Outcome:
        greeting = None if fields.greeting is None else aloud(fields.greeting, call.walker)
        known = await before(call, fields.context)
        for _ in range(TALKS):
            outcome = await self._talk(fields, call, toolbox, greeting, known)
            if not outcome.name.startswith(LEAVES):
                return outcome
            leave = toolbox.tools[outcome.name.removeprefix(LEAVES)].leave
            assert leave is not None
            left = await leave()
            if isinstance(left, Outcome):
                return left
            greeting = left
        return Outcome("provider_error", detail=f"the voice tried {TALKS} times to hand the call over")

    async def _talk(
        self, fields: ConverseFields, call: Call, toolbox: Toolbox, greeting: str | None, known: Before
    ) -> Outcome:
        """Open the audio and the voice side by side, then talk."""
        began = asyncio.get_running_loop().time()
        context = call.walker.context()
        reprompt = aloud(fields.silence.say, call.walker)
        names = fields.providers or (call.services.default_voice,)
        told = fields.prompt or (fields.prompt_file.text if fields.prompt_file is not None else None)
        instructions = "" if told is None else told.render(context)

        def session(name: str, notes: str) -> Session:
            own = known.instructions("\n\n".join(filter(None, (instructions, notes))))
            return self._session(fields, name, own, toolbox, call, known)

        succession = Succession(call, names, session, fields.connect_within)
        bridge = asyncio.ensure_future(self._bridge(fields, call, context)) if len(names) > 1 else None
        said = len(call.record.transcript)
        try:
            playout, seat = await self._connect(call, succession)
            return await Conversation(
                call, playout, seat, succession, toolbox, self._turns(fields), greeting=greeting, reprompt=reprompt,
                bridge=bridge, waiting_since=began,
            ).run()  # fmt: skip
        except VoiceError as error:
            return Outcome("provider_error", detail=str(error))
        finally:
            succession.end()
            if bridge is not None:
                bridge.cancel()
            given = greeting, reprompt, *(tool.filler for tool in toolbox.tools.values())
            written = {on_record(text) for text in given if text}
            for spoken in call.record.transcript[said:]:
                spoken.improvised = spoken.role == "voice" and spoken.text not in written

    @staticmethod
    async def _connect(call: Call, succession: Succession) -> tuple[Playout, Seat]:
        """Both at once."""
        opening = asyncio.ensure_future(call.playout())
        try:
            async with patience(call):
                seat = await succession.first()
                return await opening, seat
        except BaseException:
            opening.cancel()
            await asyncio.shield(asyncio.gather(opening, return_exceptions=True))
            raise

    @staticmethod
    async def _bridge(fields: ConverseFields, call: Call, context: Mapping[str, Any]) -> bytes:
        """The words for the moment between two voices, ready before they are needed."""
        try:
            return await call.services.speech.audio(
                fields.bridge.render(context), call.services.law, language=fields.language, spent=call.spent
            )
        except VoiceError as error:
            log.warning("the bridge between two voices cannot be spoken", error=str(error))
        except Exception:  # a mistake in a plugin: the talk does without the words
            log.exception("the bridge between two voices failed in a way that it does not know")
        return b""

    @staticmethod
    def _session(
        fields: ConverseFields, name: str, instructions: str, toolbox: Toolbox, call: Call, known: Before
    ) -> Session:
        return Session(
            instructions=instructions,
            voice=fields.of(fields.voice, name), language=fields.language, model=fields.of(fields.model, name),
            tools=toolbox.offered(),
            format=ALAW if call.services.law == "alaw" else ULAW,
            turns=Turns(min_delay=fields.min_delay, interruptible=fields.interruptible),
            history=known.history(call),
            options=plain(fields.options.get(name, {})),
        )  # fmt: skip

    @staticmethod
    def _toolbox(step: Step, fields: ConverseFields, call: Call) -> Toolbox:
        return Toolbox(
            call,
            path=step.path,
            exits=[Exit(name, way.description, way.requires) for name, way in fields.exits.items()],
            tools={name: flow_tool(name, tool, call) for name, tool in fields.tools.items()},
            collect=None if fields.collect is None else Collect(fields.collect.into, fields.collect.shape),
        )

    @staticmethod
    def _turns(fields: ConverseFields) -> TurnOptions:
        return TurnOptions(
            silence=fields.silence.after, reprompts=fields.silence.reprompts, answer_within=fields.answer_within,
            max_duration=fields.max_duration, max_turns=fields.max_turns, allow_interruptions=fields.interruptible,
            fell_silent_after=max(FELL_SILENT, (fields.min_delay or 0.0) + LATE),
        )  # fmt: skip
