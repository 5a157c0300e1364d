"""The language as its users see it: give it the verbs that are installed, then load files or describe them to an
editor."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows import reader, schema
from flows.checks import Surroundings, check
from flows.circles import circles
from flows.compiler import FlowReader
from flows.contents import contents
from flows.dialling import Dialling
from flows.draft import Draft
from flows.flow import Flow
from flows.house import PATTERNS, inside
from flows.library import Library
from flows.loaded import FlowFile, Loaded, in_the_way
from flows.mailboxes import RECIPIENT
from flows.problems import Problem, Where, did_you_mean, has
from flows.reader import Map, Seq
from flows.resources import Resources, read_resources
from flows.routes import Route, read_routes
from flows.scope import VoiceFacts
from flows.secrets import Secrets
from flows.verb import Verb
from flows.versions import is_next, sticky_names

MAX_FILES = 2000


@dataclass(slots=True)
class _Files:
    """The files of one load, read into trees."""

    flows: list[FlowReader]
    resources: Resources
    routes: tuple[Route, ...]
    drafts: list[Draft]
    problems: list[Problem]
    revision: Any
    sought: set[Path]


class Language:
    """The flow language with these verbs (by name), and the voices whose capabilities are known, if any are.

    ``text_model`` is the provider that writes for flows that name none: "" when there is none, None when the engine's
    settings are not known (`hookflash check`). ``accounts`` are those that flows and routes may name; None when they
    are not known.
    """

    def __init__(
        self,
        verbs: Mapping[str, Verb],
        voices: Mapping[str, VoiceFacts] | None = None,
        text_model: str | None = None,
        accounts: Collection[str] | None = None,
    ) -> None:
        self.verbs = dict(verbs)
        self.voices = voices
        self.text_model = text_model
        self.accounts = accounts

    def schema(self) -> dict[str, Any]:
        """A JSON Schema (draft 2020-12) of flow files, for editors."""
        return schema.flow_schema(self.verbs)

    def load(self, paths: Iterable[Path | str]) -> Loaded:
        """Read files and folders (``*.flow.yaml``, ``routes.yaml``, ``resources.yaml``) and report every problem in
        them.

        A folder given here is the root that the files named by its flows may not leave; for a single file it is the
        file's own folder. Never raises for what the files hold.
        """
        files = self._read(paths)
        flows, nexts = self._flows(files)
        for flow_reader in files.flows:
            flow_reader.compile_expressions(files.resources.calendars)
        secrets, soon = Secrets(flows), Secrets({**flows, **nexts})
        unread = {one.flow.name for one in files.flows if one.flow and one.reader.broken}
        around = Surroundings(
            flows, files.resources, self.voices, self.text_model, self.accounts, secrets.holding(), unread
        )
        ahead = replace(around, secrets=soon.holding()) if nexts else around
        files.problems = [problem for problem in files.problems if not _told_by_name(problem, files.flows)]
        for flow_reader in files.flows:
            flow_reader.problems += list(check(flow_reader, ahead if is_next(flow_reader.file) else around))
        files.problems += circles(
            {one.flow.name: one.reader.draft.references for one in files.flows if one.flow and not is_next(one.file)}
        )
        for draft in files.drafts:
            files.problems += draft.problems + list(_references(draft, around))
            if draft.expressions:
                names = sticky_names()
                files.problems += [wrong for expression, _ in draft.expressions for wrong in expression.compile(names)]
        read = _flow_files(files)
        problems = sorted({*files.problems, *(problem for one in read for problem in one.problems)})
        sought = frozenset(files.sought.union(*(flow_reader.reader.draft.sought for flow_reader in files.flows)))
        revision = files.revision.hexdigest()[:16]
        secret = _by_revision(flows, secrets.copies()) | _by_revision(nexts, soon.copies())
        library = Library(flows, files.routes, files.resources, revision, sought, nexts, secret)
        if not any(problem.severity == "error" for problem in problems):
            return Loaded(library, problems, sought, read, library)
        right = {one.flow.revision for one in read if not in_the_way(one, read, problems)}
        sound = replace(library, flows=_among(right, flows), next=_among(right, nexts))
        return Loaded(None, problems, sought, read, sound)

    def _read(self, paths: Iterable[Path | str]) -> _Files:
        files = _Files([], Resources(), (), [], [], hashlib.sha256(), set())
        for path, (root, is_named) in _found(paths, files.problems).items():
            files.sought.add(path)
            try:
                content = contents(path, reader.MAX_BYTES, within=None if is_named else root)
            except OSError as error:
                files.problems.append(Problem.at(Where(str(path), 1, 1), "E101", f"cannot be read: {error.strerror}"))
                continue
            files.revision.update(os.fsencode(path.relative_to(root)) + b"\0" + hashlib.sha256(content).digest())
            tree, problems = reader.read(str(path), content)
            files.problems += problems
            if tree is None and problems:
                continue
            self._take(files, path, root, content, tree)
        return files

    def _take(self, files: _Files, path: Path, root: Path, content: bytes, tree: Any) -> None:
        if path.name in ("resources.yaml", "routes.yaml"):
            draft = Draft(path, root, _no_steps)
            files.drafts.append(draft)
            if path.name == "routes.yaml":
                files.routes += read_routes(tree, draft)
            else:
                files.resources = _joined(files.resources, read_resources(tree, draft), draft)
        elif isinstance(tree, Map):
            files.flows.append(FlowReader.of(tree, path, content, root, self.verbs))
        else:
            message = "a flow is a mapping that begins with 'flow: NAME'"
            files.problems.append(Problem.at(Where(str(path), 1, 1), "E203", message))

    def _flows(self, files: _Files) -> tuple[dict[str, Flow], dict[str, Flow]]:
        """The stable flows by name, and the next versions of some of them."""
        stable: dict[str, Flow] = {}
        nexts: dict[str, Flow] = {}
        for flow_reader in files.flows:
            flow = flow_reader.read()
            flow_reader.flow = flow
            for name, content in flow_reader.reader.draft.files.items():
                files.revision.update(os.fsencode(name) + b"\0" + hashlib.sha256(content).digest())
            flows = nexts if is_next(flow_reader.file) else stable
            if flow.name in flows:
                message = f"flow '{flow.name}' is in {flows[flow.name].file} already"
                files.problems.append(Problem.at(_named(flow_reader), "E307", message))
            flows.setdefault(flow.name, flow)
        for flow_reader in files.flows:
            name = flow_reader.flow.name if flow_reader.flow else ""
            if is_next(flow_reader.file) and name not in stable:
                message = f"there is no flow '{name}' that this could be the next version of{has(stable)}"
                files.problems.append(Problem.at(_named(flow_reader), "E302", message))
        return stable, nexts


def _told_by_name(problem: Problem, readers: Iterable[FlowReader]) -> bool:
    """Whether a word that other YAML tools rewrite is the name of something in its file, which is told of the name."""
    return problem.code == "E105" and any(
        problem.message.startswith(f"unquoted '{name.partition('.')[2]}' ")
        for flow_reader in readers
        if str(flow_reader.file) == problem.file
        for name in flow_reader.reader.misnamed
    )


def _by_revision(flows: Mapping[str, Flow], names: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {flow.revision: names[name] for name, flow in flows.items()}


def _named(flow_reader: FlowReader) -> Where:
    """Where a flow has its name."""
    return flow_reader.tree.value_at.get("flow", flow_reader.tree.where)


def _flow_files(files: _Files) -> tuple[FlowFile, ...]:
    """The flows, each with its own problems: those of the load that have a place in its file are among them."""
    placed: dict[str, list[Problem]] = {}
    for problem in files.problems:
        placed.setdefault(problem.file, []).append(problem)
    found = []
    for one in files.flows:
        assert one.flow is not None
        draft = one.reader.draft
        own = sorted({*draft.problems, *one.problems, *placed.get(str(one.file), ())})
        calls = dict.fromkeys(reference.name for reference in draft.references if reference.kind == "flow")
        found.append(FlowFile(one.flow, is_next(one.file), tuple(own), tuple(calls)))
    return tuple(found)


def _among(revisions: Collection[str], flows: Mapping[str, Flow]) -> dict[str, Flow]:
    return {name: flow for name, flow in flows.items() if flow.revision in revisions}


def sources(paths: Iterable[Path | str]) -> list[Path]:
    """The files that `Language.load` would begin with; flows may name others (`Loaded.files`)."""
    return list(_found(paths, []))


def _found(paths: Iterable[Path | str], problems: list[Problem]) -> dict[Path, tuple[Path, bool]]:
    """The files to read, each with the root that what it names may not leave, and whether it was named itself: then it
    may be a link that leads out of there. In a stable order, none twice.
    """
    found: dict[Path, tuple[Path, bool]] = {}
    for given in map(Path, paths):
        if given.is_dir():
            names = inside(given, PATTERNS)
            if not names:
                problems.append(Problem.at(Where(str(given), 1, 1), "E101", "the folder holds no *.flow.yaml"))
            for path in names[:MAX_FILES]:
                found.setdefault(path, (given, False))
        elif given.is_file():
            found[given] = (found[given][0] if given in found else given.parent, True)
        else:
            problems.append(Problem.at(Where(str(given), 1, 1), "E101", "there is no such file or folder"))
    return found


def _references(draft: Draft, around: Surroundings) -> Iterable[Problem]:
    for reference in draft.references:
        known = _known(reference.kind, around)
        if known is not None and reference.name not in known:
            near = did_you_mean(reference.name, known) or has(known)
            if reference.kind == "destination" and reference.name in around.resources.groups:
                in_group = draft.file.name == "resources.yaml"
                near = ": a group holds no groups" if in_group else f": it is a group, write group:{reference.name}"
            yield Problem.at(reference.where, "E302", f"unknown {reference.kind} '{reference.name}'{near}")


def _known(kind: str, around: Surroundings) -> Collection[str] | None:
    """The names that routes.yaml (flows, calendars, accounts, whom to ring) and resources.yaml (members of groups,
    recipients of messages) refer to."""
    resources = around.resources
    if kind in ("destination", "group"):
        return resources.destinations if kind == "destination" else resources.groups
    if kind == RECIPIENT:
        return [*resources.endpoints, *resources.destinations, *(f"group:{name}" for name in resources.groups)]
    if kind == "account":
        return around.accounts
    return around.flows if kind == "flow" else resources.calendars


def _joined(first: Resources, second: Resources, draft: Draft) -> Resources:
    """Several resources.yaml make one set; a name that stands in two of them is a mistake."""
    kinds = ("calendars", "endpoints", "destinations", "groups", "prompts", "mailboxes")
    both: dict[str, Any] = {}
    for kind in kinds:
        known, added = getattr(first, kind), getattr(second, kind)
        for name in set(known) & set(added):
            draft.report(
                Where(str(draft.file), 1, 1), "E307", f"'{name}' is in the {kind} of another resources.yaml already"
            )
        both[kind] = {**known, **added}
    rules = [one.dialling for one in (first, second) if one.dialling != Dialling()]
    if len(rules) > 1:
        draft.report(Where(str(draft.file), 1, 1), "E307", "another resources.yaml has 'dialling' already")
    return Resources(**both, dialling=rules[0] if rules else Dialling())


def _no_steps(value: Seq) -> tuple[()]:
    return ()


__all__ = ["Language", "Library", "Loaded", "sources"]
