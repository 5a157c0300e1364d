"""`http`: ask an endpoint of the company."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.call import Call
from engine.comfort import patience
from engine.errands import without_waiting
from engine.http import HttpFailedError, escape
from engine.leaks import leaks, whole_address
from engine.outcome import Outcome
from engine.requests import ask
from engine.values import fit
from engine.verb import Verb
from flows.fields import EndpointName, Text, Value
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Fields, Outcomes

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class HttpFields(Fields):
    """A request to a named endpoint."""

    endpoint: EndpointName = Field(description="An endpoint of resources.yaml.")
    method: Method = Field("GET", description="GET, POST, PUT, PATCH or DELETE.")
    path: Text = Field(description="Path and query below the endpoint's address; values are escaped.")
    json_: Value | None = Field(None, alias="json", description="The body.")
    headers: dict[str, Text] = Field(default_factory=dict, description="Further headers.")
    idempotency_key: Text | None = Field(None, description="Makes it safe to repeat the request.")
    wait: bool = Field(True, description="Whether the flow waits for the answer.")


class Http(Verb):
    """The answer's status and body are in ``steps.<id>``; ``save`` names fields of a JSON body with their types. Who
    does not wait learns neither."""

    name: ClassVar[str] = "http"
    summary: ClassVar[str] = "Ask an endpoint of the company and keep its answer."
    Fields: ClassVar[type[Fields]] = HttpFields
    takes_save: ClassVar[bool] = True
    needs_caller: ClassVar[bool] = False
    failure: ClassVar[str | None] = "http_error"

    def outcomes(self, fields: Any) -> Outcomes:
        """Who does not wait does not learn how it went."""
        return Outcomes(bad=("http_error", "timeout")) if fields.wait else Outcomes()

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Secrets in a URL or a header, which proxies and servers write into their logs; a body is for the endpoint
        alone."""
        yield from leaks(scope, fields.path.expressions, "in a URL")
        sent = [*fields.headers.values(), *([] if fields.idempotency_key is None else [fields.idempotency_key])]
        yield from leaks(scope, (expression for text in sent for expression in text.expressions), "in a header")
        yield from whole_address(scope, fields.path, "path")
        if scope.step.save and not fields.wait:
            yield scope.problem(scope.at("wait"), "E203", "who does not wait for the answer has nothing to 'save'")

    def saves(self, fields: Any) -> dict[str, str]:
        """Status and body."""
        return {"status": "integer", "body": "any"} if fields.wait else {}

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ask, and take from the answer what `save` names."""
        fields = step.fields
        assert isinstance(fields, HttpFields)
        context, key = call.walker.context(), fields.idempotency_key
        asking = _ask(
            call, step, fields.endpoint, fields.method, fields.path.render(context, escape),
            None if fields.json_ is None else fields.json_.evaluate(context),
            {name: value.render(context) for name, value in fields.headers.items()},
            None if key is None else key.render(context),
        )  # fmt: skip
        if not fields.wait:
            return without_waiting(call, asking, f"http at {step.path}")
        async with patience(call):
            return await asking


async def _ask(
    call: Call, step: Step, endpoint: str, method: str, path: str, body: Any, headers: Mapping[str, str],
    key: str | None,
) -> Outcome:  # fmt: skip
    try:
        reply = await ask(
            call, endpoint, method, path, json=body, headers=headers, timeout=step.timeout, idempotency_key=key,
            keeps=step.save, step=step,
        )  # fmt: skip
    except HttpFailedError as error:
        return Outcome(error.kind, {"status": error.status}, str(error))
    given = reply.body if isinstance(reply.body, Mapping) else {}
    missing = [name for name in step.save if name not in given]
    if missing:
        return Outcome("http_error", {"status": reply.status}, f"the answer has no {', '.join(missing)}")
    saved = {name: fit(given[name], type, name) for name, type in step.save.items()}
    return Outcome("done", {"status": reply.status, "body": reply.body, **saved})
