"""routes.yaml: which flow answers which call. The first route whose every condition holds wins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flows.accounts import read_account
from flows.calendars import Calendar
from flows.draft import Draft
from flows.hours import known_keys
from flows.problems import NOWHERE, Where, did_you_mean
from flows.reader import Map, Seq
from flows.targets import GROUP, NUMBER, mistake_in
from flows.versions import Versions, read_versions

MATCH_KEYS = ("did", "caller", "trunk", "direction", "attestation", "header", "calendar")
"""What a route can ask for. ``header`` and ``calendar`` are mappings, from header to value and from calendar to
state."""

VALUES = {"direction": ("inbound", "outbound"), "attestation": ("A", "B", "C", "")}
"""The values of facts that have only these. No attestation (``""``): the call was not signed."""

_NUMBER = re.compile(r"\+?[0-9]*\*?")
_STATES = ("open", "closed", "holiday")


@dataclass(frozen=True, slots=True)
class Route:
    """One entry. ``match`` holds the accepted values of each fact; a value that ends with ``*`` accepts every
    continuation."""

    flow: str
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calendars: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fallback: str | None = None  # who is rung when the flow fails: a target, a number, a destination or group:NAME
    account: str | None = None  # whose keys and limits count at the providers; else the flow's, or the engine's own
    versions: Versions | None = None  # how calls are divided when the flow has a next version
    where: Where = NOWHERE
    every: bool = False  # it takes every call: nothing stands under `match`

    def fits(self, facts: Mapping[str, Any], calendars: Mapping[str, Calendar], now: datetime) -> bool:
        """Whether a call with these facts (``did``, ``caller``, ``trunk``, ``headers``, …) is meant."""
        if not all(_accepts(accepted, facts.get(name)) for name, accepted in self.match.items()):
            return False
        headers = {str(name).lower(): value for name, value in (facts.get("headers") or {}).items()}
        if not all(_accepts(accepted, headers.get(name)) for name, accepted in self.headers.items()):
            return False
        return all(calendars[name].state(now) in states for name, states in self.calendars.items())


def find_route(
    routes: Sequence[Route], facts: Mapping[str, Any], calendars: Mapping[str, Calendar], now: datetime
) -> Route | None:
    """The first route that fits, or None."""
    return next((route for route in routes if route.fits(facts, calendars, now)), None)


def _accepts(accepted: tuple[str, ...], value: Any) -> bool:
    text = "" if value is None else str(value)
    return any(
        text.startswith(pattern[:-1]) and value is not None if pattern.endswith("*") else text == pattern
        for pattern in accepted
    )


def read_routes(tree: Any, draft: Draft) -> tuple[Route, ...]:
    """The routes of one file; what is wrong is in the draft, and a route that cannot be used is left out."""
    if tree is None:
        return ()
    entries = tree.get("routes") if isinstance(tree, Map) else None
    if not isinstance(tree, Map) or not isinstance(entries, Seq):
        draft.report(Where(str(draft.file), 1, 1), "E202", "routes.yaml needs a list under 'routes:'")
        return ()
    known_keys(tree, ("routes", "note"), draft)
    found = (_route(entry, entries.value_at[index], draft) for index, entry in enumerate(entries))
    routes = tuple(route for route in found if route is not None)
    every = next((index for index, route in enumerate(routes) if route.every), len(routes))
    for following in routes[every + 1 :]:
        message = f"this route is never reached: the one in line {routes[every].where.line} takes every call"
        draft.report(following.where, "W402", message)
    return routes


def _route(given: Any, where: Where, draft: Draft) -> Route | None:
    if not isinstance(given, Map):
        draft.report(where, "E203", 'a route is a mapping, such as {match: {did: "+14155550100"}, flow: reception}')
        return None
    known_keys(given, ("match", "flow", "version", "sticky_by", "roll_back", "fallback", "account", "note"), draft)
    flow = given.get("flow")
    if not isinstance(flow, str) or not flow:
        draft.report(given.value_at.get("flow", where), "E202", "a route needs a 'flow'")
        flow = None
    else:
        draft.refer("flow", str(flow), given.value_at["flow"])
    match = given.get("match", {})
    if match is None or (isinstance(match, dict) and not isinstance(match, Map)):
        match = Map(where)
    if not isinstance(match, Map):
        draft.report(given.value_at["match"], "E203", "'match' must be a mapping, such as {did: \"+14155550100\"}")
        match, flow = Map(where), None
    known_keys(match, MATCH_KEYS, draft)
    plain = {
        key: _accepted(match, key, draft) for key in match if key in MATCH_KEYS and key not in ("header", "calendar")
    }
    route = Route(
        flow=str(flow),
        match=plain,
        headers={name.lower(): values for name, values in _nested(match, "header", draft).items()},
        calendars=_calendars(match, draft),
        fallback=_fallback(given, draft),
        account=read_account(given, draft),
        versions=read_versions(given, draft),
        where=where,
        every=not match,
    )
    return None if flow is None else route


def _fallback(given: Map, draft: Draft) -> str | None:
    """Who is rung when the flow fails: a target, a number, a destination or ``group:NAME``."""
    fallback = given.get("fallback")
    if fallback is None:
        return None
    where = given.value_at["fallback"]
    if not isinstance(fallback, str):
        draft.report(where, "E203", 'whom to ring is a text, such as "pjsip:front-desk"; put it in quotes')
        return None
    if fallback.startswith(GROUP):
        draft.refer("group", fallback.removeprefix(GROUP), where)
    elif ":" in fallback:
        if mistake := mistake_in(fallback):
            draft.report(where, "E203", mistake)
    elif not NUMBER.fullmatch(fallback):
        draft.refer("destination", str(fallback), where)
    return str(fallback)


def _is_one_of(pattern: str, known: tuple[str, ...]) -> bool:
    return pattern in known or (pattern.endswith("*") and any(word.startswith(pattern[:-1]) for word in known))


def _accepted(given: Map, key: str, draft: Draft, is_fact: bool = True) -> tuple[str, ...]:
    """One value or a list of them, each exact or with ``*`` at its end. ``is_fact``: the key is one of `MATCH_KEYS`,
    not the name of a header or a calendar."""
    value, known = given[key], VALUES.get(key) if is_fact else None
    many = isinstance(value, Seq)
    values: list[Any] = value if many else [value]
    accepted = []
    for index, item in enumerate(values):
        where = value.value_at[index] if many else given.value_at[key]
        if not isinstance(item, str):
            draft.report(where, "E203", f"{item!r}: put it in quotes, so that it stays as it is written")
        elif is_fact and key in ("did", "caller") and not _NUMBER.fullmatch(item):
            draft.report(
                where, "E203", f"'{item}' is not a number or the beginning of one with '*', such as \"+1415*\""
            )
        elif "*" in item[:-1]:
            draft.report(where, "E203", f"'{item}': '*' may stand at the end only")
        elif known is not None and not _is_one_of(item, known):
            near = did_you_mean(item, known)
            words = ", ".join(repr(word) for word in known)
            draft.report(where, "E203", f"'{item}' is no {key} of a call{near}; there are {words}")
        else:
            accepted.append(str(item))
    return tuple(accepted)


def _nested(match: Map, key: str, draft: Draft) -> dict[str, tuple[str, ...]]:
    given = match.get(key)
    if given is None:
        return {}
    if not isinstance(given, Map):
        draft.report(match.value_at[key], "E203", f"'{key}' must be a mapping from name to value")
        return {}
    return {name: _accepted(given, name, draft, is_fact=False) for name in given}


def _calendars(match: Map, draft: Draft) -> dict[str, tuple[str, ...]]:
    states = _nested(match, "calendar", draft)
    for name, accepted in states.items():
        given = match["calendar"]
        draft.refer("calendar", name, given.key_at[name])
        for state in accepted:
            if state not in _STATES:
                draft.report(
                    given.value_at[name],
                    "E203",
                    f"'{state}' is not open, closed or holiday{did_you_mean(state, _STATES)}",
                )
    return states
