from __future__ import annotations

from pathlib import Path

import pytest

from engine.line import LineError
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import Over, dial, flow, library, problems


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


# ── Early media ───────────────────────────────────────────────────────────────────────────────────────────────────────


def what(over: Over) -> list[str]:
    """What happened, without the words."""
    return [entry.what for entry in over.line.log]


@virtual_time
async def test_prompts_are_heard_before_the_answer_which_comes_when_the_flow_says_so(tmp_path: Path) -> None:
    steps = "- answer: {after: 1s, early_media: true}\n- say: This call costs nothing yet.\n- answer: {}\n- say: Now."
    over = await dial(library(tmp_path, flow(steps)))
    assert what(over) == ["rings", "progress", "heard", "answered", "heard", "hung_up"]
    assert over.record.answered is not None
    assert len(over.line.medias) == 1, "the audio goes on through the answer"


@virtual_time
async def test_a_call_may_end_without_an_answer_at_all(tmp_path: Path) -> None:
    steps = "- answer: {early_media: true}\n- say: We have moved.\n- reject: {sip_code: 480}"
    over = await dial(library(tmp_path, flow(steps)))
    assert what(over) == ["progress", "heard", "hung_up"]
    assert (over.record.answered, over.record.steps[-1].outcome) == (None, "done")


@pytest.mark.parametrize(
    "step",
    [
        "menu: {say: Press 1., retries: 0, timeout: 1s}",
        "gather: {say: Your number., digits: 1, timeout: 1s}",
        "voicemail: {box: a, silence: 1s, beep: false}",
        "record: start",
        "wait_for: {event: speech, timeout: 1s}",
        "wait_for: {event: webhook, name: x, timeout: 1s}",
        'send_dtmf: "1"',
        "detect_machine: {timeout: 1s}",
        'transfer: {attempts: [{targets: ["pjsip:a"], timeout: 1s}]}',
    ],
)
@virtual_time
async def test_a_step_that_does_more_than_speak_answers(tmp_path: Path, step: str) -> None:
    steps = f"- answer: {{early_media: true}}\n- say: Hello.\n- {step}\n  catch: []\n- hangup: {{}}"
    over = await dial(library(tmp_path, flow(steps)), targets={"pjsip:a": "no_answer"}, storage=tmp_path)
    assert what(over)[:3] == ["progress", "heard", "answered"]
    assert over.record.answered is not None


@virtual_time
async def test_early_media_means_nothing_once_the_call_is_answered(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- say: Hi\n- answer: {early_media: true}\n- say: Ho")))
    assert what(over) == ["answered", "heard", "heard", "hung_up"]


@virtual_time
async def test_a_line_without_early_media_is_an_error_of_the_step(tmp_path: Path) -> None:
    line = VirtualLine(faults={"progress": LineError("no early media here")})
    over = await dial(library(tmp_path, flow("- answer: {early_media: true}\n  catch: []\n- say: Hi.")), line=line)
    assert over.ways == [("answer", "error"), ("say", "done")]
    assert over.record.steps[0].detail == "no early media here"
    assert what(over) == ["answered", "heard", "hung_up"], "then the prompt answers, as ever"
