"""The openai voice at work on a real line: it asks the company, is held to what an exit needs, and says goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from company import Open
from hearing import seconds_of, seconds_of_tone, singing

from engine.audio import tone
from tests.emulators.openai_realtime import Call, Emulator, Say

pytestmark = pytest.mark.asterisk

GREETING, FILLER = "What may it be?", "One moment, I am looking."
QUESTION, GOODBYE = "We have it. For which name?", "Thank you, that is ordered. Goodbye."
PITCHES = {GREETING: 400.0, FILLER: 600.0, QUESTION: 800.0, GOODBYE: 1200.0}

FLOW = f"""
    vars: {{order: {{type: object}}}}
    steps:
      - id: talk
        converse:
          provider: openai
          greeting: "{GREETING}"
          prompt: You take orders.
          tools:
            stock:
              description: Whether there is enough of a dish.
              input: {{dish: {{type: string}}}}
              http: {{endpoint: shop, path: "/stock/${{input.dish}}"}}
              while_running: {{say: "{FILLER}", after: 300ms}}
          collect:
            into: order
            schema:
              type: object
              properties: {{dish: {{type: string}}, name: {{type: string}}}}
              required: [dish, name]
          exits:
            ordered: {{description: The order is complete., requires: [order]}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - hangup: {{result: "${{vars.order.dish}} for ${{vars.order.name}}"}}
"""


@asynccontextmanager
async def shop(seconds: float) -> AsyncIterator[tuple[str, list[str]]]:
    """A company's own HTTP endpoint that takes its time; its address, and the paths that were asked for."""
    asked: list[str] = []

    async def stock(request: web.Request) -> web.Response:
        asked.append(request.path)
        await asyncio.sleep(seconds)
        return web.json_response({"dish": request.match_info["dish"], "left": 12})

    app = web.Application()
    app.router.add_get("/stock/{dish}", stock)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_tool_with_filler_a_blocked_exit_and_a_goodbye_heard_to_its_end(open_company: Open) -> None:
    order = {"dish": "soup", "name": "Ada"}
    emulator = Emulator(
        script=[
            Call("stock", {"dish": "soup"}),  # after the caller's first words
            Call("finish", {"exit": "ordered"}),  # too early: there is no order yet
            Say(QUESTION),
            Call("finish", {"exit": "ordered", "data": order}, say=GOODBYE),  # while it still speaks
        ],
        heard=["A soup, please.", "Ada."],
        voice=singing(PITCHES),
    )
    async with emulator, shop(2.6) as (url, asked):
        resources = f"endpoints: {{shop: {{base_url: '{url}'}}}}"
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(FLOW, files={"resources.yaml": resources}, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("A soup, please.")
            await caller.hears_something()  # the filler
            await caller.hears_nothing()
            await caller.hears_something()  # the question
            await caller.hears_nothing()
            await caller.says("My name is Ada.")
            record = await house.ended(caller)
            _, heard = await caller.recording()

        assert (record.outcome, record.hangup_by, record.result) == ("completed", "flow", "soup for Ada")
        assert asked == ["/stock/soup"]
        assert [(use.name, use.outcome, use.step) for use in record.tools] == [("stock", "ok", "steps/0")]
        assert 2600 <= (record.tools[0].ms or 0) < 3200
        said = [(entry.role, entry.text) for entry in record.transcript]
        assert said == [
            ("voice", GREETING), ("caller", "A soup, please."), ("voice", FILLER), ("voice", QUESTION),
            ("caller", "Ada."), ("voice", GOODBYE),
        ]  # fmt: skip
        conversation = await emulator.conversation()
        results = [
            event["item"]["output"] for event in conversation.client_events
            if event["type"] == "conversation.item.create" and event["item"]["type"] == "function_call_output"
        ]  # fmt: skip
        assert results[0] == '{"dish": "soup", "left": 12}'
        assert "needs order first" in results[1]
        assert results[2] == '{"ok": true}'
        for text in (GREETING, FILLER, QUESTION, GOODBYE):
            assert seconds_of_tone(heard, PITCHES[text]) == pytest.approx(seconds_of(text), abs=0.25), text
        assert heard.seconds - heard.bursts()[-1][1] < 0.5, "after the goodbye the line is left at once"
        assert emulator.open_sessions == 0
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []


async def test_a_sound_is_heard_while_a_tool_runs_and_nothing_of_the_answer_is_lost(open_company: Open) -> None:
    filler = f'{{say: "{FILLER}", after: 300ms}}'
    assert filler in FLOW
    flow = FLOW.replace(filler, "{play: {file: keys.ulaw}, after: 300ms}")
    order = {"dish": "soup", "name": "Ada"}
    emulator = Emulator(
        script=[Call("stock", {"dish": "soup"}), Call("finish", {"exit": "ordered", "data": order}, say=GOODBYE)],
        heard=["A soup, please."],
        voice=singing(PITCHES),
    )
    async with emulator, shop(2.6) as (url, _):
        files = {
            "resources.yaml": f"endpoints: {{shop: {{base_url: '{url}'}}}}",
            "keys.ulaw": tone((300.0,), 5000, "ulaw"),
        }
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(flow, files=files, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("A soup, please.")
            record = await house.ended(caller)
            _, heard = await caller.recording()
    assert record.result == "soup for Ada"
    assert seconds_of_tone(heard, 300.0) == pytest.approx(2.6 - 0.3, abs=0.35)
    assert seconds_of_tone(heard, PITCHES[GOODBYE]) == pytest.approx(seconds_of(GOODBYE), abs=0.25)
