from __future__ import annotations

from pathlib import Path

from engine.virtual import virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems


@virtual_time
async def test_the_caller_hears_ringing_until_the_answer(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- ringing: {}\n- wait: 4s\n- answer: {}\n- stop: {}")))
    assert [(entry.what, entry.at) for entry in over.line.log.find("rings", "answered")] == [
        ("rings", 0.0),
        ("answered", 4.0),
    ]
    assert over.ways == [("ringing", "done"), ("wait", "done"), ("answer", "done"), ("stop", "done")]


@virtual_time
async def test_an_answered_call_does_not_ring_again(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- answer: {}\n- ringing: {}\n- stop: {}")))
    assert over.line.log.find("rings") == []
    assert over.ways[1] == ("ringing", "done")


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(tmp_path, "- ringing: 3s\n- ringing: {for: 3s}\n- stop: {}")
    assert found == [
        "3:14: error[E203]: 'ringing' takes a mapping of fields; write 'ringing: {…}'",
        "4:15: error[E201]: unknown key 'for' (it takes no keys)",
    ]
