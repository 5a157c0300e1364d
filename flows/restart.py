"""What the check says of the section at which a call goes on when its engine died: earlier steps are forgotten."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from flows.compiler import FlowReader
from flows.flow import Flow, walk
from flows.problems import Problem, Where


def forgotten(reader: FlowReader, flow: Flow) -> Iterator[Problem]:
    """W406: expressions that are read after a restart, about steps that only ran before it."""
    if flow.recover is None:
        return
    after = _reached(flow, flow.recover)
    again = {step.id for name in after for step in walk(flow.sections[name])}
    steps = {step.id for step in flow.walk() if step.id is not None}
    starts = sorted((_place(where), name) for name, where in _beginnings(reader))
    for expression, _ in reader.reader.draft.expressions:
        found = bisect_right(starts, (_place(expression.where), "\U0010ffff")) - 1
        if found < 0 or starts[found][1] not in after:
            continue
        read = {name.split(".")[1] for name in expression.names if name.startswith("steps.")}
        for step in sorted((read & steps) - again):
            message = (
                f"steps.{step} is empty when a call goes on here after its engine died (recover: {flow.recover}): "
                "keep what is needed in a variable (set)"
            )
            yield Problem.at(expression.where, "W406", message)


def _reached(flow: Flow, section: str) -> set[str]:
    found: set[str] = set()
    ahead = {section}
    while ahead:
        name = ahead.pop()
        if name in flow.sections and name not in found:
            found.add(name)
            ahead |= {target for step in walk(flow.sections[name]) for target in step.verb.sections(step.fields)}
    return found


def _beginnings(reader: FlowReader) -> Iterator[tuple[str, Where]]:
    """Where in the file a section begins, and where something else does (an empty name)."""
    yield from reader.section_at.items()
    yield from (("", where) for where in reader.tree.key_at.values())


def _place(where: Where) -> tuple[int, int]:
    return where.line, where.column
