"""`switch`: go on by a value, or by the first condition that holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.verb import Verb
from flows.fields import Condition, Steps, Value
from flows.flow import Step
from flows.problems import Misfit, MisfitError, Problem
from flows.scope import Scope
from flows.texts import in_text
from flows.verb import Fields


class Branch(Fields):
    """Steps that run when a condition holds; without one, always."""

    when: Condition | None = Field(None, description="A bare expression.")
    steps: Steps


class SwitchFields(Fields):
    """Either a value with cases, or a list of branches."""

    value: Value | None = Field(None, description="What the cases are compared with, as text.")
    cases: dict[str, Steps] = Field(default_factory=dict, description="Steps by value.")
    default: Steps = Field((), description="Steps when no case fits.")
    branches: tuple[Branch, ...] = Field((), description="Branches; the first whose condition holds runs.")

    @model_validator(mode="after")
    def one_form(self) -> Self:
        """One of the two forms."""
        message = "switch takes either 'value' with 'cases', or a list of branches with 'when' and 'steps'"
        keys = ("value", "cases", "default", "branches")
        if not self.branches and self.value is None:
            raise MisfitError(Misfit(message, beside=keys))
        if self.value is not None and self.branches:
            raise MisfitError(Misfit(message, ("branches",), ("value",)))
        if self.branches and (self.cases or self.default):
            useless = [name for name in ("cases", "default") if getattr(self, name)]
            raise MisfitError(*(Misfit(message, (name,), ("branches",)) for name in useless))
        return self


class Switch(Verb):
    """Runs at most one of its branches."""

    name: ClassVar[str] = "switch"
    summary: ClassVar[str] = "Go on by a value, or by the first condition that holds."
    Fields: ClassVar[type[Fields]] = SwitchFields
    shorthand: ClassVar[str | None] = "branches"
    needs_caller: ClassVar[bool] = False
    takes_digits: ClassVar[bool] = True  # its steps may

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """A value that never changes is a forgotten `${…}`; behind a branch that always runs, none ever does."""
        if fields.value is not None and not fields.value.expressions:
            message = f"this value never changes; an expression stands in ${{…}}: ${{{scope.given.get('value')}}}"
            yield scope.problem(scope.at("value"), "W405", message)
        always = next((index for index, branch in enumerate(fields.branches) if branch.when is None), None)
        if always is not None:
            line = scope.at("branches", always).line
            for index in range(always + 1, len(fields.branches)):
                message = f"this branch is never reached: the one in line {line} has no 'when', so it always runs"
                yield scope.problem(scope.at("branches", index), "W402", message)

    async def run(self, step: Step, call: Call) -> Outcome:
        """Choose and run."""
        fields = step.fields
        assert isinstance(fields, SwitchFields)
        await call.walker.run_steps(self._chosen(fields, call))
        return DONE

    @staticmethod
    def _chosen(fields: SwitchFields, call: Call) -> Steps:
        context = call.walker.context()
        if fields.value is not None:
            return fields.cases.get(in_text(fields.value.evaluate(context)), fields.default)
        for branch in fields.branches:
            if branch.when is None or branch.when.evaluate(context):
                return branch.steps
        return ()
