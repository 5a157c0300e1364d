"""A flow as nodes and edges, to be drawn: every step, what follows it, and where its outcomes lead.

The id of a step's node is the step's path (``steps/3/outcomes/person/0``), the same that a call's trace names: who
shows the drawing can light the step that a call is in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from flows.flow import Flow, Step
from flows.texts import Expression, Text, Value

Kind = Literal["start", "over", "section", "handler", "step", "wait", "leave", "disabled"]
"""``wait``: a step that waits for the caller; ``leave``: one that does not go on."""
START, OVER = "start", "over"
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Node:
    """A step, a section's or a handler's beginning, the start or the end of the flow. ``line`` is 0 where no line of
    the file stands for it."""

    id: str
    kind: Kind
    title: str
    detail: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """``labels`` are the outcomes that lead this way; none of them: what ordinarily follows. ``is_call``: the way comes
    back."""

    source: str
    target: str
    labels: tuple[str, ...] = ()
    is_call: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """All of one flow, in the order of the file."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(flow: Flow) -> Graph:
    """The graph of a compiled flow."""
    return _Builder(flow).build()


def section_id(name: str) -> str:
    """The id of the node at which a section begins."""
    return f"sections/{name}"


@dataclass(slots=True)
class _Builder:
    flow: Flow
    nodes: list[Node] = field(default_factory=list)
    edges: dict[tuple[str, str], tuple[list[str], bool]] = field(default_factory=dict)  # labels; a call

    def build(self) -> Graph:
        flow = self.flow
        self.nodes.append(Node(START, "start", flow.name))
        self._list(START, flow.steps, OVER)
        left = self._left()
        for name, steps in flow.sections.items():
            self.nodes.append(Node(section_id(name), "section", name))
            self._list(section_id(name), steps, OVER if name in left else None)
        for number, handler in enumerate(flow.handlers):
            id_ = f"handlers/{number}"
            title = handler.event + (f" {handler.digits}" if handler.digits else "")
            self.nodes.append(Node(id_, "handler", title, line=handler.where.line))
            if handler.goto is not None:
                self._edge(id_, section_id(handler.goto))
            else:
                self._list(id_, handler.steps or (), None)
        if any(target == OVER for _, target in self.edges):
            self.nodes.append(Node(OVER, "over", "end"))
        edges = (Edge(*ends, tuple(labels), is_call) for ends, (labels, is_call) in self.edges.items())
        return Graph(flow.name, tuple(self.nodes), tuple(edges))

    def _left(self) -> set[str]:
        """Sections that are gone to, so that their end is the flow's; those that are only called come back."""
        gone = {name for step in self.flow.walk() if not step.verb.falls_through for name in _sections(step)}
        return gone | {handler.goto for handler in self.flow.handlers if handler.goto}

    def _list(self, source: str, steps: tuple[Step, ...], after: str | None, label: str = "") -> None:
        """The steps of one list, entered from ``source``; ``after`` is what follows the last."""
        first = steps[0].path if steps else after
        if first is not None:
            self._edge(source, first, label)
        for number, step in enumerate(steps):
            self._step(step, steps[number + 1].path if number + 1 < len(steps) else after)

    def _step(self, step: Step, after: str | None) -> None:
        verb = step.verb
        kind: Kind = "wait" if verb.interactive else "step" if verb.falls_through else "leave"
        kind = "disabled" if step.disabled else kind
        title = f"{step.id}: {verb.name}" if step.id else verb.name
        self.nodes.append(Node(step.path, kind, title, _detail(step, self.flow), step.where.line))
        if after is not None and (verb.falls_through or step.when is not None or step.disabled):
            self._edge(step.path, after, "" if verb.falls_through or step.disabled else "otherwise")
        if step.disabled:
            return
        for name in _sections(step):
            self._edge(step.path, section_id(name), is_call=verb.falls_through)
        for name, steps in step.outcomes.items():
            self._list(step.path, steps, after, name)
        if step.catch is not None:
            self._list(step.path, step.catch, after, "catch")
        if after is not None and verb.falls_through:
            labels, _ = self.edges[step.path, after]
            labels[:0] = _ordinary(step) if labels else ()
        repeats = getattr(verb, "repeats", False)
        for steps in step.nested:
            if steps:
                self._list(step.path, steps, step.path if repeats else after, _case(step, steps[0]))

    def _edge(self, source: str, target: str, label: str = "", is_call: bool = False) -> None:
        if source == target:
            return
        labels, calls = self.edges.setdefault((source, target), ([], is_call))
        if label and label not in labels:
            labels.append(label)
        self.edges[source, target] = labels, calls and is_call


def _sections(step: Step) -> tuple[str, ...]:
    return tuple(step.verb.sections(step.fields))


def _ordinary(step: Step) -> tuple[str, ...]:
    """The ends after which the next step runs, beside those that ``outcomes`` and ``catch`` handle."""
    if getattr(step.verb, "ends_done", True):
        return ("done",)
    # A menu takes the keys that its outcomes name, and no others.
    return tuple(name for name in step.possible.good if name not in step.outcomes and len(name) > 1)


def _case(step: Step, first: Step) -> str:
    """What chooses a list of steps inside a verb's fields, from its path: ``cases/gold`` is ``gold``, a branch of a
    list is its number."""
    parts = first.path.removeprefix(f"{step.path}/{step.verb.name}/").split("/")[:-1]
    named = [part for part in parts if part not in ("steps", "cases", "branches")]
    return " ".join(f"{int(part) + 1}." if part.isdigit() and "cases" not in parts else part for part in named)


def _detail(step: Step, flow: Flow) -> str:
    """What tells the step from others of its verb: the short form, or else the first word or text that is given."""
    general = flow.defaults.get(step.verb.name, {})
    names = [step.verb.shorthand] if step.verb.shorthand else []
    names += [name for name in type(step.fields).model_fields if name in step.fields.model_fields_set]
    for name in names:
        shown = _words(getattr(step.fields, name, None))
        if shown and (name == step.verb.shorthand or name not in general):
            return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
    return ""


def _words(value: Any) -> str:
    if isinstance(value, Text | Expression | Value):
        value = value.source
    if not isinstance(value, str):
        return ""
    return re.sub(r"\s+", " ", "".join(sign if sign.isprintable() else " " for sign in value)).strip()


# ── Mermaid ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_SHAPES: dict[Kind, tuple[str, str]] = {
    "start": ("([", "])"),
    "over": ("((", "))"),
    "section": ("{{", "}}"),
    "handler": (">", "]"),
    "wait": ("(", ")"),
}
_CLASSES = """\
  classDef section fill:#e0e7ff,stroke:#4f46e5,color:#1e1b4b
  classDef handler fill:#fef3c7,stroke:#b45309,color:#451a03
  classDef wait fill:#dcfce7,stroke:#15803d,color:#052e16
  classDef leave fill:#f3f4f6,stroke:#6b7280,color:#111827
  classDef disabled fill:#ffffff,stroke:#9ca3af,color:#6b7280,stroke-dasharray:4"""


def as_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart. A node's id is the step's path with ``/`` written as ``__``, and every sign but letters and
    digits as ``_`` and its number."""
    rows = ["flowchart TD"]
    for node in graph.nodes:
        opened, closed = _SHAPES.get(node.kind, ("[", "]"))
        text = _mermaid_text(node.title) + (f"<br/>{_mermaid_text(node.detail)}" if node.detail else "")
        named = f":::{node.kind}" if node.kind in _CLASSES else ""
        rows.append(f'  {mermaid_id(node.id)}{opened}"{text}"{closed}{named}')
    for edge in graph.edges:
        arrow = "-.->" if edge.is_call else "-->"
        label = f'|"{_mermaid_text(", ".join(edge.labels))}"|' if edge.labels else ""
        rows.append(f"  {mermaid_id(edge.source)} {arrow}{label} {mermaid_id(edge.target)}")
    return "\n".join([*rows, _CLASSES])


def mermaid_id(id_: str) -> str:
    """A node's id as Mermaid takes it; two nodes never share one."""
    return re.sub(r"[^A-Za-z0-9]", lambda sign: "__" if sign[0] == "/" else f"_{ord(sign[0])}_", id_)


def _mermaid_text(text: str) -> str:
    """Whatever means something to Mermaid or to HTML, as a character's number."""
    return re.sub(r"[^\w .,:/?!$(){}=+-]", lambda sign: f"#{ord(sign[0])};", text)
