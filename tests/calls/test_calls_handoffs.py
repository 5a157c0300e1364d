"""Hand-offs over a real trunk: who is rung, for how long, what the caller hears meanwhile, and what is written down."""

from __future__ import annotations

import pytest
from company import BUSY, DECLINES, HANGS_UP_FIRST, RINGS_FOR_EVER, UNKNOWN, UNREACHABLE, Open
from hearing import longest_silence

pytestmark = pytest.mark.asterisk

ANSWERS_AT_ONCE = "+12125560440"  # with a tone of 440 Hz
ANSWERS_AFTER_A_SECOND = "+12125570109"  # with 900 Hz
EARLY_MEDIA = "+12125550112"  # a tone of 1 kHz in 183, and never an answer


async def test_one_after_the_other_until_somebody_answers(open_company: Open) -> None:
    targets = [BUSY, DECLINES, UNREACHABLE, UNKNOWN, RINGS_FOR_EVER, ANSWERS_AT_ONCE]
    flow = f"""
        steps:
          - id: person
            transfer: {{attempts: [{{ring: serial, targets: {[f"tel:{each}" for each in targets]}, timeout: 1s}}]}}
            outcomes: {{failed: []}}
          - hangup: {{result: wrong}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await house.connected(caller)
        await caller.hears_something()
        await caller.hangs_up()
        record = await house.ended(caller)
    found = [(attempt.target.removeprefix("tel:"), attempt.status, attempt.sip_code) for attempt in record.attempts]
    assert found[:4] == [
        (BUSY, "busy", 486), (DECLINES, "declined", 603), (UNREACHABLE, "unavailable", 503),
        (UNKNOWN, "unavailable", 404),
    ]  # fmt: skip
    assert found[4][:2] == (RINGS_FOR_EVER, "no_answer")
    assert found[5] == (ANSWERS_AT_ONCE, "answered", 200)
    assert 1000 <= record.attempts[4].ring_ms < 1500
    assert record.outcome == "handed_off"
    assert [leg.cause for leg in record.legs[1:5]] == [17, 21, 34, 1]
    assert all(leg.ended is not None for leg in record.legs)


async def test_all_at_once_and_the_first_wins(open_company: Open) -> None:
    targets = [f"tel:{each}" for each in (RINGS_FOR_EVER, ANSWERS_AFTER_A_SECOND, BUSY)]
    flow = f"""
        steps:
          - transfer: {{attempts: [{{ring: simultaneous, targets: {targets}, timeout: 10s}}]}}
            outcomes: {{failed: []}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await house.connected(caller)
        assert len(await house.world.channels()) == 2, "who did not win rings no more"
        await caller.sounds(500, 1.0)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert {attempt.target.removeprefix("tel:"): attempt.status for attempt in record.attempts} == {
        RINGS_FOR_EVER: "cancelled", ANSWERS_AFTER_A_SECOND: "answered", BUSY: "busy",
    }  # fmt: skip
    assert heard.part(heard.seconds - 0.8, heard.seconds).tone_share(900) > 0.9


@pytest.mark.parametrize("kind", ["ringback", "music"])
async def test_the_time_box_ends_the_waiting_and_the_caller_is_kept_company(open_company: Open, kind: str) -> None:
    flow = f"""
        steps:
          - id: person
            transfer:
              timeout: 1500ms
              caller_hears: {kind}
              attempts: [{{ring: serial, targets: ["tel:{EARLY_MEDIA}", "tel:{RINGS_FOR_EVER}"], timeout: 30s}}]
            outcomes: {{timeout: [{{hangup: {{result: "${{steps.person.attempts[0].status}}"}}}}], failed: []}}
          - hangup: {{result: wrong}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.result in ("no_answer", "cancelled")
    assert len(record.attempts) == 1
    transfer = next(step for step in record.steps if step.verb == "transfer")
    assert transfer.outcome == "timeout"
    assert 1400 < (transfer.ms or 0) < 2300
    assert longest_silence(heard) < 0.6
    middle = heard.part(0.4, 1.4)
    if kind == "ringback":  # North America: 440 and 480 Hz together
        assert middle.tone_share(440) == pytest.approx(0.5, abs=0.1)
        assert middle.tone_share(480) == pytest.approx(0.5, abs=0.1)
    else:
        assert max(middle.tone_share(hertz) for hertz in (440, 480)) < 0.3
    assert middle.tone_share(1000) < 0.1, "what a target plays before it answers is not for the caller"


@pytest.mark.parametrize(
    ("after", "result", "by"), [("stop", "", "target"), ("continue", "and then", "flow")], ids=["stop", "continue"]
)
async def test_the_person_hangs_up_first(open_company: Open, after: str, result: str, by: str) -> None:
    flow = f"""
        steps:
          - transfer: {{after_callee_hangup: {after}, attempts: [{{targets: ["tel:{HANGS_UP_FIRST}"]}}]}}
            outcomes: {{failed: []}}
          - say: Thank you for talking to us.
          - hangup: {{result: and then}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert (record.result, record.hangup_by, record.outcome) == (
        result,
        by,
        "handed_off" if by == "target" else "completed",
    )
    assert record.legs[1].cause == 16
    assert heard.tone_share(1000) > 0.3
    if after == "continue":
        assert longest_silence(heard) < 1.0
        assert heard.part(heard.seconds - 1.0).tone_share(1000) < 0.3, "the words of the flow come after the tone"
    else:
        assert heard.seconds - heard.bursts()[-1][1] < 0.5


@pytest.mark.parametrize(
    ("target", "outcome"),
    [(BUSY, "busy"), (DECLINES, "declined"), (UNREACHABLE, "unavailable"), (RINGS_FOR_EVER, "no_answer")],
)
async def test_the_flow_is_told_why_nobody_came(open_company: Open, target: str, outcome: str) -> None:
    flow = f"""
        steps:
          - transfer: {{attempts: [{{targets: ["tel:{target}"], timeout: 500ms}}]}}
            outcomes: {{{outcome}: [{{hangup: {{result: right}}}}], failed: [{{hangup: {{result: wrong}}}}]}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        record = await house.ended(caller)
    assert record.result == "right", record.steps
    assert (record.outcome, record.hangup_by) == ("completed", "flow")
