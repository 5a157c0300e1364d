"""A text model on a real call: what it reads, what the caller hears meanwhile, and what is left when it fails."""

from __future__ import annotations

import json

import pytest
from company import Open

from engine.loading import FlowsError
from tests.emulators.chat_completions import Answer, Emulator, Faults

pytestmark = pytest.mark.asterisk

FLOW = """
    vars:
      mail: {type: string, default: "Two pizzas for Ada."}
      order: {type: object, default: {}}
    steps:
      - answer: {}
      - extract: {from: mail, into: order, schema: {dish: {type: string}, count: {type: integer}}, prompt: The order.}
        outcomes:
          not_found: [{hangup: {result: not found}}]
          provider_error: [{hangup: {result: broken}}]
      - wait: 1s
      - hangup: {result: "${string(vars.order.count)} ${vars.order.dish}"}
"""
FOUND = json.dumps({"found": True, "value": {"dish": "pizza", "count": 2}})


def chat(emulator: Emulator) -> dict[str, dict[str, str]]:
    return {"chat": {"base_url": emulator.url, "model": "house", "api_key": "sk-test"}}


async def test_data_is_taken_out_of_words_and_the_caller_hears_music_meanwhile(open_company: Open) -> None:
    async with Emulator([Answer(FOUND, piece=4)], faults=Faults(delay=0.25)) as emulator:
        async with open_company(FLOW, text="chat", voices=chat(emulator)) as house:
            caller = await house.call()
            record = await house.ended(caller)
            _, heard = await caller.recording()
        assert emulator.oracle.problems == []
    assert record.result == "2 pizza"
    step = next(step for step in record.steps if step.verb == "extract")
    assert step.outcome == "done"
    assert step.ms is not None
    bursts = heard.bursts(0.3)
    assert bursts, "no music"
    began, ended = bursts[0][0], bursts[-1][1]
    assert 1.3 < began < 3.0  # not at once, and not much later than two seconds
    assert ended - began == pytest.approx(step.ms / 1000 - 1.7, abs=0.5)
    used = record.tokens[0]
    assert (used.provider, used.input_text, used.output_text) == ("chat/text", 20, 7)


async def test_a_caller_who_hangs_up_while_the_model_reads(open_company: Open) -> None:
    async with Emulator(faults=Faults(hang=True)) as emulator:
        async with open_company(FLOW, text="chat", voices=chat(emulator)) as house:
            caller = await house.call()
            await emulator.asked.wait()
            await caller.hangs_up()
            record = await house.ended(caller)
        await emulator.idle.wait()
    assert record.outcome == "caller_hung_up"


async def test_a_model_that_refuses_is_an_outcome_like_any_other(open_company: Open) -> None:
    async with (
        Emulator(faults=Faults(statuses=(401,))) as emulator,
        open_company(FLOW, text="chat", voices=chat(emulator)) as house,
    ):
        record = await house.ended(await house.call())
    assert record.result == "broken"
    detail = next(step.detail for step in record.steps if step.verb == "extract")
    assert "chat answered HTTP 401" in detail
    assert "sk-test" not in record.model_dump_json()


async def test_an_engine_without_a_text_model_refuses_the_flow(open_company: Open) -> None:
    with pytest.raises(FlowsError, match=r"error\[E311\]: extract needs a text model"):
        async with open_company(FLOW):
            pass


async def test_the_second_voice_is_told_a_summary_of_the_first_talk(open_company: Open) -> None:
    flow = """
        steps:
          - converse:
              options: {rehearsal: {script: [{say: "Welcome to Bella's."}, {finish: {exit: a}}]}}
              exits: {a: {}}
            catch: [{hangup: {result: first}}]
          - converse:
              context: summary
              options: {rehearsal: {script: [{say: Here is somebody else.}, {finish: {exit: b}}]}}
              exits: {b: {}}
            catch: [{hangup: {result: second}}]
          - hangup: {result: done}
    """
    async with Emulator([Answer("Nobody has said a word.")]) as emulator:
        async with open_company(flow, text="chat", voices=chat(emulator)) as house:
            record = await house.ended(await house.call())
        assert emulator.oracle.problems == []
    assert record.result == "done"
    [asked] = emulator.requests
    assert json.loads(asked["messages"][1]["content"]) == [{"voice": "Welcome to Bella's."}]
    assert [entry.provider for entry in record.tokens if entry.output_text == 7] == ["chat/text"]
    assert all(not step.data for step in record.steps)
