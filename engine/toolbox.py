"""The tools of one conversation: those that the flow declares, and `finish`, by which the model leaves the step.

Arguments come from a model: they are checked against the declared schema before anything is done with them, and what a
tool answers goes back to the model as JSON text. A tool never raises: what went wrong is told to the model in words.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from engine.discretion import outline
from engine.http import HttpFailedError
from engine.line import LineGone
from engine.outcome import Leave, Outcome, StepError
from engine.record import ToolUse
from flows.expressions import ExpressionError
from flows.json_schema import JsonSchema
from providers.voice import Tool

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

FINISH = "finish"
LEAVES = "tool:"  # before the name of a tool that ends the talk, as an outcome
DONE_TOOL = {"ok": True}
CONFIRM = "When the caller has agreed, call this tool again with the same arguments. Else do not."
MAX_RESULT = 16 * 1024  # characters of a result that a model is given


@dataclass(frozen=True, slots=True)
class Exit:
    """A way out of the step that the model may choose."""

    name: str
    description: str = ""
    requires: tuple[str, ...] = ()  # variables that must be set


@dataclass(frozen=True, slots=True)
class FlowTool:
    """A tool of the flow. ``act`` is given the checked arguments and answers with a JSON value."""

    name: str
    description: str
    parameters: JsonSchema
    act: Callable[[Mapping[str, Any]], Awaitable[Any]]
    timeout: float = 10.0
    max_calls: int | None = None
    filler: str | None = None  # spoken while it runs
    sound: Callable[[], Awaitable[bytes]] | None = None  # or played; G.711 of the line's law
    filler_after: float = 0.8
    allowed: Callable[[], bool] = lambda: True
    confirm: str | None = None  # what the caller must be asked before it is used
    leave: Callable[[], Awaitable[Outcome | str]] | None = None  # it ends the talk: what comes then

    @property
    def fills_after(self) -> float | None:
        """After how many seconds the caller is to hear something; None when they never are."""
        return self.filler_after if self.filler or self.sound is not None else None


@dataclass(frozen=True, slots=True)
class Collect:
    """Data that the model hands over with `finish`: into which variable, of which shape."""

    into: str
    schema: JsonSchema


@dataclass(slots=True)
class Toolbox:
    """What the model can do. One per conversation."""

    call: Call
    exits: Sequence[Exit]
    tools: Mapping[str, FlowTool] = field(default_factory=dict)
    collect: Collect | None = None
    used: dict[str, int] = field(default_factory=dict)
    turns: int = 0  # in which the caller spoke
    path: str = ""  # of the step, under which its tools' arguments are known to be secret or not
    data: Any = None  # that the model handed over with `finish`, as far as it may be written down
    leaving: bool = False  # the talk is ending: the model is told nothing any more
    asked: dict[str, tuple[str, int]] = field(default_factory=dict)  # tool -> arguments and turn that need a yes

    def offered(self) -> tuple[Tool, ...]:
        """The tools as the voice is told of them."""
        tools = [tool for tool in self.tools.values() if self._allowed(tool)]
        flow = tuple(Tool(tool.name, tool.description, tool.parameters.schema) for tool in tools)
        return (*flow, self._finish_tool()) if self.exits else flow

    def _finish_tool(self) -> Tool:
        lines = [f"{way.name}: {way.description}" if way.description else way.name for way in self.exits]
        properties: dict[str, Any] = {"exit": {"type": "string", "enum": [way.name for way in self.exits]}}
        if self.collect is not None:
            properties["data"] = self.collect.schema.schema
        return Tool(
            FINISH,
            "Ends this part of the conversation. Say what must be said first, then call it. Exits: " + "; ".join(lines),
            {"type": "object", "properties": properties, "required": ["exit"], "additionalProperties": False},
        )

    def finish(self, arguments: Mapping[str, Any]) -> tuple[str | None, str]:
        """Check a call of `finish`: the exit and "" when it may be taken, else None and what the model must be told."""
        names = [way.name for way in self.exits]
        way = next((way for way in self.exits if way.name == arguments.get("exit")), None)
        if way is None:
            return None, f"There is no exit {arguments.get('exit')!r}. The exits are: {', '.join(names)}."
        walker = self.call.walker
        if self.collect is not None and arguments.get("data") is not None:
            wrong = self.collect.schema.errors(arguments["data"])
            if wrong:
                return None, "The data is not right: " + "; ".join(wrong)
            try:
                walker.set(self.collect.into, arguments["data"])
            except StepError as error:
                return None, f"The data is not right: {error}"
            hidden = f"vars.{self.collect.into}" in walker.secret
            self.data = outline(arguments["data"], secret=True) if hidden else arguments["data"]
        missing = [name for name in way.requires if walker.vars.get(name) in (None, "", {}, [])]
        if missing:
            return (
                None,
                f"The exit {way.name} needs {', '.join(missing)} first. Ask the caller, then give it in `data`.",
            )
        return way.name, ""

    def leaves(self, name: str, answer: str) -> bool:
        """Whether the talk is over because this tool was used."""
        tool = self.tools.get(name)
        return tool is not None and tool.leave is not None and answer == json.dumps(DONE_TOOL)

    async def use(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Run a tool of the flow within its time; its answer as JSON text, or what went wrong. Goes on record."""
        clock = asyncio.get_running_loop().time
        started = clock()
        use = ToolUse(
            name=name[:64], at=self.call.services.clock.now(), step=self.call.record.steps[-1].path,
            arguments=self._told(name, arguments),
        )  # fmt: skip
        self.call.record.tools.append(use)
        use.outcome = "cancelled"
        self.call.changed()
        try:
            use.outcome, answer = await self._run(name, arguments)
            if self.leaving:
                use.outcome = "late"
        finally:
            use.ms = int((clock() - started) * 1000)
            self.call.changed(keep=True)
            label = name if name in self.tools else "unknown"
            self.call.services.metrics.tool_duration.labels(label, use.outcome).observe(clock() - started)
        return answer

    async def _run(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, str]:
        tool = self.tools.get(name)
        if tool is None:
            return "error", _problem(f"there is no tool {name!r}; there are: {', '.join(self.tools) or 'none'}")
        try:
            refusal = self._refusal(tool, arguments)
            if refusal:
                return "error", _problem(refusal)
            if not self._confirmed(tool, arguments):
                return "unconfirmed", json.dumps({"ask_the_caller": tool.confirm, "then": CONFIRM}, ensure_ascii=False)
            self.used[name] = self.used.get(name, 0) + 1
            async with asyncio.timeout(tool.timeout):
                answer = await tool.act(arguments)
            text = json.dumps(answer, ensure_ascii=False, default=str)
        except (Leave, LineGone):
            raise
        except TimeoutError:
            return "timeout", _problem(f"{name} did not answer within {tool.timeout:g} s")
        except HttpFailedError as error:
            return "timeout" if error.kind == "timeout" else "error", _problem(str(error))
        except (StepError, ExpressionError) as error:
            return "error", _problem(str(error))
        except Exception as error:  # a mistake in a tool, perhaps a plugin's: the talk goes on without it
            log.exception("a tool failed in a way that it does not know", tool=name, error=str(error))
            return "error", _problem(f"{name} failed")
        if len(text) > MAX_RESULT:
            return "error", _problem(f"{name} answered with {len(text)} characters, more than a model is given")
        return "ok", text

    @staticmethod
    def _allowed(tool: FlowTool) -> bool:
        """Whether a tool may be used now; not when nobody can tell."""
        try:
            return tool.allowed()
        except ExpressionError as error:
            log.warning("a tool is not offered: its condition cannot be evaluated", tool=tool.name, error=str(error))
            return False

    def _confirmed(self, tool: FlowTool, arguments: Mapping[str, Any]) -> bool:
        """Whether the caller has spoken since this was first asked for. A model cannot say yes to itself."""
        if tool.confirm is None:
            return True
        wanted = json.dumps(arguments, sort_keys=True, default=str)
        before, turn = self.asked.pop(tool.name, ("", self.turns))
        if before == wanted and self.turns > turn:
            return True
        self.asked[tool.name] = (wanted, turn if before == wanted else self.turns)
        return False

    def _told(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as they may be written down."""
        secret, prefix = self.call.walker.secret, f"tools.{self.path}.{name}.input"
        return {key: outline(value, secret=True) if f"{prefix}.{key}" in secret else value
                for key, value in arguments.items()}  # fmt: skip

    def _refusal(self, tool: FlowTool, arguments: Mapping[str, Any]) -> str:
        """Why a tool is not used, in words for the model; "" when it may be."""
        if not self._allowed(tool):
            return f"{tool.name} may not be used now"
        wrong = tool.parameters.errors(dict(arguments))
        if wrong:
            return "the arguments are not right: " + "; ".join(wrong)
        if tool.max_calls is not None and self.used.get(tool.name, 0) >= tool.max_calls:
            return f"{tool.name} was used as often as it may be ({tool.max_calls})"
        return ""


def _problem(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
