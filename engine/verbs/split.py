"""`split`: send a share of the calls each way."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from engine.call import Call
from engine.outcome import Outcome
from engine.verb import Verb
from flows.fields import Expression
from flows.flow import Step
from flows.problems import Misfit, MisfitError, Problem
from flows.scope import Scope
from flows.texts import in_text
from flows.verb import Fields, Outcomes

Weight = Annotated[int, Field(ge=0, le=1_000_000)]


class SplitFields(Fields):
    """The ways and their shares."""

    weights: dict[str, Weight] = Field(min_length=1, description="Share of the calls by way, such as {a: 90, b: 10}.")
    sticky_by: Expression | None = Field(
        None, description="A bare expression, such as caller.number: whoever has the same value goes the same way."
    )

    @field_validator("weights")
    @classmethod
    def some_way(cls, weights: dict[str, int]) -> dict[str, int]:
        """At least one way is open, and none has the name of another end."""
        if not any(weights.values()):
            raise MisfitError(Misfit("at least one weight must be more than 0", beside=tuple(weights)))
        taken = [name for name in weights if name in ("done", "error")]
        if taken:
            message = "a way cannot be called '{}': that is how any step may end"
            raise MisfitError(*(Misfit(message.format(name), (name,)) for name in taken))
        return weights


class Split(Verb):
    """Its outcomes are the ways. The sticky choice depends on the value, the flow and the step's id, and on nothing
    that an engine keeps, so that every engine chooses alike, today and tomorrow."""

    name: ClassVar[str] = "split"
    summary: ClassVar[str] = "Send a share of the calls each way."
    Fields: ClassVar[type[Fields]] = SplitFields
    needs_caller: ClassVar[bool] = False
    ends_done: ClassVar[bool] = False

    def outcomes(self, fields: Any) -> Outcomes:
        """The ways."""
        return Outcomes(good=tuple(fields.weights))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """A sticky choice is bound to the step's name: its place in the file moves."""
        if fields.sticky_by is not None and scope.step.id is None:
            message = "'sticky_by' needs an 'id', so that callers keep their way when the flow is edited"
            yield scope.problem(scope.key("sticky_by"), "E202", message)

    async def run(self, step: Step, call: Call) -> Outcome:
        """Choose: by the value when there is one, else by chance."""
        fields = step.fields
        assert isinstance(fields, SplitFields)
        value = None if fields.sticky_by is None else fields.sticky_by.evaluate(call.walker.context())
        if value in (None, ""):
            at = call.services.chance()
        else:
            at = share_of(call.walker.flow.name, step.id or step.path, in_text(value))
        return Outcome(way(fields.weights, at))


def way(weights: Mapping[str, int], at: float) -> str:
    """The way at this share (0 to 1, without 1) of all weights, in the order in which they are written."""
    names, total = list(weights), sum(weights.values())
    ends = itertools.accumulate(weights.values())
    return next(name for name, end in zip(names, ends, strict=True) if at * total < end)


def share_of(*parts: str) -> float:
    """A number from 0 to 1, without 1: the same for the same words, spread evenly over different ones."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return (int.from_bytes(digest[:8]) >> 11) / (1 << 53)  # 53 bits: no rounding up to 1
