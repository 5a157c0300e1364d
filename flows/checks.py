"""What can only be seen from the whole flow: names that do not exist, ways to end that nobody handles, steps never
reached."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flows.addresses import instead_of, is_address
from flows.compiler import FlowReader
from flows.flow import Flow, Step, walk
from flows.mending import Mended
from flows.problems import Problem, Where, did_you_mean, has
from flows.reader import Map
from flows.resources import Resources
from flows.restart import forgotten
from flows.scope import Scope, VoiceFacts
from flows.secrets import Chains
from flows.verb import Verb

# Outcomes for which a handler of another name answers before `error` does.
_HANDLER_OF = {"provider_error": "provider_down", "silence": "silence"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What exists around the flows."""

    flows: Mapping[str, Flow]
    resources: Resources
    voices: Mapping[str, VoiceFacts] | None
    text_model: str | None = None
    accounts: Collection[str] | None = None
    secrets: Mapping[str, Chains] = field(default_factory=dict)  # by flow
    unread: Collection[str] = ()  # flows of which a part could not be read

    def names(self, kind: str, flow: Flow) -> Collection[str] | None:
        """The known names of a kind of reference; None when they are not known."""
        match kind:
            case "account":
                return self.accounts
            case "section":
                return flow.sections
            case "flow":
                return self.flows
            case "calendar":
                return self.resources.calendars
            case "endpoint":
                return self.resources.endpoints
            case "destination":
                return self.resources.destinations
            case "prompt":
                return self.resources.prompts
        raise ValueError(f"unknown kind of reference: {kind}")


def check(reader: FlowReader, around: Surroundings) -> Iterator[Problem]:
    """Everything that is wrong with a flow beyond the shape of its parts."""
    flow = reader.flow
    assert flow is not None
    yield from _references(reader, flow, around)
    yield from _text_model(reader, flow, around)
    yield from _verbs(reader, flow, around)
    if reader.handlers_are_whole:
        yield from _unhandled(flow)
    yield from _keys(reader, flow)
    yield from _after_hangup(flow)
    if reader.reader.broken:
        return  # a step is missing from the picture: where the others lead would mislead
    yield from _unreachable(reader, flow)
    yield from _loops(flow)
    yield from forgotten(reader, flow)


def _references(reader: FlowReader, flow: Flow, around: Surroundings) -> Iterator[Problem]:
    for reference in reader.reader.draft.references:
        known = around.names(reference.kind, flow)
        if known is not None and reference.name not in known:
            near = did_you_mean(reference.name, known) or has(known)
            if reference.kind == "endpoint" and is_address(reference.name):
                near = f": an endpoint is a name, not an address; {instead_of(reference.name)}"
            yield Problem.at(reference.where, "E302", f"unknown {reference.kind} '{reference.name}'{near}")


def _text_model(reader: FlowReader, flow: Flow, around: Surroundings) -> Iterator[Problem]:
    """The provider that shall write for the flow."""
    name, voices = flow.text_model, around.voices
    if name is None or voices is None:
        return
    writers = [voice for voice, facts in voices.items() if facts.writes]
    if name not in voices:
        near = did_you_mean(name, writers) or has(writers)
        yield Problem.at(reader.text_model_at, "E302", f"unknown provider '{name}'{near}")
    elif name not in writers:
        message = f"the provider '{name}' has no text model{has(writers)}"
        yield Problem.at(reader.text_model_at, "E311", message)


def _verbs(reader: FlowReader, flow: Flow, around: Surroundings) -> Iterator[Problem]:
    """Each verb's own check."""
    for step in flow.walk():
        scope = Scope(
            flow=flow,
            step=step,
            given=reader.reader.given[step.path],
            vars=flow.vars,
            input=flow.input,
            sections=frozenset(flow.sections),
            flows=around.flows,
            resources=around.resources,
            voices=around.voices,
            text_model=flow.text_model or around.text_model,
            secrets=around.secrets.get(flow.name, {}),
            saved=reader.reader.saves.get(step.path) or Map(),
            unread=around.unread,
        )
        mended = reader.reader.mended.get(step.path)
        if mended is None:
            yield from step.verb.check(step.fields, scope)
        else:
            yield from mended.checked(partial(_checked, step.verb, scope), step.fields)


def _checked(verb: Verb, scope: Scope, fields: Any) -> Iterable[Problem]:
    return verb.check(fields, scope)


def _unhandled(flow: Flow) -> Iterator[Problem]:
    """Bad outcomes that neither the step, nor a `catch` around it, nor a handler answers for."""
    events: set[str] = {handler.event for handler in flow.handlers}
    for steps in (flow.steps, *flow.sections.values(), *(handler.steps or () for handler in flow.handlers)):
        yield from _unhandled_in(steps, events, caught=False)


def _unhandled_in(steps: tuple[Step, ...], events: set[str], caught: bool) -> Iterator[Problem]:
    for step in steps:
        inside = caught or step.catch is not None
        if not inside and not step.disabled:
            yield from _unhandled_of(step, events)
        for inner in (*step.outcomes.values(), *step.nested):
            yield from _unhandled_in(inner, events, inside)
        if step.catch is not None:
            yield from _unhandled_in(step.catch, events, caught)


def _unhandled_of(step: Step, events: set[str]) -> Iterator[Problem]:
    bad, any_bad, name = step.possible.bad, step.possible.any_bad, step.verb.name
    if any_bad is not None and any_bad in step.outcomes:
        return
    if any(way not in (*step.possible.names, any_bad) for way in step.outcomes):
        return  # a name that is wrong may be meant for one of them
    left = [way for way in bad if way not in step.outcomes and _HANDLER_OF.get(way) not in events]
    if "error" in events:
        if any_bad is not None and not any(way in step.outcomes for way in bad):
            message = f"{name} has no failure outcome; the flow's error handler will run"
            yield Problem.at(step.where, "W401", message)
    elif left and any_bad is not None:
        message = f"{name} has no failure outcome, and the flow has no error handler; the safety destination will ring"
        yield Problem.at(step.where, "W401", message)
    elif left:
        ways = ", ".join(left)
        message = f"{name} may end with {ways}, which nothing in this flow handles; the safety destination will ring"
        yield Problem.at(step.where, "W401", message)


def _ends(step: Step) -> bool:
    """Whether no step behind this one is ever reached through it."""
    return not step.verb.falls_through and step.when is None and not step.disabled and not step.outcomes


def _unreachable(reader: FlowReader, flow: Flow) -> Iterator[Problem]:
    for steps in _lists(flow):
        for step, following in itertools.pairwise(steps):
            if _ends(step):
                message = f"this step is never reached: '{step.verb.name}' in line {step.where.line} does not go on"
                yield Problem.at(following.where, "W402", message)
                break
    reached: set[str] = set()
    starts = [flow.steps, *(handler.steps or () for handler in flow.handlers)]
    ahead = {name for steps in starts for name in _targets(steps)}
    ahead |= {handler.goto for handler in flow.handlers if handler.goto} | ({flow.recover} if flow.recover else set())
    while ahead:
        name = ahead.pop()
        if name in reached or name not in flow.sections:
            continue
        reached.add(name)
        ahead |= set(_targets(flow.sections[name]))
    for name in flow.sections:
        if name not in reached:
            yield Problem.at(reader.section_at[name], "W402", f"section '{name}' is never reached")


def _lists(flow: Flow) -> Iterator[tuple[Step, ...]]:
    yield flow.steps
    yield from flow.sections.values()
    yield from (handler.steps for handler in flow.handlers if handler.steps is not None)
    for step in flow.walk():
        yield from step.inner()


def _targets(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in walk(steps):
        yield from step.verb.sections(step.fields)


def _loops(flow: Flow) -> Iterator[Problem]:
    """Sections that come back to themselves without ever waiting for the caller."""
    edges = {name: dict(_jumps(steps)[0]) for name, steps in flow.sections.items()}
    for name in flow.sections:
        for target, where in edges[name].items():
            if name in _reachable(target, edges):
                message = (
                    f"this leads back to section '{name}' without waiting for the caller in between; "
                    "after 32 jumps the call ends with 'error: loop'"
                )
                yield Problem.at(where, "W403", message)


def _reachable(start: str, edges: Mapping[str, Mapping[str, Where]]) -> set[str]:
    found: set[str] = set()
    ahead = {start}
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead |= set(edges.get(name, {}))
    return found


def _jumps(steps: tuple[Step, ...]) -> tuple[list[tuple[str, Where]], bool]:
    """The sections that these steps can come to before any step waits for the caller, and whether they can come to
    their end."""
    found: list[tuple[str, Where]] = []
    for step in steps:
        if step.disabled:
            continue
        waits = step.verb.interactive or any(inner.verb.interactive for nested in step.nested for inner in walk(nested))
        if not waits:
            found += [(name, step.where) for name in step.verb.sections(step.fields)]
            for inner in step.inner():
                found += _jumps(inner)[0]
        if step.when is None and (waits or _ends(step)):
            return found, False
    return found, True


def _keys(reader: FlowReader, flow: Flow) -> Iterator[Problem]:
    """Keys that a step reads itself while a handler waits for them, too."""
    handled = {key: one.where for one in flow.handlers if one.event == "dtmf" for key in one.digits or ""}
    for step in flow.walk():
        taken = {*step.outcomes, *_read_keys(step, reader.reader.mended.get(step.path))}
        for key, where in handled.items():
            if key in taken:
                message = (
                    f"key '{key}' belongs to this step while it runs; the dtmf handler in line {where.line} "
                    "does not fire here"
                )
                yield Problem.at(step.where, "W404", message)


def _read_keys(step: Step, mended: Mended | None) -> str:
    """The keys that a step takes for itself, as far as that is known."""
    own = getattr(step.verb, "keys", None)
    if own is None:
        return ""
    keys, sure = (own(step.fields), True) if mended is None else mended.sure(own, step.fields)
    return str(keys) if sure else ""


def _after_hangup(flow: Flow) -> Iterator[Problem]:
    """The `hangup` handler runs when the caller has gone."""
    for handler in flow.handlers:
        if handler.event != "hangup":
            continue
        ahead = [handler.steps if handler.steps is not None else flow.sections.get(handler.goto or "", ())]
        seen: set[str] = set()
        while ahead:
            for step in walk(ahead.pop()):
                if step.verb.needs_caller:
                    message = f"'{step.verb.name}' needs the caller, who has hung up when this handler runs"
                    yield Problem.at(step.where, "E308", message)
                led = set(step.verb.sections(step.fields)) & flow.sections.keys() - seen
                seen |= led
                ahead += [flow.sections[name] for name in sorted(led)]
