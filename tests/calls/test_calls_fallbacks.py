"""Calls that the engine does not take, or cannot finish: somebody answers all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from company import BUSY, Open, company
from hearing import longest_silence

from asterisk import sandbox
from asterisk.config import AsteriskConfig
from asterisk.config.settings import Fallback
from asterisk.installation import Installation
from asterisk.instance import Instance
from asterisk.world import Caller

pytestmark = pytest.mark.asterisk

FALLBACK, FALLBACK_TONE = "+12125560440", 440.0  # the dialplan's: the front desk
SAFETY, SAFETY_TONE = "+12125560900", 900.0  # the engine's

TALK = """
    steps:
      - converse:
          provider: openai
          greeting: Hello.
          exits: {bye: {}}
"""
DEAD = {"openai": {"api_key": "test-key", "base_url": "ws://127.0.0.1:9/v1"}}  # nobody listens there


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pair_with_fallback(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Instance, Instance]]:
    """`(pbx, world)`, with a front desk in the dialplan behind the engine."""

    def choose(config: AsteriskConfig) -> AsteriskConfig:
        fallback = Fallback(endpoint=f"PJSIP/{FALLBACK}@carrier")
        return config.model_copy(update={"fallback": fallback})

    folder = tmp_path_factory.mktemp("fallback")
    async with sandbox.pair(folder, choose_pbx=choose, installation=installation) as both:
        yield both


@pytest.fixture
def open_company(pair_with_fallback: tuple[Instance, Instance], tmp_path: Path) -> Open:
    return partial(company, *pair_with_fallback, tmp_path)


async def hears(caller: Caller, tone: float) -> float:
    """The caller hears this tone at the end, hangs up, and has waited so long in silence (s)."""
    await caller.hears_something()
    await caller.sounds(600, 1.0)
    await caller.hangs_up()
    await caller.is_over()
    _, heard = await caller.recording()
    assert heard.part(heard.seconds - 0.8).tone_share(tone) > 0.9
    return longest_silence(heard)


async def test_an_unknown_number_goes_to_the_front_desk(open_company: Open) -> None:
    routes = 'routes: [{match: {did: "+12125550100"}, flow: test}]'
    async with open_company("steps: [{hangup: {}}]", routes=routes) as house:
        caller = await house.call("+12125550155")
        assert await hears(caller, FALLBACK_TONE) < 1.0
        record = await house.ended(caller)
    assert (record.outcome, record.error, record.did) == ("refused", "no_route", "+12125550155")


async def test_one_call_too_many_goes_there_too_and_the_live_one_does_not_notice(open_company: Open) -> None:
    long = "Please hold the line, and listen to this very long sentence, which is here to be heard without a gap."
    async with open_company(f"steps: [{{say: '{long}'}}, {{hangup: {{}}}}]", max_calls=1) as house:
        first = await house.call()
        await first.hears_something()
        second = await house.call()
        assert await hears(second, FALLBACK_TONE) < 1.0
        refused = await house.ended(second)
        taken = await house.ended(first)
        _, heard = await first.recording()
        third = await house.call()
        assert (await house.ended(third)).outcome == "completed", "there is room again"
    assert (refused.outcome, refused.error) == ("refused", "capacity")
    assert (taken.outcome, taken.hangup_by) == ("completed", "flow")
    assert longest_silence(heard) < 0.7, "flite's own pauses"


async def test_without_ai_and_safety_destination_the_front_desk_answers(open_company: Open) -> None:
    async with open_company(TALK, voices=DEAD) as house:
        caller = await house.call()
        assert await hears(caller, FALLBACK_TONE) < 1.0
        record = await house.ended(caller)
    assert (record.outcome, record.hangup_by) == ("failed", "engine")
    assert record.result == "given back to the dialplan"
    assert "provider_error" in record.error


async def test_a_flow_that_fails_leads_to_the_safety_destination(open_company: Open) -> None:
    async with open_company(TALK, voices=DEAD, safety_destination=f"tel:{SAFETY}") as house:
        caller = await house.call()
        await house.connected(caller)
        assert await hears(caller, SAFETY_TONE) < 1.0
        record = await house.ended(caller)
    assert (record.outcome, record.hangup_by) == ("handed_off", "caller")
    assert [(attempt.step, attempt.status) for attempt in record.attempts] == [("safety", "answered")]
    assert "provider_error" in record.error


async def test_the_fallback_of_a_route_comes_before_that_of_the_engine(open_company: Open) -> None:
    routes = f'routes: [{{flow: test, fallback: "tel:{SAFETY}"}}]'
    async with open_company(TALK, routes=routes, voices=DEAD, safety_destination=f"tel:{BUSY}") as house:
        caller = await house.call()
        await house.connected(caller)
        await hears(caller, SAFETY_TONE)
        record = await house.ended(caller)
    assert [attempt.target for attempt in record.attempts] == [f"tel:{SAFETY}"]


async def test_behind_a_safety_destination_that_is_busy_stands_the_front_desk(open_company: Open) -> None:
    async with open_company(TALK, voices=DEAD, safety_destination=f"tel:{BUSY}") as house:
        caller = await house.call()
        assert await hears(caller, FALLBACK_TONE) < 1.0
        record = await house.ended(caller)
    assert [attempt.status for attempt in record.attempts] == ["busy"]
    assert record.result == "given back to the dialplan"


async def test_without_any_fallback_the_caller_hears_why(pbx: Instance, world: Instance, tmp_path: Path) -> None:
    """The dialplan has no front desk either: it answers with congestion, never with silence."""
    async with company(pbx, world, tmp_path, TALK, voices=DEAD) as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.result == "given back to the dialplan"
    assert longest_silence(heard) < 1.0
