"""A caller hangs up at every stage of a call: the flow stops where it is, and nothing and nobody is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from company import RINGS_FOR_EVER, TEAMS, Company, Open, until

from asterisk.world import Caller
from tests.emulators.openai_realtime import Call, Emulator

pytestmark = pytest.mark.asterisk

AT_THE_END = (
    "handlers: [{event: hangup, steps: [{set: {over: true}}]}]\n        vars: {over: {type: boolean, default: false}}"
)
LONG = "This is a long announcement, and nobody who calls here every day wants to hear it to its end once more."
Stage = Callable[[Company, Caller], Awaitable[None]]


async def rings(house: Company, caller: Caller) -> None:
    await house.live(caller)
    await until(lambda: house.record(caller).steps, "the first step")


async def hears(house: Company, caller: Caller) -> None:
    await caller.hears_something()


async def waits_for_a_person(house: Company, caller: Caller) -> None:
    await house.attempt(caller)
    await until(lambda: len(house.record(caller).legs) > 1, "the target's leg")


async def talks(house: Company, caller: Caller) -> None:
    await house.connected(caller)


@pytest.mark.parametrize(
    ("steps", "stage", "outcome"),
    [
        ("answer: 10s", rings, "caller_hung_up"),
        (f"say: {LONG}", hears, "caller_hung_up"),
        (f"menu: {{say: '{LONG}'}}\n            outcomes: {{no_input: [], no_match: []}}", hears, "caller_hung_up"),
        (
            f"converse: {{greeting: '{LONG}', exits: {{bye: {{}}}}}}\n"
            "            outcomes: {silence: [], max_duration: [], provider_error: []}",
            hears,
            "caller_hung_up",
        ),
        (
            f"transfer: {{attempts: [{{targets: ['tel:{RINGS_FOR_EVER}', 'teams:{RINGS_FOR_EVER}']}}]}}\n"
            "            outcomes: {failed: []}",
            waits_for_a_person,
            "caller_hung_up",
        ),
        (
            f"transfer: {{attempts: [{{targets: ['teams:{TEAMS}']}}]}}\n            outcomes: {{failed: []}}",
            talks,
            "handed_off",
        ),
    ],
    ids=["before the answer", "in say", "in a menu", "in the greeting", "while a person is rung", "while connected"],
)
async def test_leaves(open_company: Open, steps: str, stage: Stage, outcome: str) -> None:
    flow = f"""
        {AT_THE_END}
        steps:
          - {steps}
          - hangup: {{result: wrong}}
    """
    async with open_company(flow) as house:
        caller = await house.call(answered=stage is not rings)
        await stage(house, caller)
        await caller.hangs_up()
        record = await house.ended(caller)
    assert (record.outcome, record.hangup_by, record.result, record.error) == (outcome, "caller", "", "")
    assert [step.verb for step in record.steps][-1] == "set", "the hangup handler runs"
    assert record.steps[0].ms is not None
    assert all(leg.ended is not None for leg in record.legs)
    if outcome == "caller_hung_up":
        assert {attempt.status for attempt in record.attempts} <= {"cancelled"}


async def test_leaves_while_a_tool_runs(open_company: Open) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.sleep(30)
        finally:
            gone.set()
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/slow", slow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    flow = """
        steps:
          - converse:
              provider: openai
              tools: {slow: {description: Slow., timeout: 20s, http: {endpoint: shop, path: /slow, timeout: 20s}}}
              exits: {bye: {}}
            outcomes: {silence: [], max_duration: [], provider_error: []}
    """
    try:
        async with Emulator(script=[Call("slow")]) as emulator:
            options = {
                "files": {
                    "resources.yaml": f"endpoints: {{shop: {{base_url: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}"
                },
                "voices": {"openai": {"api_key": "test-key", "base_url": emulator.url}},
            }
            async with open_company(flow, **options) as house:
                caller = await house.call()
                await emulator.conversation()
                await caller.says("Please look it up.")
                async with asyncio.timeout(10):
                    await asked.wait()
                await caller.hangs_up()
                record = await house.ended(caller)
                async with asyncio.timeout(5):
                    await gone.wait()  # the request is given up, too
            assert emulator.open_sessions == 0
    finally:
        await runner.cleanup()
    assert (record.outcome, record.hangup_by) == ("caller_hung_up", "caller")
    assert [(use.name, use.outcome) for use in record.tools] == [("slow", "cancelled")]
