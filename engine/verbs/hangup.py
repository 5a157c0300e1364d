"""`hangup`: end the call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.call import Call
from engine.leaks import leaks
from engine.outcome import Outcome, Stop
from engine.verb import Verb
from flows.fields import Text
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Fields

# Q.850 causes that Asterisk turns into these SIP codes when a call is refused before it was answered (measured).
CAUSE_OF = {403: 21, 404: 1, 408: 18, 480: 19, 486: 17, 503: 34, 603: 16}
NORMAL = 16


class HangupFields(Fields):
    """How."""

    result: Text | None = Field(None, description="The flow's own word for how the call ended; kept in the record.")
    sip_code: Literal[403, 404, 408, 480, 486, 503, 603] | None = Field(
        None, description="For a call that was not answered: 403, 404, 408, 480, 486, 503 or 603."
    )


class Hangup(Verb):
    """Nothing after it runs but the `hangup` handler."""

    name: ClassVar[str] = "hangup"
    summary: ClassVar[str] = "End the call."
    Fields: ClassVar[type[Fields]] = HangupFields
    falls_through: ClassVar[bool] = False
    needs_caller: ClassVar[bool] = False

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Secrets in the call's result."""
        if fields.result is not None:
            yield from leaks(scope, fields.result.expressions, "into the record")

    async def run(self, step: Step, call: Call) -> Outcome:
        """End the call with the right cause."""
        fields = step.fields
        assert isinstance(fields, HangupFields)
        result = "" if fields.result is None else fields.result.render(call.walker.context())
        cause = NORMAL if fields.sip_code is None or call.line.is_answered else CAUSE_OF[fields.sip_code]
        raise Stop(cause=cause, result=result)
