from __future__ import annotations

from pathlib import Path

import pytest

from engine.line import LineError
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("{}", [(0.0, "answered")]),
        ("{after: 0s}", [(0.0, "answered")]),
        ("{after: 2s}", [(0.0, "rings"), (2.0, "answered")]),
        ("1500ms", [(0.0, "rings"), (1.5, "answered")]),
    ],
)
@virtual_time
async def test_a_call_is_answered_after_some_ringing(
    tmp_path: Path, fields: str, expected: list[tuple[float, str]]
) -> None:
    over = await dial(library(tmp_path, flow(f"- answer: {fields}\n- stop: {{}}")))
    assert [(entry.at, entry.what) for entry in over.line.log][:-1] == expected
    assert over.record.answered is not None
    assert (over.record.answered - over.record.started).total_seconds() == expected[-1][0]
    assert len(over.line.medias) == 1  # the audio is open before the first word


@virtual_time
async def test_a_call_that_was_answered_does_not_ring_again(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- say: Hi\n- answer: {after: 5s}\n- say: Ho")))
    assert [entry.what for entry in over.line.log] == ["answered", "heard", "heard", "hung_up"]
    assert over.line.log.now < 1


@virtual_time
async def test_a_caller_who_gives_up_while_it_rings(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(3)
        await line.caller.hangs_up()

    over = await dial(library(tmp_path, flow("- answer: {after: 10s}\n- say: Never.")), script)
    assert over.ways == [("answer", "cancelled")]
    assert (over.record.outcome, over.record.answered, over.line.medias) == ("caller_hung_up", None, [])


@virtual_time
async def test_a_line_that_cannot_be_answered_is_an_error_of_the_step(tmp_path: Path) -> None:
    line = VirtualLine(faults={"open_media": LineError("no ports left")})
    over = await dial(library(tmp_path, flow("- answer: {}\n  catch: [{stop: {}}]\n- say: Never.")), line=line)
    assert over.ways == [("answer", "error"), ("stop", "done")]
    assert over.record.steps[0].detail == "no ports left"


def test_what_the_check_says(tmp_path: Path) -> None:
    assert problems(tmp_path, "- answer: {after: 3}\n") == [
        "3:21: error[E203]: 3 is not a duration; give it a unit, such as 3s or 2m"
    ]
    assert problems(tmp_path, "- answer: {afer: 3s}\n") == [
        "3:14: error[E201]: unknown key 'afer' (did you mean 'after'?)"
    ]
