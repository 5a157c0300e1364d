"""Reads ``*.test.yaml``: a file holds one test, or several under ``tests:``. Mistakes come with their places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.scenario.fields import ScenarioFields
from engine.scenario.names import check_names
from flows import reader
from flows.contents import contents
from flows.draft import Draft
from flows.hours import known_keys
from flows.language import Language
from flows.library import Library
from flows.mending import Mended, read_fields
from flows.mistakes import merged
from flows.problems import Problem, Where
from flows.reader import Map, Seq, where_of

PATTERN = "*.test.yaml"
SHARED = ("flow", "given", "mocks", "always")  # what a file of several tests may say once for all
_LOADED = ("*.flow.yaml", "resources.yaml", "routes.yaml")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test and the flows that it runs on."""

    file: Path
    fields: ScenarioFields
    library: Library

    @property
    def name(self) -> str:
        """What it shows."""
        return self.fields.test


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """One file: its tests, or what is wrong with it or with its flows."""

    path: Path
    scenarios: tuple[Scenario, ...]
    problems: tuple[Problem, ...]


def is_test(path: Path) -> bool:
    """Whether a path is named as a test file."""
    return path.name.endswith(PATTERN.removeprefix("*")) and not path.is_dir()


def found(paths: Iterable[Path]) -> dict[Path, Path | None]:
    """The test files among these files and folders, in a stable order, each with the folder in which it was found; None
    when it was named itself. Hidden folders are left out.
    """
    files: dict[Path, Path | None] = {}
    for given in paths:
        if not given.is_dir():
            files[given] = None
            continue
        for path in sorted(given.rglob(PATTERN)):
            if not any(part.startswith(".") for part in path.relative_to(given).parts):
                files.setdefault(path, given)
    return files


def house_of(file: Path) -> Path:
    """The folder whose flows a test runs on: the nearest one at or above the test's that holds a flow, resources or
    routes, and what stands above it as long as that holds some, too."""

    def holds(folder: Path) -> bool:
        return any(next(folder.glob(pattern), None) is not None for pattern in _LOADED)

    folders = [file.parent, *file.absolute().parent.parents]
    start = next((index for index, folder in enumerate(folders) if holds(folder)), None)
    if start is None:
        return file.parent
    while start + 1 < len(folders) and holds(folders[start + 1]):
        start += 1
    return folders[start]


class ScenarioReader:
    """Reads test files; flows of one folder are loaded once. ``flows``: where they are, instead of beside the tests."""

    def __init__(self, language: Language, flows: Path | None = None) -> None:
        self._language = language
        self._flows = flows
        self._houses: dict[Path, tuple[Library | None, list[Problem]]] = {}

    @property
    def libraries(self) -> list[Library]:
        """Everything that was loaded."""
        return [library for library, _ in self._houses.values() if library is not None]

    def read(self, path: Path, within: Path | None = None) -> ScenarioFile:
        """One file. Never raises for what it holds. ``within``: the folder in which it was `found`, and must be."""
        try:
            tree, problems = reader.read(str(path), contents(path, reader.MAX_BYTES, within))
        except OSError as error:
            tree, problems = None, [Problem.at(Where(str(path), 1, 1), "E101", f"cannot be read: {error.strerror}")]
        if problems:
            return ScenarioFile(path, (), tuple(problems))
        draft = Draft(path, path.parent, _no_steps)
        tests = [test for given in _tests(tree, draft) if (test := _validated(given, draft)) is not None]
        house = (self._flows or house_of(path)).resolve()
        if house not in self._houses:
            loaded = self._language.load([self._flows or house_of(path)])
            self._houses[house] = loaded.library, [one for one in loaded.problems if one.severity == "error"]
        library, errors = self._houses[house]
        if library is None:
            return ScenarioFile(path, (), (*draft.problems, *errors))
        for fields, given, mended in tests:
            apart = Draft(path, path.parent, _no_steps)
            check_names(fields, given, library, apart)
            draft.problems += [one for one in apart.problems if mended is None or one.where not in mended.places]
        if draft.problems:
            return ScenarioFile(path, (), tuple(sorted(set(draft.problems))))
        return ScenarioFile(path, tuple(Scenario(path, fields, library) for fields, _, _ in tests), ())


def _tests(tree: Any, draft: Draft) -> list[Map]:
    """The mappings of the tests, each with what the file says for all of them."""
    start = Where(str(draft.file), 1, 1)
    if not isinstance(tree, Map):
        draft.report(start, "E203", "a test is a mapping that begins with 'test: WHAT IT SHOWS'")
        return []
    if "tests" not in tree:
        return [tree]
    known_keys(tree, ("tests", "note", *SHARED), draft)
    several = tree["tests"]
    if not isinstance(several, Seq) or not several:
        draft.report(tree.value_at["tests"], "E203", "'tests' must be a list of tests")
        return []
    shared = Map(tree.where)
    for key in SHARED:
        if key in tree:
            shared.put(key, tree[key], tree.key_at[key], tree.value_at[key])
    tests = []
    for index, given in enumerate(several):
        if isinstance(given, Map):
            tests.append(merged(shared, given))
        else:
            draft.report(several.value_at[index], "E203", "a test is a mapping that begins with 'test: WHAT IT SHOWS'")
    return tests


def _validated(given: Map, draft: Draft) -> tuple[ScenarioFields, Map, Mended | None] | None:
    fields, rest, mended = read_fields(ScenarioFields, given, draft, "a test", where_of(given))
    return None if fields is None else (fields, rest, mended)


def _no_steps(value: Seq) -> tuple[()]:
    return ()
