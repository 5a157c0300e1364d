"""`reject`: refuse a call that nobody has answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.call import Call
from engine.leaks import leaks
from engine.outcome import Outcome, StepError, Stop
from engine.verb import Verb
from engine.verbs.hangup import CAUSE_OF
from flows.fields import Text
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Fields


class RejectFields(Fields):
    """With which code, and why."""

    sip_code: Literal[403, 404, 408, 480, 486, 503, 603] = Field(
        603, description="What the caller's side is told: 403, 404, 408, 480, 486, 503 or 603."
    )
    reason: Text | None = Field(None, description="Why, in the flow's own words; kept in the record as its result.")


class Reject(Verb):
    """The caller pays nothing and hears what their own operator plays for the code."""

    name: ClassVar[str] = "reject"
    summary: ClassVar[str] = "Refuse the call without answering it."
    Fields: ClassVar[type[Fields]] = RejectFields
    shorthand: ClassVar[str | None] = "sip_code"
    falls_through: ClassVar[bool] = False

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Secrets in the call's result."""
        if fields.reason is not None:
            yield from leaks(scope, fields.reason.expressions, "into the record")

    async def run(self, step: Step, call: Call) -> Outcome:
        """Refuse; a call that was answered cannot be."""
        fields = step.fields
        assert isinstance(fields, RejectFields)
        if call.line.is_answered:
            raise StepError("the call was answered already, so it cannot be refused: use hangup")
        reason = "" if fields.reason is None else fields.reason.render(call.walker.context())
        raise Stop(cause=CAUSE_OF[fields.sip_code], result=reason)
