"""`set`: give variables values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import ConfigDict

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.values import suits
from engine.verb import Verb, unknown
from flows.fields import Value
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.secrets import Assignment
from flows.verb import Fields


class SetFields(Fields):
    """Any declared variable and its new value."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]


class Set(Verb):
    """All values are evaluated before the first is assigned."""

    name: ClassVar[str] = "set"
    summary: ClassVar[str] = "Give declared variables new values."
    Fields: ClassVar[type[Fields]] = SetFields
    needs_caller: ClassVar[bool] = False

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Only declared variables can be set."""
        for name, value in fields.__pydantic_extra__.items():
            if name not in scope.vars:
                yield unknown(scope, scope.key(name), "variable", name, scope.vars)
            elif not suits(value, scope.vars[name].type):
                message = f"vars.{name} is declared as {scope.vars[name].type}, but this is {value.type}"
                yield scope.problem(scope.at(name), "E301", message)

    def assigns(self, fields: Any, step: Step) -> Iterable[Assignment]:
        """The variables."""
        return (Assignment(f"vars.{name}", value) for name, value in fields.__pydantic_extra__.items())

    async def run(self, step: Step, call: Call) -> Outcome:
        """Evaluate, then assign."""
        fields = step.fields
        assert isinstance(fields, SetFields)
        context = call.walker.context()
        values = {name: value.evaluate(context) for name, value in fields.__pydantic_extra__.items()}
        for name, value in values.items():
            call.walker.set(name, value)
        return DONE
