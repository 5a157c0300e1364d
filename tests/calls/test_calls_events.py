"""A call that waits for the world outside: what its caller hears meanwhile, and that the event ends it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from company import Open
from hearing import longest_silence
from pydantic import SecretStr

from engine.settings import EventsSettings

pytestmark = pytest.mark.asterisk

TOKEN = "0123456789abcdef"
FLOW = """
handlers: [{event: dtmf, digits: "0", goto: desk}]
steps:
  - id: paid
    wait_for: {event: webhook, name: payment, timeout: 30s}
    save: {amount: number}
    outcomes: {timeout: [{hangup: {result: nothing}}]}
  - wait: 1s
  - hangup: {result: "${string(steps.paid.amount)} ${steps.paid.event.by}"}
sections: {desk: [{wait: 1s}, {hangup: {result: desk}}]}
"""


async def test_the_caller_hears_music_until_the_company_tells_of_the_event(open_company: Open) -> None:
    events = EventsSettings(token=SecretStr(TOKEN))
    async with open_company(FLOW, events=events) as house, aiohttp.ClientSession() as http:

        async def post(id: str, token: str = TOKEN) -> int:
            url = f"{house.engine.url}/calls/{id}/events/payment"
            given = {"Authorization": f"Bearer {token}"}
            async with http.post(url, json={"amount": 12.5, "by": "card"}, headers=given) as answer:
                return answer.status

        caller = await house.call()
        await caller.hears_something()
        id = house.record(caller).id
        await asyncio.sleep(3.0)
        assert await post(id, "guess") == 401
        assert await post("0" * 16) == 404
        assert await post(id) == 200
        record = await house.ended(caller)
        assert await post(id) == 410
        _, heard = await caller.recording()
    assert record.result == "12.5 card"
    music = [(start, end) for start, end in heard.bursts(0.3)]
    assert longest_silence(heard, music[0][0], music[-1][1]) < 0.3
    assert heard.seconds - music[-1][1] > 0.8, "the music stops at the event"


async def test_a_key_leads_out_of_the_wait(open_company: Open) -> None:
    async with open_company(FLOW) as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.presses("0")
        record = await house.ended(caller)
    assert record.result == "desk"
