"""`call`: run a section or another flow, and come back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from engine.call import Call as LiveCall
from engine.outcome import Outcome, StepError, Unhandled
from engine.values import fit, suits
from engine.verb import Verb, unknown
from flows.fields import FlowName, SectionName, Value
from flows.flow import Flow, Step, walk
from flows.problems import Misfit, MisfitError, Problem, did_you_mean, has
from flows.scope import Scope
from flows.secrets import Assignment
from flows.verb import Fields, Outcomes

RETURN = "return."  # before the names of what `return` gives, where assignments are named


class CallFields(Fields):
    """A section of this flow, or another flow with its input."""

    flow: FlowName | None = Field(None, description="Another flow.")
    section: SectionName | None = Field(None, description="A section of this flow.")
    input: dict[str, Value] = Field(default_factory=dict, description="Values for the input that the flow declares.")

    @model_validator(mode="after")
    def one_target(self) -> Self:
        """A flow or a section; only a flow takes input."""
        if (self.flow is None) == (self.section is None):
            path = () if self.section is None else ("section",)
            raise MisfitError(Misfit("call needs exactly one of 'flow' and 'section'", path, ("flow", "section")))
        if self.section is not None and self.input:
            message = "a section shares the flow's variables: 'input' is for 'flow'"
            raise MisfitError(Misfit(message, ("input",), ("flow", "section")))
        return self


class Call(Verb):
    """A subroutine: what it returns is in ``steps.<id>`` under the names that ``save`` declares."""

    name: ClassVar[str] = "call"
    summary: ClassVar[str] = "Run a section or another flow, and come back."
    Fields: ClassVar[type[Fields]] = CallFields
    takes_save: ClassVar[bool] = True
    needs_caller: ClassVar[bool] = False
    takes_digits: ClassVar[bool] = True  # its steps may
    ways_to_end: ClassVar[Outcomes] = Outcomes(bad=("error",))

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """The input that the called flow declares, and what comes back."""
        yield from _saved(fields, scope)
        called = scope.flows.get(fields.flow) if fields.flow is not None else None
        if called is None:
            return
        for name, value in fields.input.items():
            if name not in called.input:
                yield unknown(scope, scope.key("input", name), "input", name, called.input)
            elif not suits(value, called.input[name].type):
                message = f"input.{name} is declared as {called.input[name].type}, but this is {value.type}"
                yield scope.problem(scope.at("input", name), "E301", message)
        for name, variable in called.input.items():
            if variable.required and name not in fields.input:
                yield scope.problem(scope.key("flow"), "E202", f"the flow '{called.name}' needs the input '{name}'")

    def sections(self, fields: Any) -> Iterable[str]:
        """The section it runs."""
        return () if fields.section is None else (fields.section,)

    def assigns(self, fields: Any, step: Step) -> Iterable[Assignment]:
        """The other flow's input, and what comes back."""
        for name, value in fields.input.items():
            yield Assignment(f"input.{name}", value, flow=fields.flow)
        if step.id is not None:
            for name in step.save:
                yield Assignment(f"steps.{step.id}.{name}", f"return.{name}", source_flow=fields.flow)

    async def run(self, step: Step, call: LiveCall) -> Outcome:
        """Run it; a failure inside that nothing there handled is this step's `error`."""
        fields = step.fields
        assert isinstance(fields, CallFields)
        try:
            if fields.section is not None:
                returned = await call.walker.section(fields.section)
            else:
                assert fields.flow is not None
                returned = await call.walker.subflow(fields.flow, self._input(fields, call))
        except Unhandled as failure:
            return Outcome("error", detail=str(failure))
        missing = [name for name in step.save if name not in returned]
        if missing:
            raise StepError(f"it did not return {', '.join(missing)}")
        return Outcome("done", {name: fit(returned[name], type, name) for name, type in step.save.items()})

    @staticmethod
    def _input(fields: CallFields, call: LiveCall) -> dict[str, Any]:
        assert fields.flow is not None
        context = call.walker.context()
        declared = call.library.flows[fields.flow].input
        given: dict[str, Any] = {}
        for name, variable in declared.items():
            if name in fields.input:
                given[name] = fit(fields.input[name].evaluate(context), variable.type, f"input.{name}")
            elif variable.default is not None:
                given[name] = variable.default
            else:
                raise StepError(f"the flow {fields.flow} needs the input {name}")
        return given


def _saved(fields: CallFields, scope: Scope) -> Iterable[Problem]:
    """Names that no `return` gives, and those that all of them give with another type."""
    flow = scope.flow if fields.section is not None else scope.flows.get(fields.flow or "")
    known = fields.section is None or fields.section in scope.sections
    if flow is None or flow.name in scope.unread or not known:
        return
    returned: dict[str, list[Value]] = {}
    for step in _run(flow, fields.section):
        assigned = step.verb.assigns(step.fields, step) if isinstance(step.verb, Verb) and not step.disabled else ()
        for given in assigned:
            if given.target.startswith(RETURN) and isinstance(given.value, Value):
                returned.setdefault(given.target.removeprefix(RETURN), []).append(given.value)
    whom = f"flow '{fields.flow}'" if fields.section is None else f"section '{fields.section}'"
    for name, type in scope.step.save.items():
        if name not in returned:
            message = f"the {whom} never returns '{name}'{did_you_mean(name, returned) or has(returned)}"
            yield scope.problem(scope.saved.key_at[name], "E301", message)
        elif not any(suits(value, type) for value in returned[name]):
            message = f"'{name}' is saved as {type}, but the {whom} returns {returned[name][0].type}"
            yield scope.problem(scope.saved.value_at[name], "E301", message)


def _run(flow: Flow, section: str | None) -> Iterable[Step]:
    """The steps that a call may come to: all of a flow; of a section those that it leads to, and those of handlers."""
    if section is None:
        yield from flow.walk()
        return
    lists = [flow.sections[section], *(handler.steps or () for handler in flow.handlers)]
    ahead = {handler.goto for handler in flow.handlers if handler.goto is not None}
    seen = {section}
    while lists:
        for step in walk(lists.pop()):
            ahead |= set(step.verb.sections(step.fields))
            yield step
        led = (ahead - seen) & flow.sections.keys()
        seen |= led
        lists += [flow.sections[name] for name in sorted(led)]
