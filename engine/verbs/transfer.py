"""`transfer`: hand the call to a person."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from asterisk.facts import LineError
from asterisk.targets import MAX_HEADERS, caller_id, header
from engine.brief import summary
from engine.call import Call
from engine.callee import Accept
from engine.company import Comfort, capability
from engine.handoff import Before, Plan, Round, hand_off, stay_connected
from engine.leaks import leaks
from engine.outcome import Outcome, StepError, Stop
from engine.step_time import done_in_time
from engine.verb import Verb, unknown
from engine.whom import dialled
from engine.written import needs_text_model
from flows.draft import Draft
from flows.fields import Duration, Steps, Text
from flows.flow import Step, walk
from flows.problems import Misfit, MisfitError, Problem, Where
from flows.scope import Scope
from flows.targets import GROUP, KINDS, NUMBER, mistake_in
from flows.verb import Fields, Outcomes

UNREACHED = ("no_answer", "busy", "declined", "machine", "unavailable", "failed", "timeout")
KEYS = re.compile(r"[0-9A-Da-d*#wW]{1,64}")
WHAT_CAN = "after the answer go 1 to 64 of 0-9, *, #, A-D and w"
Key = Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#"]


class AcceptFields(Fields):
    """How a person who answered takes the call."""

    digit: Key = Field("1", description="The key that takes the call; the first who presses it has it.")
    decline: Key | None = Field(None, description="The key that declines it.")
    say: Text | None = Field(None, description="What the person is asked; may use ${brief.text}.")
    timeout: Duration = Field(15.0, description="How long each person has, from their own answer.")

    @model_validator(mode="wrap")
    @classmethod
    def with_the_brief(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Expressions inside see the brief."""
        if not isinstance(info.context, Draft):
            return handler(value)
        with info.context.locals({"brief.text": "string"}):
            return handler(value)

    @model_validator(mode="after")
    def two_keys(self) -> Self:
        """Each key means one thing."""
        if self.digit == self.decline:
            message = "one key cannot both take the call and decline it"
            raise MisfitError(Misfit(message, ("decline",), ("digit",)))
        return self


class BriefFields(Fields):
    """What the person is told before they hear the caller, who does not hear it."""

    text: Text | None = Field(None, description="The words.")
    auto: bool = Field(False, description="A text model tells the talk so far in two sentences.")
    max: Duration = Field(12.0, description="It is cut off after this time.")

    @model_validator(mode="after")
    def something(self) -> Self:
        """Either the flow or a model says it."""
        if (self.text is None) != self.auto:
            path = ("auto",) if self.auto else ()
            raise MisfitError(Misfit("brief takes either 'text' or 'auto: true'", path, ("text", "auto")))
        return self


class AttemptFields(Fields):
    """Targets that are rung together or one after the other."""

    ring: Literal["simultaneous", "serial"] = Field("simultaneous", description="All at once, or one by one.")
    targets: tuple[Text, ...] = Field(
        min_length=1,
        description="pjsip:NAME, pjsip:NUMBER@TRUNK, tel:+NUMBER, teams:USER@DOMAIN, a destination, or group:NAME.",
    )
    timeout: Duration = Field(30.0, description="How long to ring: all together, or each one when serial.")
    accept: AcceptFields | None = Field(None, description="As for the whole transfer, for these targets.")
    machine: Literal["accept", "reject"] = Field(
        "accept", description="Whether an answering machine may take the call; to find out takes up to 3 s."
    )
    before: Steps = Field((), description="Steps that run before it rings, such as a text message to the targets.")


class TransferFields(Fields):
    """Whom to ring, and what the caller hears meanwhile."""

    mode: Literal["attended"] = Field("attended", description="The caller stays with us until a person answers.")
    attempts: tuple[AttemptFields, ...] = Field(min_length=1, description="Tried in order until somebody answers.")
    timeout: Duration | None = Field(None, description="How long all attempts may take together.")
    accept: AcceptFields | None = Field(None, description="The call is for who presses a key, not for who answers.")
    brief: BriefFields | None = Field(None, description="What the person is told before they hear the caller.")
    dtmf_after_answer: Text | None = Field(
        None, description="Keys sent to whoever answers, such as an extension; each w is a pause of 0.5 s."
    )
    caller_hears: Comfort = Field(
        "ringback", description="Who keeps the caller company while it rings: ringback, music, or ai, a voice."
    )
    headers: dict[str, Text] = Field(
        default_factory=dict, description="SIP headers for the target, such as User-to-User."
    )
    caller_id: Text | None = Field(None, description="The number that the target sees; the caller's own when absent.")
    after_callee_hangup: Literal["stop", "continue"] = Field(
        "stop", description="When the person hangs up: end the call, or go on with the flow."
    )


class Transfer(Verb):
    """Rings until a person answers, connects them, and stays out of the way until one of them hangs up."""

    name: ClassVar[str] = "transfer"
    summary: ClassVar[str] = "Hand the call to a person, or to the next who answers."
    Fields: ClassVar[type[Fields]] = TransferFields
    interactive: ClassVar[bool] = True
    ends_done: ClassVar[bool] = False
    failure: ClassVar[str | None] = "failed"
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=("connected",), bad=UNREACHED, any_bad="failed")

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """A target that is no target must be a destination."""
        return self.check_targets(fields, scope)

    @staticmethod
    def check_targets(fields: TransferFields, scope: Scope, *path: str) -> Iterable[Problem]:
        """The same for fields that stand under a path of the step's."""
        yield from _invite(fields, scope, *path)
        rung = [target for attempt in fields.attempts for target in attempt.targets]
        sent = [fields.caller_id, *fields.headers.values(), *rung]
        read = (expression for text in sent if text is not None for expression in text.expressions)
        yield from leaks(scope, read, "with a transfer")
        keys = None if fields.dtmf_after_answer is None else fields.dtmf_after_answer.literal
        if keys and not KEYS.fullmatch(keys):
            yield scope.problem(scope.at(*path, "dtmf_after_answer"), "E203", f"{keys!r} cannot be sent: {WHAT_CAN}")
        if fields.caller_hears == "ai":
            yield from capability(scope, scope.at(*path, "caller_hears"))
        if fields.brief is not None and fields.brief.auto:
            yield from needs_text_model(scope, scope.at(*path, "brief", "auto"), "brief: {auto: true}")
        for index, attempt in enumerate(fields.attempts):
            for place, target in enumerate(attempt.targets):
                where = scope.at(*path, "attempts", index, "targets", place)
                yield from _target(scope, where, target)
            for step in walk(attempt.before):
                if step.verb.interactive or not step.verb.falls_through:
                    message = f"'{step.verb.name}' cannot run before an attempt: it waits for the caller or leaves"
                    yield scope.problem(step.where, "E308", message)

    def saves(self, fields: Any) -> dict[str, str]:
        """Every attempt with its SIP status."""
        return {"attempts": "array"}

    async def run(self, step: Step, call: Call) -> Outcome:
        """Ring, connect, wait for the end of the talk."""
        fields = step.fields
        assert isinstance(fields, TransferFields)
        return await self.hand_over(fields, call, step.id or step.path, step.outcomes.get("connected", ()))

    async def hand_over(self, fields: TransferFields, call: Call, step: str, then: Sequence[Step]) -> Outcome:
        """Ring, connect, wait for the end of the talk; ``then`` are the steps behind a talk that ends the call."""
        result = await hand_off(call, self._plan(fields, call), step)
        data = {"attempts": [self._attempt(attempt) for attempt in result.attempts]}
        if result.leg is None:
            return Outcome(result.status, data, ", ".join(f"{a.target}: {a.status}" for a in result.attempts))
        await stay_connected(call, result.leg)
        if fields.after_callee_hangup == "stop":
            done_in_time()
            await call.walker.run_steps(then)
            raise Stop(by="target")
        call.handed_off = False
        return Outcome("connected", data)

    def _plan(self, fields: TransferFields, call: Call) -> Plan:
        context = call.walker.context()
        return Plan(
            rounds=[
                Round(
                    tuple(self._targets([text.render(context) for text in rung.targets], call)),
                    rung.ring, rung.timeout, self._accept(rung.accept or fields.accept, call), rung.machine,
                    self._before(rung.before, call),
                )
                for rung in fields.attempts
            ],
            timeout=fields.timeout,
            caller_hears=fields.caller_hears,
            headers={name: value.render(context) for name, value in fields.headers.items()},
            caller_id=None if fields.caller_id is None else fields.caller_id.render(context),
            dialling=call.library.resources.dialling,
            dtmf_after_answer=self._keys(fields, context),
            brief=None if fields.brief is None else self._brief(fields.brief, call),
            brief_max=BriefFields.model_fields["max"].default if fields.brief is None else fields.brief.max,
        )  # fmt: skip

    @staticmethod
    def _before(steps: Sequence[Step], call: Call) -> Before | None:
        if not steps:
            return None
        walker = call.walker
        return Before(lambda: walker.run_steps(steps), aloud=any(step.verb.needs_caller for step in walk(tuple(steps))))

    @staticmethod
    def _accept(fields: AcceptFields | None, call: Call) -> Accept | None:
        if fields is None:
            return None
        context = call.walker.context()

        def say(brief: str) -> str:
            if fields.say is not None:
                return fields.say.render({**context, "brief": {"text": brief}})
            declines = "" if fields.decline is None else f" Press {fields.decline} to decline it."
            return f"You have a call. Press {fields.digit} to accept it.{declines}"

        return Accept(say, fields.digit, fields.decline, fields.timeout)

    @staticmethod
    def _brief(fields: BriefFields, call: Call) -> Callable[[], Awaitable[str]]:
        if fields.text is None:
            return lambda: summary(call)
        text = fields.text.render(call.walker.context())

        async def written() -> str:
            return text

        return written

    @staticmethod
    def _keys(fields: TransferFields, context: Mapping[str, Any]) -> str:
        keys = "" if fields.dtmf_after_answer is None else fields.dtmf_after_answer.render(context)
        if keys and not KEYS.fullmatch(keys):
            raise StepError(f"these keys cannot be sent: {WHAT_CAN}")  # which ones may be a secret
        return keys

    @staticmethod
    def _targets(written: Iterable[str], call: Call) -> Iterable[str]:
        return dialled(written, call.library.resources)

    @staticmethod
    def _attempt(attempt: Any) -> dict[str, Any]:
        return {
            "target": attempt.target, "status": attempt.status, "sip_code": attempt.sip_code, "q850": attempt.q850,
            "ring_ms": attempt.ring_ms, "reason": attempt.reason,
        }  # fmt: skip


def _target(scope: Scope, where: Where, text: Text) -> Iterable[Problem]:
    """What is neither a target, nor a number, nor the name of a destination or a group, or may not be dialled."""
    name, resources = text.literal, scope.resources
    if name is None:
        if mistake := _scheme(text):
            yield scope.problem(where, "E203", mistake)
    elif name.startswith(GROUP):
        if name.removeprefix(GROUP) not in resources.groups:
            yield unknown(scope, where, "group", name.removeprefix(GROUP), resources.groups)
        for member in resources.groups.get(name.removeprefix(GROUP), ()):
            yield from _refused(scope, where, member)
    elif ":" in name and (mistake := mistake_in(name)):
        yield scope.problem(where, "E203", mistake)
    elif ":" not in name and not NUMBER.fullmatch(name) and name not in resources.destinations:
        yield unknown(scope, where, "destination", name, resources.destinations)
    else:
        yield from _refused(scope, where, name)


def _scheme(text: Text) -> str:
    """What is wrong with the kind of a target whose rest is an expression."""
    beginning = text.parts[0] if text.parts and isinstance(text.parts[0], str) else ""
    scheme, colon, _ = beginning.partition(":")
    return mistake_in(beginning) if colon and scheme not in (*KINDS, GROUP.removesuffix(":")) else ""


def _refused(scope: Scope, where: Where, name: str) -> Iterable[Problem]:
    destination = scope.resources.destinations.get(name)
    if refusal := scope.resources.dialling.refusal(name if destination is None else destination.target):
        yield scope.problem(where, "E310", refusal)


def _invite(fields: TransferFields, scope: Scope, *path: str) -> Iterable[Problem]:
    """Headers and a caller id that the line would refuse; of those that are expressions the names alone are known."""
    if len(fields.headers) > MAX_HEADERS:
        message = f"{len(fields.headers)} headers are too many: an INVITE takes {MAX_HEADERS} of ours"
        yield scope.problem(scope.at(*path, "headers"), "E203", message)
    for name, value in fields.headers.items():
        where = scope.key(*path, "headers", name)
        try:
            header(name, "")
            where = scope.at(*path, "headers", name)
            header(name, value.literal or "")
        except LineError as error:
            yield scope.problem(where, "E203", str(error))
    try:
        if fields.caller_id is not None and fields.caller_id.literal is not None:
            caller_id(fields.caller_id.literal)
    except LineError as error:
        yield scope.problem(scope.at(*path, "caller_id"), "E203", str(error))
