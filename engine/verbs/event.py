"""`event`: tell the company's webhook that something happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field

from engine.call import Call
from engine.comfort import patience
from engine.errands import without_waiting
from engine.http import HttpFailedError, escape
from engine.leaks import leaks, whole_address
from engine.outcome import Outcome
from engine.requests import ask
from engine.verb import Verb
from flows.fields import EndpointName, Text, Value
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Fields, Outcomes


class EventFields(Fields):
    """What happened, and whom to tell."""

    endpoint: EndpointName = Field(description="An endpoint of resources.yaml: the webhook.")
    name: Text = Field(description="What happened, such as order.placed.")
    json_: Value | None = Field(None, alias="json", description="More about it; the event's 'data'.")
    path: Text = Field(
        Text(""), description="Below the endpoint's address, when the webhook is not the address itself."
    )
    wait: bool = Field(True, description="Whether the flow waits until the webhook has taken it.")


class Event(Verb):
    """Posts ``{id, event, at, flow, call, data}``. The id makes it safe to send it again, and it is sent again when
    the webhook cannot be reached or answers 502 to 504, within the endpoint's time."""

    name: ClassVar[str] = "event"
    summary: ClassVar[str] = "Tell a webhook of the company that something happened."
    Fields: ClassVar[type[Fields]] = EventFields
    needs_caller: ClassVar[bool] = False
    failure: ClassVar[str | None] = "http_error"

    def outcomes(self, fields: Any) -> Outcomes:
        """Who does not wait does not learn how it went."""
        return Outcomes(bad=("http_error", "timeout")) if fields.wait else Outcomes()

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Secrets that would leave."""
        data = () if fields.json_ is None else fields.json_.expressions
        yield from leaks(scope, (*fields.name.expressions, *fields.path.expressions, *data), "with an event")
        yield from whole_address(scope, fields.path, "path")

    def saves(self, fields: Any) -> dict[str, str]:
        """The webhook's status."""
        return {"status": "integer"} if fields.wait else {}

    async def run(self, step: Step, call: Call) -> Outcome:
        """Tell it, and wait until it was taken."""
        fields = step.fields
        assert isinstance(fields, EventFields)
        context = call.walker.context()
        number = next((n for n, one in enumerate(call.record.steps, 1) if one is call.walker.trace), 0)
        key = f"{call.record.id}-{number}"
        facts = call.line.facts
        body = {
            "id": key,
            "event": fields.name.render(context),
            "at": call.services.clock.now(),
            "flow": call.walker.flow.name,
            "call": {"id": facts.id, "direction": facts.direction, "did": facts.did, "caller": facts.caller,
                     "trunk": facts.trunk, "started": call.record.started},
            "data": None if fields.json_ is None else fields.json_.evaluate(context),
        }  # fmt: skip
        path = fields.path.render(context, escape)

        async def tell() -> Outcome:
            try:
                reply = await ask(
                    call, fields.endpoint, "POST", path, json=body, timeout=step.timeout, idempotency_key=key, step=step
                )  # fmt: skip
            except HttpFailedError as error:
                return Outcome(error.kind, {"status": error.status}, str(error))
            return Outcome("done", {"status": reply.status})

        if not fields.wait:
            return without_waiting(call, tell(), f"event {key}")
        async with patience(call):
            return await tell()
