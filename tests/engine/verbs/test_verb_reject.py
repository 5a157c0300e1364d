from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems


@pytest.mark.parametrize(
    ("code", "cause"), [(403, 21), (404, 1), (408, 18), (480, 19), (486, 17), (503, 34), (603, 16)]
)
@virtual_time
async def test_the_call_is_refused_and_the_reason_kept(tmp_path: Path, code: int, cause: int) -> None:
    steps = f'- reject: {{sip_code: {code}, reason: "no calls from ${{caller.number}}"}}'
    over = await dial(library(tmp_path, flow(steps)))
    assert (over.record.answered, over.record.cause) == (None, cause)
    assert (over.record.outcome, over.record.hangup_by) == ("completed", "flow")
    assert over.record.result == "no calls from +14155550199"
    assert over.line.log.find("answered") == []


@virtual_time
async def test_a_code_alone_is_enough(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- reject: 486")))
    assert (over.record.cause, over.record.result) == (17, "")


@virtual_time
async def test_a_call_that_was_answered_cannot_be_refused(tmp_path: Path) -> None:
    steps = "- answer: {}\n- reject: {}\n  catch: [{say: Goodbye.}]"
    over = await dial(library(tmp_path, flow(steps)))
    assert over.heard == ["Goodbye."]
    assert over.ways[1] == ("reject", "error")
    assert "use hangup" in over.record.steps[1].detail


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(tmp_path, "- reject: 500\n- reject: {resaon: x}\n", head="note: x")
    assert found[0].startswith("4:13: error[E203]: '500' is not one of 403, 404,")
    assert found[1] == "5:14: error[E201]: unknown key 'resaon' (did you mean 'reason'?)"


def test_nothing_behind_it_is_reached_and_none_of_it_after_the_hangup(tmp_path: Path) -> None:
    head = "handlers: [{event: error, steps: [{stop: {}}]}, {event: hangup, steps: [{reject: {}}]}]"
    found = problems(tmp_path, "- reject: {}\n- say: Never.", head=head)
    assert any("warning[W402]: this step is never reached" in line for line in found)
    assert any("error[E308]: 'reject' needs the caller" in line for line in found)
