from __future__ import annotations

from pathlib import Path

import pytest

from engine.verb import installed
from flows.language import Language


def told(folder: Path, **calls: str) -> list[str]:
    for name, called in calls.items():
        steps = "[hangup: {}]" if not called else f"[{{call: {{flow: {called}}}}}, {{hangup: {{}}}}]"
        (folder / f"{name}.flow.yaml").write_text(f"flow: {name}\nsteps: {steps}\n")
    loaded = Language(installed()).load([folder])
    return [str(problem).removeprefix(f"{folder}/") for problem in loaded.problems if problem.code == "E309"]


def test_flows_that_call_one_another_are_told_at_each_call(tmp_path: Path) -> None:
    assert told(tmp_path, a="b", b="c", c="a", d="a", e="") == [
        "a.flow.yaml:2:23: error[E309]: flow 'a' would run inside itself: a -> b -> c -> a; use goto or repeat",
        "b.flow.yaml:2:23: error[E309]: flow 'b' would run inside itself: b -> c -> a -> b; use goto or repeat",
        "c.flow.yaml:2:23: error[E309]: flow 'c' would run inside itself: c -> a -> b -> c; use goto or repeat",
    ]


def test_a_flow_that_calls_itself(tmp_path: Path) -> None:
    assert len(told(tmp_path, a="a")) == 1


def test_two_ways_to_one_flow_are_no_circle(tmp_path: Path) -> None:
    assert told(tmp_path, a="b", b="d", c="d", d="") == []


@pytest.mark.timeout(5)
def test_a_long_chain_takes_no_time(tmp_path: Path) -> None:
    chain = {f"f{number}": f"f{number + 1}" for number in range(200)} | {"f200": ""}
    assert told(tmp_path, **chain) == []
