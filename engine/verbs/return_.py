"""`return`: leave a section or flow that was called, with values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import ConfigDict

from engine.call import Call
from engine.outcome import Outcome
from engine.outcome import Return as Back
from engine.verb import Verb
from flows.fields import Value
from flows.flow import Step
from flows.secrets import Assignment
from flows.verb import Fields


class ReturnFields(Fields):
    """Any names and values."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]


class Return(Verb):
    """At the top of a flow that was not called it ends the flow."""

    name: ClassVar[str] = "return"
    summary: ClassVar[str] = "Leave a section or flow that was called, with values."
    Fields: ClassVar[type[Fields]] = ReturnFields
    falls_through: ClassVar[bool] = False
    needs_caller: ClassVar[bool] = False

    def assigns(self, fields: Any, step: Step) -> Iterable[Assignment]:
        """What `call` with `save` reads."""
        return (Assignment(f"return.{name}", value) for name, value in fields.__pydantic_extra__.items())

    async def run(self, step: Step, call: Call) -> Outcome:
        """Go back."""
        assert isinstance(step.fields, ReturnFields)
        context = call.walker.context()
        raise Back({name: value.evaluate(context) for name, value in step.fields.__pydantic_extra__.items()})
