"""`sms`: send a text message through the company's own gateway."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from engine.call import Call
from engine.comfort import patience
from engine.errands import without_waiting
from engine.http import HttpFailedError, escape
from engine.leaks import leaks, whole_address
from engine.outcome import Outcome, StepError
from engine.requests import ask
from engine.verb import Verb, unknown
from flows.fields import EndpointName, Text
from flows.flow import Step
from flows.problems import Problem, Where, has
from flows.resources import Resources
from flows.scope import Scope
from flows.targets import GROUP, number_of
from flows.verb import Fields, Outcomes

USUAL = "sms"  # the endpoint of a step that names none
LONGEST = 1600  # characters: ten messages in one, which is what gateways take
ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
Recipients = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda given: given if isinstance(given, list | tuple) else (given,)),
    WithJsonSchema(ONE_OR_MORE),
]


class SmsFields(Fields):
    """What is sent, and to whom."""

    to: Recipients = Field(
        min_length=1,
        max_length=20,
        description='Numbers such as "+14155550100" (or with tel:), destinations with a tel: target, or group:NAME.',
    )
    text: Text = Field(description="The message, 1600 characters at most; may hold ${expressions}.")
    endpoint: EndpointName | None = Field(
        None, description="The gateway: an endpoint of resources.yaml; sms if absent."
    )
    path: Text = Field(Text(""), description="Below the gateway's address, when that is not the address itself.")
    wait: bool = Field(True, description="Whether the flow waits until the gateway has taken the messages.")


class Sms(Verb):
    """Posts ``{id, to, text, call, flow}`` for every recipient, all at once."""

    name: ClassVar[str] = "sms"
    summary: ClassVar[str] = "Send a text message through a gateway of the company."
    Fields: ClassVar[type[Fields]] = SmsFields
    needs_caller: ClassVar[bool] = False
    failure: ClassVar[str | None] = "http_error"

    def outcomes(self, fields: Any) -> Outcomes:
        """Who does not wait does not learn how it went."""
        return Outcomes(bad=("http_error", "timeout")) if fields.wait else Outcomes()

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """The gateway, the recipients, and secrets that would leave."""
        endpoints = scope.resources.endpoints
        if fields.endpoint is None and USUAL not in endpoints:
            message = f"there is no endpoint '{USUAL}'; say which with 'endpoint'{has(endpoints)}"
            yield scope.problem(scope.step.where, "E302", message)
        for index, recipient in enumerate(fields.to):
            if recipient.literal is not None:
                yield from recipient_problems(recipient.literal, scope, scope.at("to", index))
        recipients = (expression for recipient in fields.to for expression in recipient.expressions)
        yield from leaks(scope, (*recipients, *fields.text.expressions, *fields.path.expressions), "by SMS")
        yield from whole_address(scope, fields.path, "path")

    def saves(self, fields: Any) -> dict[str, str]:
        """How many messages the gateway took, and the numbers whose message it did not."""
        return {"sent": "integer", "unsent": "array"} if fields.wait else {}

    async def run(self, step: Step, call: Call) -> Outcome:
        """Send them, and wait until the gateway has taken or refused each."""
        fields = step.fields
        assert isinstance(fields, SmsFields)
        context = call.walker.context()
        text = fields.text.render(context)
        if not text.strip() or len(text) > LONGEST:
            raise StepError(f"a message has 1 to {LONGEST} characters, and this one has {len(text)}")
        numbers = numbers_of([one.render(context) for one in fields.to], call.library.resources)
        endpoint = fields.endpoint or USUAL
        sending = _send_all(call, step, endpoint, fields.path.render(context, escape), numbers, text)
        if not fields.wait:
            return without_waiting(call, sending, f"sms at {step.path}")
        async with patience(call):
            return await sending


async def _send_all(call: Call, step: Step, endpoint: str, path: str, numbers: Sequence[str], text: str) -> Outcome:
    """All at once; what the gateway did not take is told."""
    flow = call.walker.flow.name
    async with asyncio.TaskGroup() as group:
        sending = {n: group.create_task(send_one(call, step, flow, endpoint, path, n, text)) for n in numbers}
    failed = {number: failure for number, task in sending.items() if (failure := task.result()) is not None}
    data = {"sent": len(numbers) - len(failed), "unsent": list(failed)}
    if not failed:
        return Outcome("done", data)
    kinds = {failure.kind for failure in failed.values()}
    words = f"{len(failed)} of {len(numbers)} not taken: {next(iter(failed.values()))}"
    return Outcome(kinds.pop() if len(kinds) == 1 else "http_error", data, words)


async def send_one(
    call: Call, step: Step, flow: str, endpoint: str, path: str, number: str, text: str
) -> HttpFailedError | None:
    """One message. The same words to the same number at the same step have the same id, so that a gateway that knows
    idempotency keys sends them once, however often the step is retried."""
    digest = hashlib.sha256("\0".join((flow, step.path, number, text)).encode()).hexdigest()
    key = f"{call.record.id}-{digest[:16]}"
    body = {"id": key, "to": number, "text": text, "call": call.record.id, "flow": flow}
    try:
        await ask(call, endpoint, "POST", path, json=body, timeout=step.timeout, idempotency_key=key, step=step)
    except HttpFailedError as error:
        return error
    return None


def recipient_problems(written: str, scope: Scope, where: Where) -> Iterable[Problem]:
    """Why nothing can be sent to a recipient as the flow writes it."""
    if number_of(written) is not None:
        return
    if written.startswith(GROUP):
        yield from _group_problems(written.removeprefix(GROUP), scope, where)
    elif ":" in written:
        message = f'\'{written}\' is no telephone number: write it as "+14155550100" or "tel:+14155550100"'
        yield scope.problem(where, "E203", message)
    elif written not in scope.resources.destinations:
        yield unknown(scope, where, "destination", written, scope.resources.destinations)
    elif _number(written, scope.resources) is None:
        message = f"the destination '{written}' is no telephone number: its target must begin with tel:"
        yield scope.problem(where, "E203", message)


def _group_problems(name: str, scope: Scope, where: Where) -> Iterable[Problem]:
    groups = scope.resources.groups
    if name not in groups:
        yield unknown(scope, where, "group", name, groups)
    for member in groups.get(name, ()):
        if _number(member, scope.resources) is None:
            message = f"'{member}' of the group '{name}' is no telephone number"
            yield scope.problem(where, "E203", message)


def numbers_of(written: Iterable[str], resources: Resources) -> list[str]:
    """The numbers that are meant, each once. Raises `StepError`."""
    found: dict[str, None] = {}
    for one in written:
        group = resources.groups.get(one.removeprefix(GROUP)) if one.startswith(GROUP) else (one,)
        for member in group or ():
            number = _number(member, resources)
            if number is None:
                raise StepError(f"{member!r} is neither a number such as +14155550100 nor a destination that is one")
            found[number] = None
        if group is None:
            raise StepError(f"there is no group {one.removeprefix(GROUP)!r} in resources.yaml")
    return list(found)


def _number(written: str, resources: Resources) -> str | None:
    """The number that is meant; None when there is none."""
    destination = resources.destinations.get(written)
    return number_of(written if destination is None else destination.target)
