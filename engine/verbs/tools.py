"""The tools that a flow gives to a voice: their fields, and how each kind acts. A kind is one function here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from engine.call import Call
from engine.http import escape
from engine.toolbox import FlowTool
from flows.draft import Draft
from flows.fields import Condition, Duration, EndpointName, JsonSchema, Text, Value, property_types
from flows.verb import Fields

NO_INPUT: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class FillerFields(Fields):
    """What the caller hears while a tool runs."""

    say: Text = Field(description="Spoken by the voice.")
    after: Duration = Field(0.8, description="Only when the tool takes longer than this.")


class HttpToolFields(Fields):
    """A request to a named endpoint; the answer's body is the tool's answer."""

    endpoint: EndpointName = Field(description="An endpoint of resources.yaml.")
    method: str = Field("GET", pattern="^(GET|POST|PUT|PATCH|DELETE)$", description="GET, POST, PUT, PATCH or DELETE.")
    path: Text = Field(description="Path and query below the endpoint's address; values are escaped.")
    json_: Value | None = Field(None, alias="json", description="The body.")
    timeout: Duration | None = Field(None, description="How long the endpoint may take.")


class ToolFields(Fields):
    """A tool: what the model is told, when it may be used, and what it does."""

    description: str = Field(description="What it does, in words for the model.")
    input: JsonSchema | None = Field(None, description="Its arguments: a JSON Schema, or just its properties.")
    when: Condition | None = Field(None, description="A bare expression: when the tool may be used.")
    max_calls: int | None = Field(None, ge=1, description="How often it may be used in this talk.")
    timeout: Duration = Field(10.0, description="How long it may take.")
    while_running: FillerFields | None = Field(None, description="What the caller hears while it runs.")
    http: HttpToolFields = Field(description="Ask an endpoint.")

    @model_validator(mode="wrap")
    @classmethod
    def with_arguments(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Expressions inside see the tool's own arguments as `input.…`."""
        draft = info.context
        if not isinstance(draft, Draft) or not isinstance(value, Mapping):
            return handler(value)
        if "when" in value:  # decides whether the tool is offered: there are no arguments yet
            value = {**value, "when": Condition.read(value["when"], draft)}
        types = property_types(value.get("input"))
        with draft.locals({f"input.{name}": type for name, type in types.items()}):
            return handler(value)


def flow_tool(name: str, fields: ToolFields, call: Call) -> FlowTool:
    """The tool as the conversation uses it."""

    def context(arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {**call.walker.context(), "input": dict(arguments)}

    async def ask(arguments: Mapping[str, Any]) -> Any:
        http, given = fields.http, context(arguments)
        reply = await call.services.http.request(
            call.library.resources.endpoints[http.endpoint], http.method, http.path.render(given, escape),
            json=None if http.json_ is None else http.json_.evaluate(given), timeout=http.timeout,
        )  # fmt: skip
        return reply.body

    filler = fields.while_running
    return FlowTool(
        name, fields.description, fields.input or JsonSchema(NO_INPUT), ask, fields.timeout, fields.max_calls,
        filler=None if filler is None else filler.say.render(call.walker.context()),
        filler_after=0.8 if filler is None else filler.after,
        allowed=lambda: fields.when is None or fields.when.evaluate(call.walker.context()),
    )  # fmt: skip
