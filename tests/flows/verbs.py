"""Verbs as a plugin would bring them: enough of each kind to exercise every rule of the language. None of them can
run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from flows.draft import Draft
from flows.fields import (
    CalendarName,
    Condition,
    Digits,
    Duration,
    EndpointName,
    Fields,
    FilePath,
    FlowName,
    JsonSchema,
    Outcomes,
    PhoneNumber,
    SectionName,
    Steps,
    Text,
    TextFile,
    Value,
    property_types,
)
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Verb


class Base:
    name: ClassVar[str]
    summary: ClassVar[str] = "A verb of the tests."
    Fields: ClassVar[type[Fields]] = Fields
    shorthand: ClassVar[str | None] = None
    falls_through: ClassVar[bool] = True
    interactive: ClassVar[bool] = False
    needs_caller: ClassVar[bool] = True

    def outcomes(self, fields: Any) -> Outcomes:
        return Outcomes()

    def saves(self, fields: Any) -> Mapping[str, str]:
        return {}

    def sections(self, fields: Any) -> Iterable[str]:
        return ()

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        return ()


class SayFields(Fields):
    text: Text
    language: str | None = None
    loop: int = Field(1, ge=1)
    interruptible: Literal["none", "dtmf", "speech", "any"] = Field("none", description="What stops it.")


class Say(Base):
    name = "say"
    summary = "Speak a text."
    Fields = SayFields
    shorthand = "text"


class PlayFields(Fields):
    file: FilePath


class Play(Base):
    name = "play"
    Fields = PlayFields
    shorthand = "file"


class MenuFields(Fields):
    say: Text
    digits: int = 1
    timeout: Duration = 5.0


class Menu(Base):
    name = "menu"
    Fields = MenuFields
    interactive = True

    def outcomes(self, fields: Any) -> Outcomes:
        return Outcomes(good=("0", "1", "2"), bad=("no_input", "no_match"))

    def saves(self, fields: Any) -> Mapping[str, str]:
        return {"key": "string"}


class Tool(Fields):
    description: str
    input: JsonSchema | None = None
    path: Text | None = None

    @model_validator(mode="wrap")
    @classmethod
    def with_arguments(cls, value: Any, handler: ModelWrapValidatorHandler[Tool], info: ValidationInfo) -> Tool:
        if not isinstance(info.context, Draft) or not isinstance(value, Mapping):
            return handler(value)
        types = property_types(value.get("input"))
        with info.context.locals({f"input.{name}": kind for name, kind in types.items()}):
            return handler(value)


class Exit(Fields):
    description: str = ""
    requires: tuple[str, ...] = ()


class ConverseFields(Fields):
    provider: str | None = None
    greeting: Text | None = None
    prompt: Text | None = None
    prompt_file: TextFile | None = None
    silence: Duration = 8.0
    tools: dict[str, Tool] = Field(default_factory=dict)
    exits: dict[str, Exit] = Field(default_factory=dict)


class Converse(Base):
    name = "converse"
    Fields = ConverseFields
    interactive = True
    outcome_word = "exit"

    def outcomes(self, fields: Any) -> Outcomes:
        return Outcomes(good=tuple(fields.exits), bad=("silence", "max_duration", "provider_error"))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        for name, way in fields.exits.items():
            for index, required in enumerate(way.requires):
                if required not in scope.vars:
                    yield scope.problem(
                        scope.at("exits", name, "requires", index), "E301", f"unknown variable '{required}'"
                    )


class Attempt(Fields):
    ring: Literal["simultaneous", "serial"] = "simultaneous"
    targets: tuple[Text, ...] = Field(min_length=1)
    timeout: Duration = 30.0


class TransferFields(Fields):
    attempts: tuple[Attempt, ...] = Field(min_length=1)
    caller_id: PhoneNumber | None = None
    headers: dict[str, Text] = Field(default_factory=dict)


class Transfer(Base):
    name = "transfer"
    Fields = TransferFields
    interactive = True

    def outcomes(self, fields: Any) -> Outcomes:
        return Outcomes(good=("connected",), bad=("busy", "no_answer", "failed"), any_bad="failed")

    def saves(self, fields: Any) -> Mapping[str, str]:
        return {"attempts": "array"}


class RepeatFields(Fields):
    max: int = Field(ge=1)
    while_: Condition | None = Field(None, alias="while")
    steps: Steps


class Repeat(Base):
    name = "repeat"
    Fields = RepeatFields
    needs_caller = False


class Branch(Fields):
    when: Condition | None = None
    steps: Steps


class SwitchFields(Fields):
    value: Value | None = None
    cases: dict[str, Steps] = Field(default_factory=dict)
    branches: tuple[Branch, ...] = ()


class Switch(Base):
    name = "switch"
    Fields = SwitchFields
    shorthand = "branches"
    needs_caller = False


class GotoFields(Fields):
    section: SectionName


class Goto(Base):
    name = "goto"
    Fields = GotoFields
    shorthand = "section"
    falls_through = False
    needs_caller = False

    def sections(self, fields: Any) -> Iterable[str]:
        return (fields.section,)


class CallFields(Fields):
    flow: FlowName | None = None
    section: SectionName | None = None
    input: dict[str, Value] = Field(default_factory=dict)


class Call(Base):
    name = "call"
    Fields = CallFields
    needs_caller = False

    def sections(self, fields: Any) -> Iterable[str]:
        return () if fields.section is None else (fields.section,)


class HangupFields(Fields):
    result: str | None = None


class Hangup(Base):
    name = "hangup"
    Fields = HangupFields
    falls_through = False


class SetFields(Fields):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]


class Set(Base):
    name = "set"
    Fields = SetFields
    needs_caller = False


class HttpFields(Fields):
    endpoint: EndpointName
    method: Literal["GET", "POST"] = "GET"
    path: Text
    json_: Value | None = Field(None, alias="json")


class Http(Base):
    name = "http"
    takes_save = True
    Fields = HttpFields
    needs_caller = False

    def outcomes(self, fields: Any) -> Outcomes:
        return Outcomes(bad=("http_error", "timeout"))

    def saves(self, fields: Any) -> Mapping[str, str]:
        return {"status": "integer", "body": "any"}


class CheckHoursFields(Fields):
    calendar: CalendarName


class CheckHours(Base):
    name = "check_hours"
    Fields = CheckHoursFields
    shorthand = "calendar"
    needs_caller = False

    def outcomes(self, fields: Any) -> Outcomes:
        return Outcomes(good=("open", "closed", "holiday"))


class SendDigitsFields(Fields):
    digits: Digits


class SendDigits(Base):
    name = "send_dtmf"
    Fields = SendDigitsFields
    shorthand = "digits"


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Say(), Play(), Menu(), Converse(), Transfer(), Repeat(), Switch(), Goto(), Call(), Hangup(), Set(), Http(),
        CheckHours(), SendDigits(),
    )
}  # fmt: skip
