"""What the tools of a voice do to a real call: hand it over, end it, press keys; and what becomes of a farewell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from company import BUSY, Company, Open
from hearing import seconds_of, seconds_of_tone, singing

from asterisk.recording import Track
from asterisk.world import Caller
from engine.record import CallRecord
from tests.emulators.openai_realtime import Call, Emulator, Say

pytestmark = pytest.mark.asterisk

GREETING, LAST, LONG = "What may it be?", "I will do that for you now.", "Goodbye. " * 11
UNREACHED, SURE, DONE = "Nobody is there. What else?", "Shall I really cancel it?", "It is cancelled."
PITCHES = {GREETING: 400.0, LAST: 600.0, LONG: 600.0, UNREACHED: 700.0, SURE: 800.0, DONE: 1200.0}
ANSWERS_AFTER_A_SECOND = "+12125570109"  # with 900 Hz


def flow(tool: str) -> str:
    return f"""
        vars: {{count: {{type: integer, default: 0}}}}
        steps:
          - id: talk
            converse:
              provider: openai
              greeting: "{GREETING}"
              silence: {{after: 20s}}
              tools: {{t: {{description: Does it., {tool}}}}}
              exits: {{served: {{}}}}
            outcomes: {{silence: [], max_duration: [], provider_error: []}}
          - hangup: {{result: "${{steps.talk.outcome}} ${{vars.count}}"}}
    """


@asynccontextmanager
async def talking(
    open_company: Open, tool: str, emulator: Emulator, **options: Any
) -> AsyncIterator[tuple[Company, Caller]]:
    """The caller has heard the greeting and said something."""
    async with emulator:
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(flow(tool), voices=voices, **options) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("I would like that, please.")
            yield house, caller
        assert emulator.open_sessions == 0
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []


async def over(house: Company, caller: Caller) -> tuple[CallRecord, Track]:
    record = await house.ended(caller)
    return record, (await caller.recording())[1]


def told(emulator: Emulator, conversation: int = 0) -> list[Any]:
    """What the model was told of its tools."""
    return [
        json.loads(event["item"]["output"]) for event in emulator.conversations[conversation].client_events
        if event["type"] == "conversation.item.create" and event["item"]["type"] == "function_call_output"
    ]  # fmt: skip


def emulator(*script: Call | Say, heard: tuple[str, ...] = ("Please.", "Yes.")) -> Emulator:
    return Emulator(script=script, heard=heard, voice=singing(PITCHES))


# ── What they do ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_hangup_comes_after_the_last_word(open_company: Open) -> None:
    model = emulator(Call("t", say=LAST))
    async with talking(open_company, "hangup: {result: bye}", model) as (house, caller):
        record, heard = await over(house, caller)
    assert (record.result, record.hangup_by, record.outcome) == ("bye", "flow", "completed")
    assert seconds_of_tone(heard, 600) == pytest.approx(seconds_of(LAST), abs=0.25)
    assert heard.seconds - heard.bursts()[-1][1] < 0.5


async def test_a_person_takes_the_call_and_the_voice_is_gone(open_company: Open) -> None:
    tool = f'transfer: {{attempts: [{{targets: ["tel:{ANSWERS_AFTER_A_SECOND}"]}}]}}'
    model = emulator(Call("t", say=LAST))
    async with talking(open_company, tool, model) as (house, caller):
        await house.connected(caller)
        assert model.open_sessions == 0
        await caller.sounds(500, 1.5)
        await caller.hangs_up()
        record, heard = await over(house, caller)
        person = await house.heard_by(ANSWERS_AFTER_A_SECOND)
    assert record.outcome == "handed_off"
    assert [attempt.status for attempt in record.attempts] == ["answered"]
    assert seconds_of_tone(heard, 600) == pytest.approx(seconds_of(LAST), abs=0.25)
    assert seconds_of_tone(heard, 900) > 1.0
    assert seconds_of_tone(person, 500) > 1.0


async def test_when_nobody_takes_the_call_the_talk_goes_on(open_company: Open) -> None:
    tool = f'transfer: {{attempts: [{{targets: ["tel:{BUSY}"]}}], unreached: "{UNREACHED}"}}'
    model = emulator(Call("t", say=LAST), Call("finish", {"exit": "served"}))
    async with talking(open_company, tool, model) as (house, caller):
        await model.conversation(1)
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.says("Nothing else, thank you.")
        record, heard = await over(house, caller)
    assert record.result == "served 0"
    assert [attempt.status for attempt in record.attempts] == ["busy"]
    assert seconds_of_tone(heard, 700) == pytest.approx(seconds_of(UNREACHED), abs=0.25)
    known = [
        event["item"]["content"][0]["text"] for event in model.conversations[1].client_events
        if event["type"] == "conversation.item.create" and event["item"]["type"] == "message"
    ]  # fmt: skip
    assert known[:2] == [GREETING, "Please."], "the second session knows what was said in the first"


async def test_keys_are_heard_at_the_callers_side(open_company: Open) -> None:
    model = emulator(Call("t", {"code": "47#"}), Call("finish", {"exit": "served"}))
    tool = 'input: {code: {type: string}}, send_dtmf: {digits: "${input.code}"}'
    async with talking(open_company, tool, model) as (house, caller):
        assert [await caller.hears_key() for _ in range(3)] == ["4", "7", "#"]
        record, _ = await over(house, caller)
        answers = told(model)
    assert answers[0] == {"ok": True}
    assert [(use.outcome, (use.ms or 0) >= 600) for use in record.tools] == [("ok", True)]


async def test_what_needs_a_yes_waits_for_the_callers_word(open_company: Open) -> None:
    model = emulator(Call("t"), Say(SURE), Call("t"), Call("finish", {"exit": "served"}, say=DONE))
    tool = f'confirm: "{SURE}", set: {{count: "${{vars.count + 1}}"}}'
    async with talking(open_company, tool, model) as (house, caller):
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.says("Yes, please do that.")
        record, heard = await over(house, caller)
        answers = told(model)
    assert record.result == "served 1"
    assert [use.outcome for use in record.tools] == ["unconfirmed", "ok"]
    assert answers[0]["ask_the_caller"] == SURE
    assert answers[1] == {"ok": True}
    for words in (SURE, DONE):
        assert seconds_of_tone(heard, PITCHES[words]) == pytest.approx(seconds_of(words), abs=0.25), words


# ── Farewells ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_farewell_lasts_no_longer_than_four_seconds(open_company: Open) -> None:
    model = emulator(Call("finish", {"exit": "served"}, say=LONG))
    async with talking(open_company, "set: {count: 1}", model) as (house, caller):
        record, heard = await over(house, caller)
    assert record.result == "served 0"
    spoken = seconds_of(LONG) / model.pace  # before the model asked to leave
    assert seconds_of_tone(heard, 600) == pytest.approx(spoken + 4.0, abs=0.4)
    assert seconds_of(LONG) > spoken + 5.0


async def test_the_caller_may_cut_a_farewell_short(open_company: Open) -> None:
    model = emulator(Call("finish", {"exit": "served"}, say=LONG))
    async with talking(open_company, "set: {count: 1}", model) as (house, caller):
        await caller.hears_something()
        await asyncio.sleep(1.0)  # as a person does: they hear what it is, and then speak
        await caller.says("Yes, yes, goodbye.", wait=False)
        record, heard = await over(house, caller)
    assert record.result == "served 0"
    assert 0.8 < seconds_of_tone(heard, 600) < 2.5


async def test_what_a_tool_answers_into_a_farewell_is_dropped(open_company: Open) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.7)
        return web.json_response({"left": 12})

    app = web.Application()
    app.router.add_get("/stock", slow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        resources = f"endpoints: {{shop: {{base_url: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}"
        model = emulator(Call("t", say=LAST, more=(Call("finish", {"exit": "served"}),)), Say(DONE))
        tool = "http: {endpoint: shop, path: /stock}"
        async with talking(open_company, tool, model, files={"resources.yaml": resources}) as (house, caller):
            record, heard = await over(house, caller)
            answers = told(model)
    finally:
        await runner.cleanup()
    assert record.result == "served 0"
    assert [(use.name, use.outcome) for use in record.tools] == [("t", "late")]
    assert answers == [{"ok": True}], "the model is told of its exit alone"
    assert seconds_of_tone(heard, 600) == pytest.approx(seconds_of(LAST), abs=0.25)
    assert seconds_of_tone(heard, PITCHES[DONE]) == 0
