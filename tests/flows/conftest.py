from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from verbs import VERBS

from flows.language import Language, Loaded

RESOURCES = """
calendars:
  office:
    timezone: Europe/Berlin
    open: {mon-fri: ["09:00-18:00"]}
endpoints:
  pos: {base_url: "https://pos.example/api"}
"""

type_of_load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type_of_load:
    """Writes files into a folder of their own and loads them: ``load("flow: a\\n…")`` or ``load(files={...})``."""
    monkeypatch.chdir(tmp_path)

    def load(
        flow: str | None = None, *, files: dict[str, str | bytes] | None = None, resources: str = RESOURCES
    ) -> Loaded:
        written: dict[str, str | bytes] = {"resources.yaml": resources, **(files or {})}
        if flow is not None:
            written["f.flow.yaml"] = flow
        for name, content in written.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        return Language(VERBS).load([Path()])

    return load


@pytest.fixture
def problems(load: type_of_load) -> Callable[..., list[str]]:
    """What loading has to say about a flow, one line a problem."""

    def problems(flow: str | None = None, **more: object) -> list[str]:
        return [str(problem) for problem in load(flow, **more).problems]

    return problems


@pytest.fixture
def steps(problems: Callable[..., list[str]]) -> Callable[[str], list[str]]:
    """What loading has to say about a list of steps under a small flow's head (the first step is in line 8)."""
    head = (
        "flow: f\n"
        "vars: {round: {type: integer, default: 0}, price: {type: number, default: 1.0}, name: {type: string},\n"
        "       order: {type: object, default: {}}}\n"
        "input: {plan: {type: string}}\n"
        "handlers: [{event: error, goto: person}]\n"
        "sections:\n"
        "  person: [{hangup: {}}]\n"
        "steps:\n"
    )

    def steps(text: str) -> list[str]:
        return problems(head + textwrap.indent(textwrap.dedent(text).strip("\n"), "  ") + "\n")

    return steps
