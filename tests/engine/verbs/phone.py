"""Flows as authors write them: loaded with the installed verbs, called on the virtual line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from engine.call import Call
from engine.http import Http, Reply
from engine.record import CallRecord
from engine.services import Services
from engine.verb import installed
from engine.virtual import VirtualLine, VirtualProvider, virtual_services
from flows.language import Language, Loaded
from flows.library import Library
from flows.resources import Endpoint
from tests.engine.support import beside_script


class Endpoints(Http):
    """Endpoints without a network. ``answers``: what comes from a path: a body, an exception, or a list of them in
    order, the last one for ever; ``(seconds, answer)`` comes late."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__()
        self.answers = {path: list(one) if isinstance(one, list) else [one] for path, one in answers.items()}
        self.asked: list[dict[str, Any]] = []

    async def request(self, endpoint: Endpoint, method: str, path: str, **more: Any) -> Reply:
        self.asked.append({"endpoint": endpoint.name, "method": method, "path": path, **more})
        answers = self.answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        seconds, answer = answer if isinstance(answer, tuple) else (0.0, answer)
        await asyncio.sleep(seconds)
        if isinstance(answer, Exception):
            raise answer
        return Reply(200, answer)


Script = Callable[[VirtualLine], Awaitable[None]]

RESOURCES = """
calendars:
  office:
    timezone: Europe/Berlin
    open: {mon-fri: ["09:00-18:00"]}
    holidays: [{date: "2026-12-25", name: Christmas}]
endpoints:
  pos: {base_url: "https://pos.example/api", timeout: 5s}
destinations:
  front-desk: "pjsip:front-desk"
prompts:
  welcome: Welcome to Bella's.
"""


def flow(steps: str, *, head: str = "", name: str = "test") -> str:
    """A flow's text: its steps under a head of which tests say only what matters to them."""
    return (
        f"flow: {name}\n{dedent(head).strip()}\nsteps:\n{indent(dedent(steps).strip(), '  ')}\n"
        if head.strip()
        else f"flow: {name}\nsteps:\n{indent(dedent(steps).strip(), '  ')}\n"
    )


def load(folder: Path, *flows: str, files: Mapping[str, str | bytes] | None = None) -> Loaded:
    """Write flows and the files beside them into a folder, and load it as an engine does."""
    written: dict[str, str | bytes] = {"resources.yaml": RESOURCES, **(files or {})}
    written.update({f"{number}.flow.yaml": text for number, text in enumerate(flows)})
    for name, content in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Language(installed()).load([folder])


def library(folder: Path, *flows: str, files: Mapping[str, str | bytes] | None = None) -> Library:
    """The same when nothing is wrong with it but warnings."""
    loaded = load(folder, *flows, files=files)
    assert loaded.library is not None, "\n".join(map(str, loaded.problems))
    return loaded.library


def problems(folder: Path, steps: str, *, head: str = "", others: tuple[str, ...] = ()) -> list[str]:
    """What `hookflash check` says of these steps, without the file's name. `line:column: …`; the first step of a flow
    without a head is in line 3."""
    loaded = load(folder, flow(steps, head=head), *others)
    return [str(problem).split("0.flow.yaml:", 1)[-1] for problem in loaded.problems]


@dataclass(frozen=True)
class Over:
    """A call that is over."""

    record: CallRecord
    line: VirtualLine
    provider: VirtualProvider
    services: Services
    call: Call

    @property
    def ways(self) -> list[tuple[str, str | None]]:
        """Every step that ran, and how it ended."""
        return [(step.verb, step.outcome) for step in self.record.steps]

    @property
    def heard(self) -> list[str]:
        """What the caller was told, in words."""
        return self.line.log.heard()

    @property
    def voice(self) -> Any:
        """The voice of the last conversation."""
        return self.provider.voices[-1]


async def dial(
    house: Library, script: Script | None = None, *replies: Any, name: str = "test", line: VirtualLine | None = None,
    targets: Mapping[str, object] | None = None, provider: VirtualProvider | None = None,
    services: Services | None = None, **changes: Any,
) -> Over:  # fmt: skip
    """Run a call of the flow ``name`` to its end. Whatever happens, nothing may be left behind."""
    line = line or VirtualLine(targets=targets)
    provider = provider or VirtualProvider(replies)
    services = services or virtual_services(provider, **{"default_voice": provider.name, **changes})
    call = Call(line, house.flows[name], house, services)
    record = await beside_script(call, None if script is None else lambda: script(line))
    assert line.left_over == []
    assert all(voice.closed for voice in provider.voices)
    assert record.ended is not None
    assert all(step.outcome is not None for step in record.steps)
    assert not services.metrics.registry.get_sample_value(
        "hookflash_provider_sessions_active", {"provider": provider.name}
    )
    return Over(record, line, provider, services, call)


def counted(over: Over, name: str, **labels: str) -> float:
    """The value of a series, 0 when nothing was ever counted."""
    return over.services.metrics.registry.get_sample_value(f"hookflash_{name}", labels) or 0.0
