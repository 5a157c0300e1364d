"""What came of loading files: all of it for the engine, which takes everything or nothing; for authors each flow with
what stands in its own way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.flow import Flow
from flows.house import SHARED
from flows.library import Library
from flows.problems import Problem


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A flow as far as it could be read, with the problems of its file and of those that it names (prompts), and the
    names of the flows that it calls."""

    flow: Flow
    is_next: bool
    problems: tuple[Problem, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading: a library when nothing is wrong but warnings, and every problem of every file.

    ``files`` are those that were read, and those that were missed: what a change of them may put right. ``read`` are
    the flows that could be read, right or wrong; ``sound`` is a library of those in whose way nothing stands.
    """

    library: Library | None
    problems: list[Problem]
    files: frozenset[Path]
    read: tuple[FlowFile, ...]
    sound: Library

    def flow(self, name: str) -> FlowFile | None:
        """The flow of this name, right or wrong; not its next version."""
        return next((one for one in self.read if one.flow.name == name and not one.is_next), None)

    def of(self, path: Path) -> FlowFile | None:
        """The flow of a file, right or wrong."""
        own = os.path.abspath(path)
        return next((one for one in self.read if os.path.abspath(one.flow.file) == own), None)

    def in_the_way(self, given: FlowFile) -> list[Problem]:
        """The errors for which a flow cannot run: its own, those of flows that it calls, and those of resources.yaml;
        where it calls one that is not there, also those of files that could not be read at all."""
        return in_the_way(given, self.read, self.problems)

    def told(self, path: Path) -> list[Problem]:
        """What an author of one of the files is told: all that is wrong with it, and the errors of others that stand in
        its way."""
        flow = self.of(path)
        if flow is not None:
            return sorted({*flow.problems, *self.in_the_way(flow)})
        own = os.path.abspath(path)
        found = [problem for problem in self.problems if os.path.abspath(problem.file) == own]
        if path.name == "routes.yaml" and any(problem.code == "E302" for problem in found):  # to no known flow
            found += self.unread()
        return sorted(set(found))

    def unread(self) -> list[Problem]:
        """The errors of files that might be flows, if they could be read."""
        return _unread(self.read, self.problems)


def in_the_way(given: FlowFile, read: Iterable[FlowFile], problems: Iterable[Problem]) -> list[Problem]:
    """As `Loaded.in_the_way`."""
    read, problems = list(read), list(problems)
    by_name: dict[str, FlowFile] = {}
    for one in read:
        if not one.is_next:
            by_name.setdefault(one.flow.name, one)
    found = {problem for problem in problems if Path(problem.file).name == "resources.yaml"}
    ahead, seen = [given], {id(given)}
    while ahead:
        flow = ahead.pop()
        found.update(flow.problems)
        for name in flow.calls:
            called = by_name.get(name)
            if called is None:
                found.update(_unread(read, problems))
            elif id(called) not in seen:
                seen.add(id(called))
                ahead.append(called)
    return sorted(problem for problem in found if problem.severity == "error")


def _unread(read: Iterable[FlowFile], problems: Iterable[Problem]) -> list[Problem]:
    known = {problem for one in read for problem in one.problems}
    return [
        problem
        for problem in problems
        if problem.severity == "error" and problem not in known and Path(problem.file).name not in SHARED
    ]
