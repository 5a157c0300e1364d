"""What a record says of a call in which something went wrong: how it really ended, and what first went wrong."""

from __future__ import annotations

from pathlib import Path

from engine.record import CallRecord
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import counted, dial, flow, library

RINGS = "transfer: {attempts: [{targets: ['pjsip:desk']}]}\n  outcomes: {failed: []}"
BAD = "- id: bad\n  say: '${steps.bad.outcome.size() + 1}'"


def end(record: CallRecord) -> tuple[str, str, bool]:
    return record.outcome, record.hangup_by, "say at" in record.error


@virtual_time
async def test_a_handled_error_that_ends_with_words_is_completed_and_keeps_the_error(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow(BAD, head="handlers: [{event: error, steps: [{say: Goodbye.}]}]")))
    assert over.heard == ["Goodbye."]
    assert end(over.record) == ("completed", "flow", True)


@virtual_time
async def test_a_handled_error_that_reaches_a_person_is_handed_off(tmp_path: Path) -> None:
    head = "handlers: [{event: error, steps: [{transfer: {attempts: [{targets: ['pjsip:desk']}]}}]}]"
    targets = {"pjsip:desk": {"answer": 2, "hangs_up_after": 5}}
    over = await dial(library(tmp_path, flow(BAD, head=head)), targets=targets)
    assert end(over.record) == ("handed_off", "target", True)


@virtual_time
async def test_an_error_without_an_answer_is_failed(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow(BAD)))
    assert end(over.record) == ("failed", "engine", True)


@virtual_time
async def test_a_handler_that_fails_itself_is_failed_and_the_first_error_stays(tmp_path: Path) -> None:
    again = "{event: error, steps: [{say: '${int(steps.bad.outcome)}'}]}"
    over = await dial(library(tmp_path, flow(BAD, head=f"handlers: [{again}]")))
    assert end(over.record) == ("failed", "engine", True)
    assert f"at {over.record.steps[0].where}" in over.record.error
    assert f"at {over.record.steps[1].where}" not in over.record.error


@virtual_time
async def test_a_caller_who_hangs_up_in_the_handler_hung_up(tmp_path: Path) -> None:
    async def leaves(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.hangs_up()

    head = "handlers: [{event: error, steps: [{say: 'One moment, please.'}]}]"
    over = await dial(library(tmp_path, flow(BAD, head=head)), leaves)
    assert end(over.record) == ("caller_hung_up", "caller", True)


@virtual_time
async def test_the_end_of_the_time_is_completed_when_a_handler_says_so(tmp_path: Path) -> None:
    head = "defaults: {max_call: 5s}\nhandlers: [{event: max_call, steps: [{say: Time is up.}]}]"
    over = await dial(library(tmp_path, flow("- wait: 60s", head=head)))
    assert (over.record.outcome, over.record.hangup_by) == ("completed", "flow")
    assert over.record.error.startswith("max_call: ")


@virtual_time
async def test_a_number_that_may_not_be_dialled_says_why_on_the_attempt(tmp_path: Path) -> None:
    number = '"${call.did}"'
    steps = f"""
        - id: ring
          transfer: {{attempts: [{{targets: [{number}]}}]}}
          outcomes: {{failed: [{{say: "${{steps.ring.attempts[0].reason}}"}}]}}
        """
    over = await dial(
        library(tmp_path, flow(steps), files={"resources.yaml": "dialling: {deny: ['+1415*']}"}),
    )
    why = "+14155550100 may not be dialled: resources.yaml denies +1415*"
    (attempt,) = over.record.attempts
    assert (attempt.status, attempt.reason) == ("unavailable", why)
    assert over.heard == [why]
    assert over.record.outcome == "completed"
    assert over.record.error == ""


@virtual_time
async def test_a_target_that_answered_has_no_reason(tmp_path: Path) -> None:
    targets = {"pjsip:desk": {"answer": 2, "hangs_up_after": 5}}
    over = await dial(library(tmp_path, flow(f"- {RINGS}")), targets=targets)
    assert [attempt.reason for attempt in over.record.attempts] == [""]
    assert counted(over, "handoff_total", result="answered") == 1
