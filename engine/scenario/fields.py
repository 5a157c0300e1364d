"""What stands in a ``*.test.yaml``: the keys of a test, of its script and of what it expects. Unknown ones are errors.

Values that only the flow knows (steps, exits, endpoints) are checked in `engine.scenario.names`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from engine.inbox import Source
from engine.scenario.values import Asked, Moment, TargetAnswers
from flows.fields import Digits, Duration
from flows.problems import NOWHERE, Misfit, MisfitError, MistakeError, Where, did_you_mean
from flows.reader import Map, Seq, where_of
from flows.verb import Fields

WITHIN = 600.0  # seconds on the telephone in which what is expected must happen
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
HangsUp = Literal["caller", "flow", "target", "engine"]
DialledStatus = Literal[
    "answered", "no_answer", "busy", "declined", "unavailable", "failed", "impossible", "cancelled", "connected"
]


class Placed(Fields):
    """Fields that know where they were written."""

    _where: Where = PrivateAttr(NOWHERE)

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(value)
        made._where = where_of(value)
        return made

    @property
    def where(self) -> Where:
        """Its place in the file."""
        return self._where


def one_of(*kinds: str) -> Callable[[Any], Any]:
    """A check that exactly one of these keys is there."""

    def check(value: Any) -> Any:
        if isinstance(value, Map) and (len(given := [kind for kind in kinds if kind in value]) != 1):
            unknown = [key for key in value if key not in kinds]
            near = did_you_mean(unknown[0], kinds) if unknown and not given else ""
            found = f"this has {' and '.join(given)}" if given else f"this has none of them{near}"
            message = f"exactly one of {', '.join(kinds)} must stand here; {found}"
            if given:
                raise MisfitError(*(Misfit(message, (kind,), kinds, "E204") for kind in given[1:]))
            raise MistakeError(value.key_at[unknown[0]] if near else value.where, "E204", message)
        if isinstance(value, Map) and value[given[0]] is None:
            raise MistakeError(value.key_at[given[0]], "E203", f"'{given[0]}' has no value")
        return value

    return check


class CallerFields(Fields):
    """Who calls."""

    number: str = Field("+14155550199", description='E.164; "" when it is withheld.')
    name: str = ""


class GivenFields(Fields):
    """What is so when the call comes in."""

    now: Moment | None = Field(None, description="Date and time, with the zone; else a Monday, 9:00 UTC.")
    caller: CallerFields = CallerFields()
    did: str = Field("+14155550100", description="The number that was called.")
    headers: dict[str, str] = Field(default_factory=dict, description="SIP headers of the call.")
    vars: dict[str, Any] = Field(default_factory=dict, description="Values of the flow's variables, not its defaults.")
    input: dict[str, Any] = Field(default_factory=dict, description="The flow's input.")


class RequestFields(Fields):
    """Which requests are meant; what is left out fits any. ``path`` may end with ``*``."""

    endpoint: str | None = None
    method: Method | None = None
    path: str | None = None

    def fits(self, endpoint: str, method: str, path: str) -> bool:
        """Whether this request is meant."""
        if self.path is not None and self.path.endswith("*"):
            fits = path.startswith(self.path[:-1])
        else:
            fits = self.path in (None, path)
        return fits and self.endpoint in (None, endpoint) and self.method in (None, method)


class AnswerFields(Fields):
    """What an endpoint answers. The first that fits a request counts."""

    match: RequestFields = RequestFields()
    json_: Any = Field(None, alias="json", description="The body.")
    status: int = Field(200, ge=100, le=599, description="The HTTP status; from 300 on the request has failed.")
    delay: Duration = Field(0.0, description="How long it takes.")
    timeout: bool = Field(False, description="It never answers.")
    times: int | None = Field(
        None, ge=1, description="Fits so many requests; after them the next one that fits counts."
    )


class WordsFields(Fields):
    """Words in what somebody said; upper and lower case are the same."""

    contains: str | None = None
    matches: str | None = Field(None, description="A regular expression.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"contains": value}
        if isinstance(value, Map) and not value:
            raise MistakeError(value.where, "E202", "words need 'contains' or 'matches'")
        if isinstance(value, Map) and isinstance(pattern := value.get("matches"), str):
            try:
                re.compile(pattern)
            except re.error as error:
                message = f"'matches' is not a regular expression: {error}"
                raise MistakeError(value.value_at["matches"], "E203", message) from error
        return value

    def fit(self, text: str) -> bool:
        """Whether this was said."""
        if self.contains is not None and self.contains.casefold() not in text.casefold():
            return False
        return self.matches is None or re.search(self.matches, text, re.IGNORECASE) is not None


class WrittenFields(Fields):
    """What the text model answers (`extract`, briefs, summaries). The first that fits what it is asked counts."""

    match: WordsFields | None = Field(None, description="Words in what it is asked: prompt, schema and text.")
    answer: str | None = Field(None, description="Its words, as they are.")
    json_: Any = Field(None, alias="json", description="The data that `extract` finds.")
    not_found: Literal[True] | None = Field(None, description="What `extract` looks for is not there.")
    fails: Literal[True] | None = Field(None, description="The provider fails.")
    delay: Duration = Field(0.0, description="How long it takes.")
    times: int | None = Field(
        None, ge=1, description="Fits so many questions; after them the next one that fits counts."
    )

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, Map):
            kinds = ("answer", "json", "not_found", "fails")
            meant = Map(value.where, value.path)
            for key in value:
                if key in kinds:
                    meant.put(key, value[key], value.key_at[key], value.value_at[key])
            one_of(*kinds)(meant)
        return value


class MocksFields(Fields):
    """What stands in for the world outside."""

    http: tuple[AnswerFields, ...] = ()
    targets: dict[str, TargetAnswers] = Field(default_factory=dict, description="By target or destination.")
    text: tuple[WrittenFields, ...] = ()
    voice: Literal["works", "unreachable"] = Field("works", description="Whether the AI can be reached.")


class ElapsedFields(Fields):
    """How long it took, on the telephone's clock."""

    min: Duration = 0.0
    max: Duration = float("inf")


class HttpExpected(RequestFields):
    """A request; of ``json`` what stands here must be in its body."""

    json_: Any = Field(None, alias="json")


class TransferExpected(Fields):
    """Somebody is rung, and what becomes of it."""

    target: str
    status: DialledStatus | None = None


class HangupExpected(Fields):
    """The call ends."""

    by: HangsUp | None = None
    result: str | None = Field(None, description="The flow's own word (`hangup: {result: …}`).")
    outcome: Literal["completed", "caller_hung_up", "handed_off", "failed"] | None = None


class ExpectFields(Placed):
    """One thing that must happen next."""

    step: str | None = Field(None, description="The id or the verb of a step.")
    outcome: str | None = Field(None, description="How that step ends; else it is enough that it begins.")
    elapsed: ElapsedFields | None = Field(None, description="How long the step, or the call, took.")
    says: WordsFields | None = Field(None, description="What the caller hears.")
    http: HttpExpected | None = None
    transfer: TransferExpected | None = None
    hangup: HangupExpected | None = None
    vars: dict[str, Any] | None = Field(None, description="Variables of the flow that have these values.")
    within: Duration = Field(WITHIN, description="How long it may take to come.")

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        one_of("step", "says", "http", "transfer", "hangup", "vars")(value)
        if isinstance(value, Map):
            if "outcome" in value and "step" not in value:
                raise MistakeError(value.key_at["outcome"], "E202", "'outcome' needs the 'step' that ends so")
            if "elapsed" in value and not {"step", "hangup"} & set(value):
                raise MistakeError(value.key_at["elapsed"], "E202", "'elapsed' needs a 'step' or a 'hangup'")
        return value


class NeverFields(Placed):
    """One thing that may not happen at any moment of the call."""

    step: str | None = None
    outcome: str | None = None
    says: WordsFields | None = None
    http: HttpExpected | None = None
    transfer: TransferExpected | None = None
    hangup_by: HangsUp | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        one_of("step", "says", "http", "transfer", "hangup_by")(value)
        if isinstance(value, Map) and "outcome" in value and "step" not in value:
            raise MistakeError(value.key_at["outcome"], "E202", "'outcome' needs the 'step' that ends so")
        return value


class AlwaysFields(Placed):
    """What holds for the whole call."""

    never: NeverFields


class ReplyFields(Fields):
    """What the AI does when the caller has spoken: uses tools, says something, then takes an exit or breaks down."""

    tools: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Tools in order, with their arguments.")
    says: str = Field("", description="What it says.")
    exit: str | None = Field(None, description="The exit that it takes.")
    data: Any = Field(None, description="The data that it hands over with the exit.")
    fails: bool = Field(False, description="The AI breaks down.")

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, Map):
            if "data" in value and "exit" not in value:
                raise MistakeError(value.key_at["data"], "E202", "'data' is handed over with an 'exit'")
            if "exit" in value and value.get("fails"):
                raise MistakeError(value.key_at["fails"], "E204", "an AI that breaks down takes no exit")
        return value


class EventFields(Fields):
    """Somebody outside tells the call that something happened."""

    name: str = Field(description="Which event, as `wait_for` names it.")
    data: Any = Field(None, description="Its data; of a webhook, the body that is posted.")
    source: Source = Field("webhook", alias="from", description="Who sends it: webhook or supervisor.")


class NothingFields(Fields):
    """``{}``."""


class ItemFields(Placed):
    """One line of the script."""

    expect: ExpectFields | None = None
    caller: str | None = Field(None, min_length=1, description="What the caller says, when the AI listens.")
    converse: ReplyFields | None = Field(None, description="What the AI does then.")
    says: str | None = Field(None, min_length=1, description="What is said into the line, whoever listens, or nobody.")
    beeps: NothingFields | None = Field(None, description="An answering machine beeps.")
    press: Digits | None = Field(None, description="Keys that the caller presses.")
    silence: Duration | None = Field(None, description="The caller does nothing for so long.")
    event: EventFields | None = Field(None, description="Somebody outside tells the call of an event.")
    costs: float | None = Field(None, gt=0, description="The call costs so much more.")
    hangs_up: NothingFields | None = Field(None, description="The caller hangs up.")

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        one_of("expect", "caller", "says", "beeps", "press", "silence", "event", "costs", "hangs_up")(value)
        if isinstance(value, Map) and "converse" in value and "caller" not in value:
            message = "'converse' says what the AI does when the caller has spoken: it stands beside 'caller'"
            raise MistakeError(value.key_at["converse"], "E202", message)
        return value


class SimulateFields(Placed):
    """A model plays the caller."""

    brief: str = Field(min_length=1, description="Who the caller is, and what they know and want: You are …")
    goal: str = Field("", description="What they want to reach; then they say goodbye and hang up.")
    max_turns: int = Field(12, ge=1, le=40, description="How often the caller may act; more fails the test.")


class ScenarioFields(Placed):
    """One test."""

    test: str = Field(min_length=1, description="What it shows, in a few words.")
    flow: str = Field(description="The flow that answers.")
    given: GivenFields = GivenFields()
    mocks: MocksFields = MocksFields()
    script: tuple[ItemFields, ...] = ()
    simulate: SimulateFields | None = Field(None, description="In place of a script: a model plays the caller.")
    must: tuple[ExpectFields, ...] = Field((), description="What must have happened when a simulated call is over.")
    judge: tuple[Asked, ...] = Field((), description="What a model is asked of a simulated call: sentences.")
    always: tuple[AlwaysFields, ...] = ()
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _one_caller(cls, value: Any) -> Any:
        if not isinstance(value, Map):
            return value
        if "simulate" not in value:
            if alone := [key for key in ("must", "judge") if key in value]:
                raise MistakeError(value.key_at[alone[0]], "E202", f"'{alone[0]}' is for tests with 'simulate'")
            return value
        if "script" in value:
            message = "the caller follows a script, or a model plays it ('simulate'): not both"
            raise MistakeError(value.key_at["script"], "E204", message)
        if not {"must", "judge", "always"} & set(value):
            raise MistakeError(value.key_at["simulate"], "E202", "'simulate' needs 'must', 'judge' or 'always'")
        for expected in value["must"] if isinstance(value.get("must"), Seq) else ():
            if isinstance(expected, Map) and "within" in expected:
                message = "'must' is looked at when the call is over: 'within' means nothing there"
                raise MistakeError(expected.key_at["within"], "E204", message)
        return value


def contains(whole: Any, part: Any) -> bool:
    """Whether everything in ``part`` is in ``whole``: mappings may have more keys, all else is equal."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list | tuple):
        return isinstance(whole, list | tuple) and len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)
