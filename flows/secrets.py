"""Where sensitive values go: which names of a flow hold one, and which values end up in one.

Whatever order the steps run in, a variable that is set anywhere from a sensitive value counts as sensitive, and so does
what is set from that one, across `save`, `return` and the input of other flows. `mask(…)` ends the chain, and so does a
value that is true or false: it tells of a secret no more than the flow itself does by its branches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.texts import Expression, Value

if TYPE_CHECKING:
    from flows.flow import Flow

_LITERAL = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_MASK = re.compile(r"(?<![\w.])mask\(")

Chains = Mapping[str, tuple[str, ...]]
"""A name that holds a sensitive value, and the names over which it came, the sensitive one first."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A step gives ``target`` a value. Names are as in expressions; ``flow`` is that of the target when it is another
    one. ``value`` is what the flow wrote, or a name of ``source_flow``. ``tool``: whose arguments ``input`` are.
    """

    target: str
    value: Value | str
    flow: str | None = None
    source_flow: str | None = None
    tool: str = ""

    def sources(self) -> Iterator[tuple[str, bool]]:
        """The names that are read, and whether their value itself may be in the target's."""
        if isinstance(self.value, str):
            yield self.value, True
            return
        for expression in self.value.expressions:
            shown = shown_by(expression)
            for name in expression.names:
                yield _of_tool(name, self.tool), name in shown


class Secrets:
    """What is sensitive in some flows. Their expressions must have been compiled."""

    def __init__(self, flows: Mapping[str, Flow]) -> None:
        self._edges = list(_edges(flows))
        self._declared = {name: frozenset(_declared(flow)) for name, flow in flows.items()}

    def holding(self) -> Mapping[str, Chains]:
        """By flow: every name that holds a sensitive value, with its chain."""
        return self._holding(self._declared)

    def copies(self) -> Mapping[str, frozenset[str]]:
        """By flow: every name that holds a sensitive value, or one that becomes sensitive later."""
        return {flow: frozenset(names) for flow, names in self._holding(self.feeding()).items()}

    def _holding(self, first: Mapping[str, frozenset[str]]) -> Mapping[str, Chains]:
        """By flow: what takes up the value of one of these names, with its chain."""
        found: dict[str, dict[str, tuple[str, ...]]] = {
            flow: {name: (name,) for name in names} for flow, names in first.items()
        }
        grown = True
        while grown:
            grown = False
            for flow, source, to, target, shown in self._edges:
                chain = chain_of(source, found[flow])
                if shown and chain is not None and target not in found.setdefault(to, {}):
                    found[to][target] = (*chain, target)
                    grown = True
        return found

    def feeding(self) -> Mapping[str, frozenset[str]]:
        """By flow: names whose value is put into what is declared sensitive, so that it is a secret before."""
        found = {flow: set(names) for flow, names in self._declared.items()}
        grown = True
        while grown:
            grown = False
            for flow, source, to, target, _ in self._edges:
                if target in found.get(to, ()) and source not in found[flow]:
                    found[flow].add(source)
                    grown = True
        return {flow: frozenset(names) for flow, names in found.items()}


def chain_of(name: str, chains: Chains) -> tuple[str, ...] | None:
    """Over which names a sensitive value came into this one; None: it holds none."""
    kind, _, rest = name.partition(".")
    own, _, part = rest.partition(".")
    if kind != "steps":
        return chains.get(f"{kind}.{own}") or chains.get(name)
    if part == "outcome":
        return None
    whole = chains.get(f"steps.{own}")
    return (name,) if whole is not None and len(whole) == 1 else whole or chains.get(f"steps.{own}.{part}")


def _declared(flow: Flow) -> Iterator[str]:
    for kind, variables in (("vars", flow.vars), ("input", flow.input)):
        yield from (f"{kind}.{name}" for name, variable in variables.items() if variable.sensitive)
    for step in flow.walk():
        if step.id is not None and getattr(step.fields, "sensitive", False):
            yield f"steps.{step.id}"


def _edges(flows: Mapping[str, Flow]) -> Iterator[tuple[str, str, str, str, bool]]:
    """Flow and name of a source, flow and name of a target, and whether the value itself is given on."""
    for flow in flows.values():
        for step in flow.walk():
            for one in _assignments(step.verb, step):
                to, source_flow = one.flow or flow.name, one.source_flow or flow.name
                if to in flows and source_flow in flows:
                    for source, shown in one.sources():
                        yield source_flow, source, to, one.target, shown


def _assignments(verb: Any, step: Any) -> Iterable[Assignment]:
    """What a step assigns, as its verb says; the verbs of a test need not say."""
    assigns = getattr(verb, "assigns", None)
    return () if assigns is None else assigns(step.fields, step)


def _of_tool(name: str, tool: str) -> str:
    """Inside a tool, ``input`` are its arguments, not the flow's input."""
    return f"tools.{tool}.{name}" if tool and name.startswith("input.") else name


def shown_by(expression: Expression) -> frozenset[str]:
    """The names that an expression reads whose value itself may be in its result."""
    if expression.type == "boolean":
        return frozenset()
    return frozenset(name for name in expression.names if not _masked(name, expression))


def _masked(name: str, expression: Expression) -> bool:
    """Whether an expression reads a name inside of ``mask(…)`` only."""
    source = _LITERAL.sub("''", expression.source)
    here = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    return here.search(source) is not None and here.search(_without_masks(source)) is None


def _without_masks(source: str) -> str:
    while (found := _MASK.search(source)) is not None:
        depth, end = 1, found.end()
        while depth and end < len(source):
            depth += {"(": 1, ")": -1}.get(source[end], 0)
            end += 1
        source = source[: found.start()] + source[end:]
    return source
