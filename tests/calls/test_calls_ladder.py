"""The ladder over a real trunk: who presses the key first has the call, and only they hear what it is about."""

from __future__ import annotations

import pytest
from company import Open
from hearing import longest_silence, seconds_of_tone

pytestmark = pytest.mark.asterisk

LATE_KEY = "+12125580717"  # answers at once, presses 1 after seven seconds, then sounds 700 Hz
EARLY_KEY = "+12125580419"  # … after four seconds, 900 Hz
DECLINING_KEY = "+12125580125"  # presses 2 after a second
EXTENSIONS = "+12125550113"  # reads two keys, then sounds them as hundreds of Hz


async def test_the_first_key_wins_and_the_brief_is_for_the_callee(open_company: Open) -> None:
    flow = f"""
        steps:
          - id: person
            transfer:
              accept: {{digit: "1", timeout: 20s}}
              brief: {{text: A caller with chest pain.}}
              attempts: [{{targets: ["tel:{LATE_KEY}", "tel:{EARLY_KEY}"], timeout: 30s}}]
            outcomes: {{failed: []}}
          - hangup: {{result: wrong}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await house.connected(caller)
        await caller.sounds(500, 2.5)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
        late, early = await house.heard_by(LATE_KEY), await house.heard_by(EARLY_KEY)
    assert {attempt.target.removeprefix("tel:"): attempt.status for attempt in record.attempts} == {
        LATE_KEY: "cancelled", EARLY_KEY: "answered",
    }  # fmt: skip
    assert record.outcome == "handed_off"
    # Both were asked in words; the winner was then told of the caller, and heard the caller; the other was let go.
    question = next(end for _, end in early.bursts(0.5))
    assert question > 1.0
    assert seconds_of_tone(early, 500) > 1.5
    assert seconds_of_tone(late, 500) == 0
    assert late.seconds < early.seconds
    assert late.bursts(0.5)[-1][1] > 4.0, "who was too slow is told that the call was taken"
    # The caller heard ringing all the time, no word of it, and then the person.
    connected = heard.seconds - seconds_of_tone(heard, 900)
    waiting = heard.part(0.5, connected - 0.5)
    assert waiting.tone_share(440) + waiting.tone_share(480) > 0.8
    assert seconds_of_tone(heard, 900) > 1.5
    assert seconds_of_tone(heard, 700) == 0
    assert longest_silence(heard, 0.5, heard.seconds - 0.3) < 4.5  # the pause in American ringing is four seconds


async def test_who_declines_is_no_more_asked(open_company: Open) -> None:
    flow = f"""
        steps:
          - id: person
            transfer:
              accept: {{digit: "1", decline: "2", timeout: 20s}}
              attempts: [{{targets: ["tel:{DECLINING_KEY}"], timeout: 30s}}]
            outcomes: {{declined: [{{hangup: {{result: declined}}}}], failed: []}}
          - hangup: {{result: wrong}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        record = await house.ended(caller)
    assert (record.result, record.attempts[0].status) == ("declined", "declined")
    assert (record.steps[0].ms or 0) < 4000


async def test_keys_are_sent_to_who_answers(open_company: Open) -> None:
    flow = f"""
        steps:
          - transfer: {{dtmf_after_answer: "w12", attempts: [{{targets: ["tel:{EXTENSIONS}"]}}]}}
            outcomes: {{failed: []}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await house.connected(caller)
        await caller.hears_something()
        await caller.sounds(500, 1.5)
        await caller.hangs_up()
        await house.ended(caller)
        _, heard = await caller.recording()
    assert seconds_of_tone(heard, 1200) > 0.8
