from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.line import Facts
from engine.verbs.split import share_of, way
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

STEPS = """
- id: trial
  split: {weights: {old: 90, new: 10}%s}
  outcomes: {new: [{say: New.}]}
- hangup: {result: "${steps.trial.outcome}"}
"""


@pytest.mark.parametrize(("chance", "ends"), [(0.0, "old"), (0.899, "old"), (0.9, "new"), (0.999, "new")])
@virtual_time
async def test_chance_decides(tmp_path: Path, chance: float, ends: str) -> None:
    over = await dial(library(tmp_path, flow(STEPS % "")), chance=lambda: chance)
    assert over.ways[0] == ("split", ends)
    assert over.record.result == ends
    assert over.heard == (["New."] if ends == "new" else [])


def facts(number: str) -> Facts:
    return Facts(id="call-1", did="+14155550100", caller=number, trunk="carrier", channel="channel-1")


@virtual_time
async def test_a_caller_goes_the_same_way_every_time(tmp_path: Path) -> None:
    house = library(tmp_path, flow(STEPS % ", sticky_by: caller.number"))
    numbers = [f"+1415555{n:04d}" for n in range(30)]
    first, second = [
        [(await dial(house, line=VirtualLine(facts(number)))).record.result for number in numbers] for _ in range(2)
    ]
    assert first == second
    assert set(first) == {"old", "new"}


@virtual_time
async def test_a_caller_without_a_number_goes_by_chance(tmp_path: Path) -> None:
    house = library(tmp_path, flow(STEPS % ", sticky_by: caller.number"))
    ways = [
        (await dial(house, line=VirtualLine(facts("")), chance=lambda at=at: at)).record.result  # type: ignore[misc]
        for at in (0.1, 0.95)
    ]
    assert ways == ["old", "new"]


def test_the_sticky_choice_is_spread_by_the_weights() -> None:
    ways = Counter(way({"a": 70, "b": 30}, share_of("flow", "step", str(n))) for n in range(10_000))
    assert 2800 < ways["b"] < 3200
    assert share_of("flow", "step", "1") != share_of("flow", "other", "1") != share_of("other", "step", "1")


def test_the_sticky_choice_never_changes_between_versions() -> None:
    assert share_of("test", "trial", "+14155550199") == pytest.approx(0.4548057)
    assert [way({"a": 1, "b": 1}, share_of("test", "trial", str(n))) for n in range(8)] == list("abbbbbaa")


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any), st.floats(0, 1, exclude_max=True))
def test_there_is_always_a_way_and_it_has_a_weight(shares: list[int], at: float) -> None:
    weights = {str(number): share for number, share in enumerate(shares)}
    assert weights[way(weights, at)] > 0


def test_more_weight_for_the_first_moves_nobody_away_from_it() -> None:
    dice = random.Random(1)
    for at in (dice.random() for _ in range(200)):
        if way({"new": 10, "old": 90}, at) == "new":
            assert way({"new": 30, "old": 70}, at) == "new"


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - split: {weights: {a: 0}}
        - split: {weights: {done: 1}}
        - split: {weights: {a: -1, b: 2}}
        - split: {weights: {a: 1}, sticky_by: caller.nmber}
        - split: {weights: {a: 1}}
          outcomes: {b: []}
        """,
    )
    assert found == [
        "3:22: error[E203]: at least one weight must be more than 0",
        "4:23: error[E203]: a way cannot be called 'done': that is how any step may end",
        "5:26: error[E203]: 'a': input should be greater than or equal to 0",
        "6:30: error[E202]: 'sticky_by' needs an 'id', so that callers keep their way when the flow is edited",
        "6:41: error[E301]: unknown variable 'caller.nmber' (did you mean 'caller.number'?)",
        "8:16: error[E303]: split has no outcome 'b' (has: a)",
    ]
