"""Flows from their files, at the start and whenever they change: read, checked, and with their voices at hand."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import structlog

from engine.errors import UserError
from engine.verbs import installed
from engine.voices import known_voices
from flows.flow import Flow
from flows.language import Language
from flows.library import Library

log = structlog.get_logger()


class FlowsError(UserError):
    """The flows cannot be used. ``problems`` says why, a line each; ``files`` are those that were read or missed."""

    def __init__(self, problems: Sequence[str], files: Iterable[Path] = ()) -> None:
        super().__init__("the flows cannot be used:\n  " + "\n  ".join(problems))
        self.problems = tuple(problems)
        self.files = frozenset(files)


def load_library(
    paths: Sequence[Path], text_model: str | None = None, accounts: Collection[str] | None = None
) -> Library:
    """The flows of these files and folders; warnings are logged. Raises `FlowsError` with every problem in them.

    ``text_model``: who writes for flows that name nobody; "" when there is nobody, None when that is not known.
    ``accounts``: those that flows and routes may name; None when they are not known.

    It computes for about 0.1 s for 2,000 lines (measured), so call it in a thread when calls are live.
    """
    loaded = Language(installed(), known_voices(), text_model, accounts).load(paths)
    for problem in loaded.problems:
        if problem.severity == "warning":
            log.warning(str(problem))
    if loaded.library is None:
        errors = [str(problem) for problem in loaded.problems if problem.severity == "error"]
        raise FlowsError(errors, loaded.files)
    if not loaded.library.flows:
        places = ", ".join(map(str, paths))
        missing = f"there is no flow in {places}: set flows (HOOKFLASH_FLOWS) to files or folders with *.flow.yaml"
        raise FlowsError([missing], loaded.files)
    return loaded.library


def voices_of(library: Library) -> dict[str | None, list[str]]:
    """The names of the voices that these flows use, sorted, by the account under which they do; None is the engine's
    own.
    """
    return {account: _named(flows) for account, flows in accounts_of(library).items()}


def _named(flows: Collection[Flow]) -> list[str]:
    steps = [step.fields for flow in flows for step in flow.walk()]
    named = {
        name for fields in steps for name in (*getattr(fields, "providers", ()), getattr(fields, "listening", None))
    }
    writing = {flow.text_model for flow in flows}
    return sorted(str(name) for name in named | writing if name)


def accounts_of(library: Library) -> dict[str | None, list[Flow]]:
    """The accounts under which calls come, and the flows that run under each, those that they call included.

    None is the engine's own account. Flows that no route leads to run as they say themselves.
    """
    found: dict[str | None, dict[str, Flow]] = {}
    for route in library.routes:
        for flow in _versions(library, route.flow):
            _gather(library, flow, found.setdefault(route.account or flow.account, {}))
    reached = {flow.revision for flows in found.values() for flow in flows.values()}
    for flow in (*library.flows.values(), *library.next.values()):
        if flow.revision not in reached:
            found.setdefault(flow.account, {})[flow.revision] = flow
    return {account: list(flows.values()) for account, flows in found.items()}


def _gather(library: Library, flow: Flow, into: dict[str, Flow]) -> None:
    """A flow and those that it calls."""
    if flow.revision in into:
        return
    into[flow.revision] = flow
    for step in flow.walk():
        if step.verb.name == "call":
            for called in _versions(library, str(getattr(step.fields, "flow", ""))):
                _gather(library, called, into)


def _versions(library: Library, name: str) -> Iterator[Flow]:
    """The flow of this name and its next version, as far as there are any."""
    for flows in (library.flows, library.next):
        if name in flows:
            yield flows[name]


def listens(library: Library) -> bool:
    """Whether a step of these flows has speech written down by the engine's own voice for that."""
    flows = (*library.flows.values(), *library.next.values())
    return any(
        getattr(step.fields, "listening", "") is None
        and (getattr(step.fields, "input", "") in ("speech", "any") or getattr(step.fields, "transcribe", False))
        for flow in flows
        for step in flow.walk()
    )


def closed_to_webhooks(library: Library, token: str) -> str:
    """What is wrong with flows that wait for webhooks while this engine, without a token, refuses all; "" when not."""
    flows = (*library.flows.values(), *library.next.values())
    waits = (flow.name for flow in flows for step in flow.walk() if getattr(step.fields, "event", None) == "webhook")
    names = sorted(set(waits))
    if token or not names:
        return ""
    return f"{', '.join(names)}: waits for webhooks, which are all refused until events.token is set"


def settle() -> None:
    """Keep the garbage collector away from what was loaded, which lives as long as its flows are in use.

    A full collection would walk all of it and stop the process, and with it every live call, for 117 ms (measured).
    """
    gc.collect()
    gc.freeze()
