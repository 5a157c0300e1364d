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
from flows.house import around, house_of, inside
from flows.language import Language
from flows.library import Library
from flows.loaded import Loaded
from flows.mending import Mended, read_fields
from flows.mistakes import merged
from flows.problems import Problem, Where
from flows.reader import Map, Seq, where_of

PATTERN = "*.test.yaml"
SHARED = ("flow", "given", "mocks", "always")  # what a file of several tests may say once for all


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
        for path in inside(given, (PATTERN,)):
            files.setdefault(path, given)
    return files


class ScenarioReader:
    """Reads test files; flows of one folder are loaded once. ``flows``: where they are, instead of beside the tests."""

    def __init__(self, language: Language, flows: Path | None = None) -> None:
        self._language = language
        self._flows = flows
        self._houses: dict[Path, Loaded] = {}

    @property
    def libraries(self) -> list[Library]:
        """Every flow that was loaded and can run."""
        return [loaded.sound for loaded in self._houses.values()]

    @property
    def left_out(self) -> list[str]:
        """The files beside them that have errors, so that what they hold cannot run."""
        wrong = (one.file for loaded in self._houses.values() for one in loaded.problems if one.severity == "error")
        return sorted(set(wrong))

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
        loaded = self._loaded(path)
        wrong: set[Problem] = set()
        for fields, given, mended in tests:
            flow = loaded.flow(fields.flow)
            wrong.update(loaded.unread() if flow is None else loaded.in_the_way(flow))
            if flow is not None and fields.flow not in loaded.sound.flows:
                continue
            apart = Draft(path, path.parent, _no_steps)
            check_names(fields, given, loaded.sound, apart)
            draft.problems += [one for one in apart.problems if mended is None or one.where not in mended.places]
        if wrong or draft.problems:
            return ScenarioFile(path, (), tuple(sorted(wrong.union(draft.problems))))
        return ScenarioFile(path, tuple(Scenario(path, fields, loaded.sound) for fields, _, _ in tests), ())

    def _loaded(self, path: Path) -> Loaded:
        """What a test runs on."""
        house = self._flows or house_of(path)
        key = house.resolve()
        if key not in self._houses:
            self._houses[key] = self._language.load(around(house))
        return self._houses[key]


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
