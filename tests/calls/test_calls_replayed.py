"""Calls over a real line, made into tests from what the database kept of them: the tests pass on the same flows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from company import BUSY, Open
from test_calls_ladder import EARLY_KEY
from test_calls_openai_tools import shop

from engine.record import CallRecord
from engine.replay import replayed
from engine.scenario import Result, ScenarioReader, run_scenario
from engine.scenario.report import told
from engine.verb import installed
from flows.language import Language
from tests.emulators.openai_realtime import Call, Emulator, Say

pytestmark = pytest.mark.asterisk

LONG = "Welcome to the office of the company. We are glad that you call. This takes a while."


async def again(record: CallRecord, folder: Path) -> tuple[Result, str]:
    """The test made from a record, run on the flows of the company, and its text."""
    file = folder / "replayed.test.yaml"
    await asyncio.to_thread(file.write_text, replayed(record), "utf-8")
    read = ScenarioReader(Language(installed())).read(file)
    assert [str(problem) for problem in read.problems] == []
    result = await asyncio.to_thread(run_scenario, read.scenarios[0])
    text = await asyncio.to_thread(file.read_text)
    assert result.passed, "\n".join(told(result)) + "\n" + text
    return result, text


async def test_keys_a_talk_with_a_tool_and_a_ladder(open_company: Open, tmp_path: Path) -> None:
    flow = f"""
        vars: {{dish: {{type: string}}}}
        handlers:
          - {{event: hangup, steps: [{{set: {{dish: ""}}}}]}}
        steps:
          - id: welcome
            say: {{text: "{LONG}", interruptible: dtmf}}
          - id: choice
            menu: {{say: Press one or two.}}
            outcomes: {{"2": [], no_input: [{{hangup: {{}}}}], no_match: [{{hangup: {{}}}}]}}
          - id: pin
            gather: {{say: Your PIN., digits: 4, sensitive: true}}
            outcomes: {{no_input: [{{hangup: {{}}}}], no_match: [{{hangup: {{}}}}]}}
          - id: talk
            converse:
              provider: openai
              prompt: You take orders.
              greeting: Hello.
              tools:
                stock:
                  description: Whether there is enough of a dish.
                  input: {{dish: {{type: string}}}}
                  http: {{endpoint: shop, path: "/stock/${{input.dish}}"}}
              collect: {{into: dish, schema: {{type: string}}}}
              exits: {{person: {{description: x, requires: [dish]}}}}
            outcomes: {{silence: [], max_duration: [], provider_error: []}}
          - id: stock
            http: {{endpoint: shop, path: "/stock/${{vars.dish}}"}}
            save: {{left: integer}}
            outcomes: {{http_error: [{{hangup: {{}}}}], timeout: [{{hangup: {{}}}}]}}
          - say: There are ${{steps.stock.left}}.
          - id: busy
            transfer: {{attempts: [{{targets: ["tel:{BUSY}"], timeout: 10s}}]}}
            outcomes: {{busy: []}}
          - id: person
            transfer:
              accept: {{digit: "1", timeout: 20s}}
              attempts: [{{targets: ["tel:{EARLY_KEY}"], timeout: 30s}}]
            outcomes: {{failed: []}}
          - hangup: {{result: wrong}}
    """
    emulator = Emulator(
        script=[
            Call("stock", {"dish": "soup"}),
            Say("We have it. Shall I connect you?"),
            Call("finish", {"exit": "person", "data": "soup"}),
        ],
        heard=["A soup, please.", "Yes."],
    )
    async with emulator, shop(0.1) as (url, _):
        resources = f"endpoints: {{shop: {{base_url: '{url}'}}}}"
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(flow, files={"resources.yaml": resources}, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.presses("2")
            await caller.hears_something()
            await caller.presses("4711")
            for words in ("A soup, please.", "Yes."):
                await caller.hears_something()
                await caller.hears_nothing()
                await caller.says(words)
            await house.connected(caller)
            await caller.sounds(500, 1.5)
            await caller.hangs_up()
            record = await house.ended(caller)
    assert (record.outcome, record.hangup_by) == ("handed_off", "caller")
    result, text = await again(record, tmp_path)
    assert len(result.record.steps if result.record else ()) == len(record.steps)
    assert "4711" not in text
    for line in ('press: "2"', 'press: "0000"', 'caller: "A soup, please."', "data: soup", "left: 12", "exit: person",
                 'keys: "1"', "busy: "):  # fmt: skip
        assert line in text, f"{line} is not in\n{text}"


async def test_a_caller_who_hangs_up_while_it_rings(open_company: Open, tmp_path: Path) -> None:
    flow = f"""
        handlers:
          - {{event: hangup, steps: [{{set: {{left: "yes, left"}}}}]}}
        vars: {{left: {{type: string}}}}
        steps:
          - say: One moment.
          - id: person
            transfer: {{attempts: [{{targets: ["tel:{BUSY}"]}}, {{targets: ["tel:+12125550104"], timeout: 30s}}]}}
            outcomes: {{failed: []}}
          - say: Nobody.
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await house.attempt(caller, 1)
        await caller.hears_something()
        await caller.hangs_up()
        record = await house.ended(caller)
    assert record.outcome == "caller_hung_up"
    assert [attempt.status for attempt in record.attempts] == ["busy", "cancelled"]
    result, _ = await again(record, tmp_path)
    assert result.record is not None
    assert [attempt.status for attempt in result.record.attempts] == ["busy", "cancelled"]
    assert [step.verb for step in result.record.steps] == ["say", "transfer", "set"]
