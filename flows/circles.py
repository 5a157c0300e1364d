"""Flows that call one another in a circle: they would go deeper with every turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flows.draft import Reference
from flows.problems import Problem


def circles(references: Mapping[str, Sequence[Reference]]) -> Iterator[Problem]:
    """A problem at every call that leads back to its own flow; ``references`` are those of each flow, of all kinds."""
    calls = {name: [one for one in found if one.kind == "flow"] for name, found in references.items()}
    for name, found in calls.items():
        for call in found:
            way = _way(call.name, name, calls)
            if way is not None:
                message = f"flow '{name}' would run inside itself: {' -> '.join((name, *way))}; use goto or repeat"
                yield Problem.at(call.where, "E309", message)


def _way(start: str, goal: str, calls: Mapping[str, Sequence[Reference]]) -> tuple[str, ...] | None:
    """The shortest way from one flow to another by calls, both included."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for way in ways:  # grows while it is walked
        if way[-1] == goal:
            return way
        for call in calls.get(way[-1], ()):
            if call.name not in seen:
                seen.add(call.name)
                ways.append((*way, call.name))
    return None
