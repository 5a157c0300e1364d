"""Which steps of the flows ran in tests, and which outcomes of them were taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flows.flow import Flow, Step
from flows.library import Library

Ran = frozenset[tuple[str, str, str]]  # place, path and outcome of steps that ran


@dataclass(frozen=True, slots=True)
class FlowCoverage:
    """One flow. What is missing is given as ``line: step`` and ``line: step: outcome``."""

    flow: str
    file: str
    steps: int
    steps_run: int
    outcomes: int
    outcomes_taken: int
    missing: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """All flows of a run."""

    flows: tuple[FlowCoverage, ...]

    @property
    def percent(self) -> float:
        """Steps and outcomes together."""
        all = sum(one.steps + one.outcomes for one in self.flows)
        return 100.0 * sum(one.steps_run + one.outcomes_taken for one in self.flows) / all if all else 100.0


def coverage(libraries: Iterable[Library], ran: Iterable[Ran]) -> Coverage:
    """The coverage of every flow that the tests could have run."""
    seen: dict[tuple[str, str], set[str]] = {}
    for steps in ran:
        for where, path, outcome in steps:
            seen.setdefault((where, path), set()).add(outcome)
    flows = {flow.file: flow for library in libraries for flow in library.flows.values()}
    return Coverage(tuple(_of(flow, seen) for _, flow in sorted(flows.items())))


def _of(flow: Flow, seen: dict[tuple[str, str], set[str]]) -> FlowCoverage:
    steps = [step for step in flow.walk() if not step.disabled]
    missing: list[tuple[int, str]] = []
    outcomes = taken = run = 0
    for step in steps:
        ended = seen.get((str(step.where), step.path))
        run += ended is not None
        if ended is None:
            missing.append((step.where.line, _called(step)))
        for outcome in declared(step):
            outcomes += 1
            if _took(step, outcome, ended or set()):
                taken += 1
            elif ended is not None:
                missing.append((step.where.line, f"{_called(step)}: {outcome}"))
    return FlowCoverage(flow.name, flow.file, len(steps), run, outcomes, taken, tuple(sorted(missing)))


def declared(step: Step) -> list[str]:
    """The outcomes of which the author says something: those with steps of their own, and the exits of a talk."""
    return list(dict.fromkeys([*step.outcomes, *getattr(step.fields, "exits", ())]))


def _took(step: Step, outcome: str, ended: set[str]) -> bool:
    if outcome == step.possible.any_bad:  # stands for every failure that is not handled by its own name
        return any(
            name in ended for name in (*step.possible.bad, "error") if name == outcome or name not in step.outcomes
        )
    return outcome in ended


def _called(step: Step) -> str:
    return step.id or step.verb.name
