"""Names in a test that only its flow knows: steps, outcomes, exits, tools, variables, endpoints, destinations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.outcome import StepError
from engine.scenario.fields import EventFields, ExpectFields, NeverFields, ScenarioFields
from engine.values import fit
from engine.verbs.wait_for import WaitForFields
from flows.draft import Draft
from flows.flow import Flow, Step, Variable
from flows.json_schema import plain
from flows.library import Library
from flows.problems import Where, did_you_mean, has
from flows.reader import Map

WALKED = ("done", "error", "cancelled")  # ways in which any step can end


def steps_called(library: Library, name: str) -> list[Step]:
    """The steps with this id or verb, in any flow."""
    return [step for flow in library.flows.values() for step in flow.walk() if name in (step.id, step.verb.name)]


def exits(library: Library) -> set[str]:
    """Every exit of every conversation."""
    return {name for step in _all(library) for name in getattr(step.fields, "exits", ())}


def check_names(test: ScenarioFields, given: Map, library: Library, draft: Draft) -> None:
    """Report every name in a test that does not exist."""
    flow = library.flows.get(test.flow)
    if flow is None:
        _unknown(draft, given.value_at.get("flow", given.where), "flow", test.flow, library.flows)
        return
    _check_given(test, given, flow, draft)
    _check_mocks(test, given, library, draft)
    for index, item in enumerate(test.script):
        line = given["script"][index]
        if item.expect is not None:
            _check_expected(item.expect, line["expect"], library, draft)
        if item.converse is not None:
            _check_reply(line["converse"], library, draft)
        if item.event is not None:
            _check_event(item.event, line["event"], library, draft)
    for index, expected in enumerate(test.must):
        _check_expected(expected, given["must"][index], library, draft)
    for index, rule in enumerate(test.always):
        _check_expected(rule.never, given["always"][index]["never"], library, draft)


def target_of(name: str, library: Library) -> str:
    """A target as it is dialled; the name of a destination stands for its target."""
    destination = library.resources.destinations.get(name)
    return name if destination is None else destination.target


def _all(library: Library) -> Iterable[Step]:
    for flow in library.flows.values():
        yield from flow.walk()


def _unknown(draft: Draft, where: Where, kind: str, name: str, known: Iterable[str], code: str = "E302") -> None:
    known = set(known)
    draft.report(where, code, f"unknown {kind} '{name}'{did_you_mean(name, known) or has(known)}")


def _check_given(test: ScenarioFields, given: Map, flow: Flow, draft: Draft) -> None:
    _check_values("variable", test.given.vars, given, "vars", flow.vars, draft)
    _check_values("input", test.given.input, given, "input", flow.input, draft)
    for name, variable in flow.input.items():
        if variable.required and name not in test.given.input:
            draft.report(given.value_at["flow"], "E202", f"the flow '{flow.name}' needs the input '{name}'")


def _check_values(
    kind: str, values: Mapping[str, Any], given: Map, key: str, declared: Mapping[str, Variable], draft: Draft
) -> None:
    for name, value in values.items():
        places = given["given"][key]
        if name not in declared:
            _unknown(draft, places.key_at[name], kind, name, declared)
            continue
        try:
            fit(plain(value), declared[name].type, name)
        except StepError as error:
            draft.report(places.value_at[name], "E203", str(error))


def _check_mocks(test: ScenarioFields, given: Map, library: Library, draft: Draft) -> None:
    for index, answer in enumerate(test.mocks.http):
        if answer.match.endpoint is not None and answer.match.endpoint not in library.resources.endpoints:
            match = given["mocks"]["http"][index]["match"]
            _unknown(draft, match.value_at["endpoint"], "endpoint", match["endpoint"], library.resources.endpoints)
    for name in test.mocks.targets:
        _check_target(name, given["mocks"]["targets"].key_at[name], library, draft)


def _check_target(name: str, where: Where, library: Library, draft: Draft) -> None:
    if ":" not in name and name not in library.resources.destinations:
        _unknown(draft, where, "destination", name, library.resources.destinations)


def _check_expected(expected: ExpectFields | NeverFields, given: Map, library: Library, draft: Draft) -> None:
    if expected.step is not None:
        steps = steps_called(library, expected.step)
        if not steps:
            known = {name for step in _all(library) for name in (step.id, step.verb.name) if name is not None}
            _unknown(draft, given.value_at["step"], "step", expected.step, known)
        elif expected.outcome is not None:
            known = {name for step in steps for name in (*step.possible.names, *WALKED)}
            if expected.outcome not in known:
                where = given.value_at["outcome"]
                _unknown(draft, where, f"outcome of {expected.step}", expected.outcome, known, "E303")
    if expected.http is not None and expected.http.endpoint is not None:
        endpoints = library.resources.endpoints
        if expected.http.endpoint not in endpoints:
            _unknown(draft, given["http"].value_at["endpoint"], "endpoint", expected.http.endpoint, endpoints)
    if expected.transfer is not None:
        rung = given["transfer"]
        _check_target(expected.transfer.target, rung.value_at.get("target", rung.where), library, draft)
    if isinstance(expected, ExpectFields) and expected.vars is not None:
        declared = {name for flow in library.flows.values() for name in flow.vars}
        for name in expected.vars:
            if name not in declared:
                _unknown(draft, given["vars"].key_at[name], "variable", name, declared)


def _check_event(event: EventFields, given: Map, library: Library, draft: Draft) -> None:
    waits = (step.fields for step in _all(library) if isinstance(step.fields, WaitForFields))
    known = {fields.name for fields in waits if fields.event == event.source and fields.name is not None}
    if event.name not in known:
        _unknown(draft, given.value_at.get("name", given.where), f"{event.source} event", event.name, known)


def _check_reply(given: Map, library: Library, draft: Draft) -> None:
    known = exits(library)
    if given.get("exit") is not None and given["exit"] not in known:
        _unknown(draft, given.value_at["exit"], "exit", given["exit"], known, "E303")
    tools = {name for step in _all(library) for name in getattr(step.fields, "tools", ())}
    for name in given.get("tools") or ():
        if name not in tools:
            _unknown(draft, given["tools"].key_at[name], "tool", name, tools)
