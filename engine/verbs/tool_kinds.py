"""What the tools of a voice can do. A kind is one class: its fields, its checks, and how it acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from engine.call import Call
from engine.discretion import aloud
from engine.http import escape
from engine.leaks import leaks, whole_address
from engine.outcome import Outcome, StepError, Stop, Unhandled
from engine.requests import ask
from engine.toolbox import DONE_TOOL
from engine.values import fit, suits
from engine.verb import unknown
from engine.verbs.hangup import NORMAL
from engine.verbs.send_dtmf import send
from engine.verbs.transfer import Transfer, TransferFields
from flows.fields import Duration, EndpointName, FlowName, Text, Value
from flows.problems import Problem
from flows.scope import Scope
from flows.secrets import Assignment
from flows.verb import Fields

GROUP = "hookflash.tools"


class ToolKind(Fields):
    """What a tool does. One that ``leaves`` is done when the voice has finished what it says; then the talk is over."""

    leaves: ClassVar[bool] = False

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """What only this kind knows to be wrong; ``path`` leads to its fields."""
        return ()

    def assigns(self, tool: str) -> Iterable[Assignment]:
        """What it gives values to; ``tool`` names it in its flow when it has arguments, which hide the flow's input."""
        return ()

    async def act(self, call: Call, context: Mapping[str, Any]) -> Any:
        """Do it; a JSON value for the model. Arguments are checked and are ``input`` in the context."""
        return DONE_TOOL

    async def leave(self, call: Call) -> Outcome | str:
        """After the talk: the step's outcome, or words with which the talk goes on."""
        raise NotImplementedError


class HttpTool(ToolKind):
    """A request to a named endpoint; the answer's body is the tool's answer."""

    endpoint: EndpointName = Field(description="An endpoint of resources.yaml.")
    method: str = Field("GET", pattern="^(GET|POST|PUT|PATCH|DELETE)$", description="GET, POST, PUT, PATCH or DELETE.")
    path: Text = Field(description="Path and query below the endpoint's address; values are escaped.")
    json_: Value | None = Field(None, alias="json", description="The body.")
    timeout: Duration | None = Field(None, description="How long the endpoint may take.")

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """Secrets in a URL."""
        yield from leaks(scope, self.path.expressions, "in a URL")
        yield from whole_address(scope, self.path, *path, "path")

    async def act(self, call: Call, context: Mapping[str, Any]) -> Any:
        """Ask."""
        reply = await ask(
            call, self.endpoint, self.method, self.path.render(context, escape),
            json=None if self.json_ is None else self.json_.evaluate(context), timeout=self.timeout,
        )  # fmt: skip
        return reply.body


class FlowTool(ToolKind):
    """Another flow, run beside the talk: none of its steps may need the caller."""

    flow: FlowName = Field(description="The flow.")
    input: dict[str, Value] = Field(default_factory=dict, description="Its input; expressions see the tool's input.")

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """Steps that would speak over the voice, and the input that the flow declares."""
        called = scope.flows.get(self.flow)
        if called is None:
            return
        for step in called.walk():
            if step.verb.needs_caller:
                message = f"the flow '{called.name}' cannot run beside a talk: '{step.verb.name}' needs the caller"
                yield scope.problem(scope.at(*path, "flow"), "E308", message)
                break
        for name, value in self.input.items():
            if name not in called.input:
                yield unknown(scope, scope.key(*path, "input", name), "input", name, called.input)
            elif not suits(value, called.input[name].type):
                message = f"input.{name} is declared as {called.input[name].type}, but this is {value.type}"
                yield scope.problem(scope.at(*path, "input", name), "E301", message)
        for name, variable in called.input.items():
            if variable.required and name not in self.input:
                yield scope.problem(scope.at(*path), "E202", f"the flow '{called.name}' needs the input '{name}'")

    def assigns(self, tool: str) -> Iterable[Assignment]:
        """The other flow's input."""
        return (Assignment(f"input.{name}", value, self.flow, None, tool) for name, value in self.input.items())

    async def act(self, call: Call, context: Mapping[str, Any]) -> Any:
        """Run it; what it returns."""
        given = {}
        for name, variable in call.library.flows[self.flow].input.items():
            if name in self.input:
                given[name] = fit(self.input[name].evaluate(context), variable.type, f"input.{name}")
            elif variable.default is not None:
                given[name] = variable.default
        try:
            return dict(await call.walker.subflow(self.flow, given))
        except Unhandled as failure:
            raise StepError(f"the flow {self.flow} failed") from failure


class SetTool(ToolKind):
    """Declared variables and their new values."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """Only declared variables, and only what fits them."""
        for name, value in self.__pydantic_extra__.items():
            if name not in scope.vars:
                yield unknown(scope, scope.key(*path, name), "variable", name, scope.vars)
            elif not suits(value, scope.vars[name].type):
                message = f"vars.{name} is declared as {scope.vars[name].type}, but this is {value.type}"
                yield scope.problem(scope.at(*path, name), "E301", message)

    def assigns(self, tool: str) -> Iterable[Assignment]:
        """The variables."""
        given = self.__pydantic_extra__.items()
        return (Assignment(f"vars.{name}", value, tool=tool) for name, value in given)

    async def act(self, call: Call, context: Mapping[str, Any]) -> Any:
        """Evaluate all, then assign."""
        values = {name: value.evaluate(context) for name, value in self.__pydantic_extra__.items()}
        for name, value in values.items():
            call.walker.set(name, value)
        return DONE_TOOL


class KeysTool(ToolKind):
    """Telephone keys, to whatever system is at the caller's side."""

    digits: Text = Field(description="1 to 64 of 0-9, *, # and A-D.")

    async def act(self, call: Call, context: Mapping[str, Any]) -> Any:
        """Send them."""
        await send(call, self.digits.render(context))
        return DONE_TOOL


class PluginTool(ToolKind):
    """A function that another package brings: ``async def tool(arguments, call)``; what it returns is the answer."""

    name: str = Field(description="Its name under the entry points hookflash.tools.")

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """It is installed."""
        installed = {point.name for point in entry_points(group=GROUP)}
        if self.name not in installed:
            yield unknown(scope, scope.at(*path, "name"), "plugin", self.name, installed)

    async def act(self, call: Call, context: Mapping[str, Any]) -> Any:
        """Ask it."""
        point = next((point for point in entry_points(group=GROUP) if point.name == self.name), None)
        if point is None:
            raise StepError(f"the plugin {self.name} is not installed")
        return await point.load()(context["input"], call)


class HangupTool(ToolKind):
    """The end of the call."""

    leaves: ClassVar[bool] = True
    result: Text = Field(Text(""), description="The flow's own word for how the call ended.")

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """Secrets in the call's result."""
        yield from leaks(scope, self.result.expressions, "into the record")

    async def leave(self, call: Call) -> Outcome:
        """Hang up."""
        raise Stop(cause=NORMAL, result=self.result.render(call.walker.context()))


class TransferTool(TransferFields, ToolKind):
    """A hand-off, with the fields of `transfer`."""

    leaves: ClassVar[bool] = True
    unreached: Text = Field(
        Text("I am sorry, nobody can answer right now. What else can I do for you?"),
        description="The words with which the talk goes on when nobody was reached.",
    )

    def check(self, scope: Scope, *path: str) -> Iterable[Problem]:
        """Its targets."""
        return Transfer().check_targets(self, scope, *path)

    async def leave(self, call: Call) -> Outcome | str:
        """Ring; the talk goes on when nobody takes the call."""
        outcome = await Transfer().hand_over(self, call, call.record.steps[-1].path, ())
        return Outcome() if outcome.name == "connected" else aloud(self.unreached, call.walker)
