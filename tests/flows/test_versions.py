"""Stable and next: which file is which, who gets which, and what is wrong in a route that divides calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.language import Loaded
from flows.versions import RollBack, Versions

Load = Callable[..., Loaded]
STABLE = "flow: bella/orders\nsteps: [{say: Hi}]\n"
NEXT = "flow: bella/orders\nversion: 2\nsteps: [{say: Hello}]\n"
FILES = {"orders.flow.yaml": STABLE, "orders.next.flow.yaml": NEXT}


def versions(load: Load, more: str = "") -> Versions:
    routes = f"routes: [{{flow: bella/orders, version: {{stable: 90, next: 10}}{more}}}]\n"
    library = load(files={**FILES, "routes.yaml": routes}).library
    assert library is not None
    found = library.routes[0].versions
    assert found is not None
    return found


def context(number: int, caller: str | None = "") -> dict[str, Any]:
    caller = f"+1415{number:07d}" if caller == "" else caller
    return {"call": {"id": f"call-{number}", "headers": {}}, "caller": {"number": caller}}


def test_the_files_name_says_which_version_it_holds(load: Load) -> None:
    loaded = load(files=FILES)
    assert loaded.problems == []
    assert loaded.library is not None
    assert [flow.version for flow in loaded.library.flows.values()] == [1]
    assert [(name, flow.version) for name, flow in loaded.library.next.items()] == [("bella/orders", 2)]
    alone = load(files={"orders.flow.yaml": STABLE, "orders.next.flow.yaml": NEXT.replace("Hello", "Good day")})
    assert alone.library is not None
    assert alone.library.revision != loaded.library.revision


def test_a_next_version_needs_a_stable_one(load: Load) -> None:
    loaded = load(files={"a.flow.yaml": STABLE, "b.next.flow.yaml": NEXT.replace("orders", "ordres")})
    [problem] = loaded.problems
    assert (problem.line, problem.column, problem.code) == (1, 7, "E302")
    assert problem.message == (
        "there is no flow 'bella/ordres' that this could be the next version of (has: bella/orders)"
    )


def test_there_is_one_next_version(load: Load) -> None:
    loaded = load(files={**FILES, "other.next.flow.yaml": NEXT})
    assert [problem.code for problem in loaded.problems] == ["E307"]


def test_a_next_version_is_checked_as_any_flow(load: Load) -> None:
    loaded = load(files={**FILES, "orders.next.flow.yaml": NEXT.replace("say", "sya")})
    assert [problem.code for problem in loaded.problems] == ["E205"]


def test_calls_are_divided_by_their_shares(load: Load) -> None:
    divided = versions(load)
    got = sum(divided.is_next("bella/orders", context(n)) for n in range(10_000))
    assert 900 < got < 1100, "3.3 standard deviations"


def test_a_caller_stays_with_a_version(load: Load) -> None:
    divided = versions(load, ", sticky_by: caller.number")
    for n in range(100):
        choices = {divided.is_next("bella/orders", context(id_, caller=f"+1415{n:07d}")) for id_ in range(20)}
        assert len(choices) == 1


def test_a_greater_share_keeps_those_who_have_it(load: Load) -> None:
    divided = versions(load, ", sticky_by: caller.number")
    greater = Versions(0.3, divided.sticky_by)
    before = {n for n in range(1000) if divided.is_next("bella/orders", context(n))}
    after = {n for n in range(1000) if greater.is_next("bella/orders", context(n))}
    assert before < after


def test_the_same_callers_are_not_first_everywhere(load: Load) -> None:
    divided = versions(load, ", sticky_by: caller.number")
    first = {n for n in range(1000) if divided.is_next("bella/orders", context(n))}
    second = {n for n in range(1000) if divided.is_next("bella/bookings", context(n))}
    assert len(first & second) < len(first) / 2


@pytest.mark.parametrize("key", ["caller.number", "call.headers['x-plan']"])
def test_callers_without_the_value_are_divided_by_call(load: Load, key: str) -> None:
    divided = versions(load, f', sticky_by: "{key}"')
    got = sum(divided.is_next("bella/orders", context(n, caller=None)) for n in range(10_000))
    assert 900 < got < 1100


@pytest.mark.parametrize(("share", "got"), [(0.0, False), (1.0, True)])
def test_none_and_all(share: float, got: bool) -> None:
    assert {Versions(share).is_next("bella/orders", context(n)) for n in range(100)} == {got}


def test_thresholds(load: Load) -> None:
    assert versions(load, ", roll_back: {failed: 10}").roll_back == RollBack(50, 10, None)
    assert versions(load, ", roll_back: {calls: 20, handoff_failed: 0}").roll_back == RollBack(20, None, 0)
    assert versions(load).roll_back is None


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("version: 2", "2 E203 'version' is a mapping, such as {stable: 95, next: 5}"),
        ("version: {stable: 95, nxt: 5}", "2 E201 unknown key 'nxt' (did you mean 'next'?)"),
        ("version: {stable: 95}", "2 E202 'next' is missing: a whole number from 0 to 1,000,000"),
        ("version: {stable: 95, next: 0.5}", "2 E203 'next' is a whole number from 0 to 1,000,000"),
        ("version: {stable: 95, next: -5}", "2 E203 'next' is a whole number from 0 to 1,000,000"),
        ("version: {stable: 95, next: true}", "2 E203 'next' is a whole number from 0 to 1,000,000"),
        ("version: {stable: 0, next: 0}", "2 E203 one of 'stable' and 'next' must get calls"),
        ("sticky_by: caller.number", "2 E202 'sticky_by' needs a 'version', such as {stable: 95, next: 5}"),
        ("roll_back: {failed: 5}", "2 E202 'roll_back' needs a 'version', such as {stable: 95, next: 5}"),
    ],
)
def test_routes_that_divide_are_checked(load: Load, route: str, expected: str) -> None:
    loaded = load(files={**FILES, "routes.yaml": f"routes:\n  - {{flow: bella/orders, {route}}}\n"})
    told = [f"{problem.line} {problem.code} {problem.message}" for problem in loaded.problems]
    assert expected in told


@pytest.mark.parametrize(
    ("more", "code", "at"),
    [
        ("sticky_by: caller.nmber", "E301", "caller.nmber"),
        ("sticky_by: vars.x", "E301", "vars.x"),
        ('sticky_by: "${caller.number}"', "E304", "${"),
        ("roll_back: 5", "E203", "5"),
        ("roll_back: {}", "E202", "{}"),
        ("roll_back: {calls: 5}", "E202", "{calls"),
        ("roll_back: {calls: 0, failed: 5}", "E203", "0"),
        ("roll_back: {failed: 101}", "E203", "101"),
        ("roll_back: {faild: 5}", "E201", "faild"),
    ],
)
def test_the_rest_of_such_a_route_is_checked(load: Load, more: str, code: str, at: str) -> None:
    head = "  - {flow: bella/orders, version: {stable: 9, next: 1}, "
    loaded = load(files={**FILES, "routes.yaml": f"routes:\n{head}{more}}}\n"})
    column = len(head) + more.index(at) + 1
    assert (2, column, code) in [(problem.line, problem.column, problem.code) for problem in loaded.problems]
