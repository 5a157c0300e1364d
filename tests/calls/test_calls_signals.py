"""What a flow does to a call beside speaking: ringing, refusing, waiting, keys in both directions, chance."""

from __future__ import annotations

import pytest
from company import Open

pytestmark = pytest.mark.asterisk


@pytest.mark.parametrize("first", ["ringing: {}", "wait: 10ms"])
async def test_ringing_is_told_before_the_answer(open_company: Open, first: str) -> None:
    async with open_company(f"steps: [{{{first}}}, {{wait: 1s}}, {{answer: {{}}}}, {{hangup: {{}}}}]") as house:
        caller = await house.call()
        record = await house.ended(caller)
        assert caller.rang is first.startswith("ringing")
    assert record.answered is not None
    assert 0.9 < (record.answered - record.started).total_seconds() < 1.7


@pytest.mark.parametrize("sip_code", [403, 404, 408, 480, 486, 503, 603])
async def test_a_call_is_refused(open_company: Open, sip_code: int) -> None:
    flow = f'steps: [{{reject: {{sip_code: {sip_code}, reason: "not for ${{call.did}}"}}}}]'
    async with open_company(flow) as house:
        caller = await house.call(answered=False)
        record = await house.ended(caller)
        assert caller.sip_code == sip_code
    assert (record.answered, record.result) == (None, "not for +12125550100")


async def test_keys_reach_the_caller_and_nothing_is_spoken_over_them(open_company: Open) -> None:
    flow = """
        steps:
          - send_dtmf: "159*0#AD"
          - say: Thank you.
          - hangup: {}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.hears_something()
        assert caller.keys == "159*0#AD"
        record = await house.ended(caller)
    assert (record.outcome, record.steps[0].outcome) == ("completed", "done")


async def test_a_key_or_speech_is_waited_for(open_company: Open) -> None:
    flow = """
        steps:
          - answer: {}
          - id: key
            wait_for: {event: dtmf, timeout: 10s}
            outcomes: {timeout: []}
          - say: Speak.
          - id: speech
            wait_for: {event: speech, timeout: 10s}
            outcomes: {timeout: []}
          - wait: 1s
          - id: nothing
            wait_for: {event: speech, timeout: 700ms}
            outcomes: {timeout: []}
          - hangup: {result: "${steps.key.key} ${steps.speech.outcome} ${steps.nothing.outcome}"}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.presses("5")
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.sounds(700, 0.4)
        record = await house.ended(caller)
    assert record.result == "5 done timeout"


async def test_a_key_leads_out_of_a_wait(open_company: Open) -> None:
    flow = """
        handlers: [{event: dtmf, digits: "0", goto: desk}]
        steps: [{answer: {}}, {wait: 20s}]
        sections: {desk: [{hangup: {result: desk}}]}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.presses("0")
        record = await house.ended(caller)
    assert record.result == "desk"
    assert record.steps[1].outcome == "cancelled"


async def test_a_caller_goes_the_same_way_at_every_call(open_company: Open) -> None:
    flow = """
        steps:
          - id: trial
            split: {weights: {a: 50, b: 50}, sticky_by: caller.number}
          - hangup: {result: "${steps.trial.outcome}", sip_code: 486}
    """
    ways: list[str] = []
    async with open_company(flow) as house:
        for number in ("+12125550171", "+12125550172", "+12125550171", "+12125550172"):
            caller = await house.call(caller=number, answered=False)
            ways.append((await house.ended(caller)).result)
            house.books.seen.clear()
    assert ways[:2] == ways[2:]
    assert set(ways) <= {"a", "b"}


async def test_a_person_and_a_machine_answer(open_company: Open) -> None:
    flow = """
        steps:
          - answer: {}
          - detect_machine: {}
            outcomes:
              machine:
                - id: beep
                  wait_for: {event: beep, timeout: 15s}
                  outcomes: {timeout: []}
                - hangup: {result: "machine, ${steps.beep.outcome}"}
          - hangup: {result: person}
    """
    async with open_company(flow) as house:
        person = await house.call()
        await person.says("Good morning, Smith residence.")
        record = await house.ended(person)
        assert (record.result, record.steps[1].outcome) == ("person", "human")

        machine = await house.call()
        await machine.says("You have reached the answering machine of Miller and Sons. Please speak after the tone.")
        await machine.sounds(1000, 0.5)
        record = await house.ended(machine)
        assert record.result == "machine, done"
