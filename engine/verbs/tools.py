"""The tools that a flow gives to a voice: what all kinds have in common (the kinds: `engine.verbs.tool_kinds`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from engine.call import Call
from engine.discretion import aloud
from engine.toolbox import FlowTool as Tool
from engine.verbs.play import SoundFields
from engine.verbs.tool_kinds import (
    FlowTool,
    HangupTool,
    HttpTool,
    KeysTool,
    PluginTool,
    SetTool,
    ToolKind,
    TransferTool,
)
from flows.draft import Draft
from flows.fields import Condition, Duration, JsonSchema, Text, property_types
from flows.problems import Misfit, MisfitError, MistakeError
from flows.verb import Fields

KINDS = ("http", "flow", "set", "send_dtmf", "plugin", "transfer", "hangup")
NO_INPUT: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class FillerFields(Fields):
    """What the caller hears while a tool runs."""

    say: Text | None = Field(None, description="Spoken by the voice.")
    play: SoundFields | None = Field(
        None, description="A sound, again and again until the tool is done or somebody speaks."
    )
    after: Duration = Field(0.8, description="Only when the tool takes longer than this.")

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        """Words or a sound."""
        if (self.say is None) == (self.play is None):
            path = () if self.play is None else ("play",)
            raise MisfitError(Misfit("while_running needs exactly one of 'say' and 'play'", path, ("say", "play")))
        return self


class ToolFields(Fields):
    """A tool: what the model is told, when it may be used, and what it does."""

    description: str = Field(description="What it does, in words for the model.")
    input: JsonSchema | None = Field(None, description="Its arguments: a JSON Schema, or just its properties.")
    when: Condition | None = Field(None, description="A bare expression: when the tool may be used.")
    max_calls: int | None = Field(None, ge=1, description="How often it may be used in this talk.")
    timeout: Duration = Field(10.0, description="How long it may take.")
    while_running: FillerFields | None = Field(None, description="What the caller hears while it runs.")
    confirm: Text | None = Field(None, description="What the caller must be asked, and agree to, before it is used.")
    http: HttpTool | None = Field(None, description="Ask an endpoint.")
    flow: FlowTool | None = Field(None, description="Run a flow that needs no caller; what it returns is the answer.")
    set: SetTool | None = Field(None, description="Give variables values; expressions see the arguments as input.")
    send_dtmf: KeysTool | None = Field(None, description="Send telephone keys to the caller's side.")
    plugin: PluginTool | None = Field(None, description="Ask a plugin (entry point hookflash.tools).")
    transfer: TransferTool | None = Field(None, description="Leave the talk and hand the call to a person.")
    hangup: HangupTool | None = Field(None, description="Leave the talk and end the call.")

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        """A tool does one thing."""
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = f"this has {' and '.join(kinds)}" if kinds else "this has none of them"
            message = f"a tool has exactly one of {', '.join(KINDS)}; {found}"
            if not kinds:
                raise MisfitError(Misfit(message, beside=KINDS))
            raise MisfitError(*(Misfit(message, (kind,), KINDS) for kind in kinds[1:]))
        return self

    @property
    def kind_name(self) -> str:
        """The key under which it says what it does."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def kind(self) -> ToolKind:
        """What it does."""
        kind: ToolKind = getattr(self, self.kind_name)
        return kind

    @model_validator(mode="wrap")
    @classmethod
    def with_arguments(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Expressions inside see the tool's own arguments as `input.…`."""
        draft = info.context
        if not isinstance(draft, Draft) or not isinstance(value, Mapping):
            return handler(value)
        if "when" in value:  # decides whether the tool is offered: there are no arguments yet
            with suppress(MistakeError):  # what is wrong with it is told when the field is read
                value = {**value, "when": Condition.read(value["when"], draft)}
        types = property_types(value.get("input"))
        with draft.locals({f"input.{name}": type for name, type in types.items()}):
            return handler(value)


def flow_tool(name: str, fields: ToolFields, call: Call) -> Tool:
    """The tool as the conversation uses it."""
    context, filler, kind = call.walker.context(), fields.while_running, fields.kind

    async def act(arguments: Mapping[str, Any]) -> Any:
        return await kind.act(call, {**call.walker.context(), "input": dict(arguments)})

    return Tool(
        name, fields.description, fields.input or JsonSchema(NO_INPUT), act, fields.timeout, fields.max_calls,
        filler=None if filler is None or filler.say is None else aloud(filler.say, call.walker),
        sound=None if filler is None or filler.play is None else partial(filler.play.audio, call),
        filler_after=0.8 if filler is None else filler.after,
        allowed=lambda: fields.when is None or fields.when.evaluate(call.walker.context()),
        confirm=None if fields.confirm is None else fields.confirm.render(context),
        leave=(lambda: kind.leave(call)) if kind.leaves else None,
    )  # fmt: skip
