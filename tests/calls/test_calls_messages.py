"""Events and text messages of a real call, to a webhook that runs."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from company import Open
from hearing import seconds_of_tone
from test_calls_prompts import tone_wav
from test_calls_steps import endpoint

pytestmark = pytest.mark.asterisk


async def test_the_company_is_told_and_people_are_written_to(open_company: Open) -> None:
    asked: list[tuple[str, str | None, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("Idempotency-Key"), await request.json()))
        return web.Response(status=202 if "refused" not in request.path else 400)

    flow = """
        handlers:
          - event: hangup
            steps: [{event: {endpoint: books, path: /hooks, name: call.over}, catch: []}]
        steps:
          - id: note
            sms: {to: ["${caller.number}", nurse], text: "You called ${call.did}.", endpoint: books, path: /sms}
            outcomes: {http_error: [], timeout: []}
          - id: refused
            event: {endpoint: books, path: /refused, name: x, json: [1]}
            outcomes: {http_error: [], timeout: []}
          - hangup: {result: "${string(steps.note.sent)} ${string(steps.refused.status)}"}
    """
    async with endpoint(answer) as url:
        resources = f"{{endpoints: {{books: {{base_url: '{url}'}}}}, destinations: {{nurse: 'tel:+14155550111'}}}}"
        async with open_company(flow, files={"resources.yaml": resources}) as house:
            caller = await house.call(caller="+12125550177", answered=False)
            record = await house.ended(caller)
    assert record.result == "2 400"
    messages = {body["to"]: body["text"] for path, _, body in asked if path == "/sms"}
    assert messages == dict.fromkeys(["+12125550177", "+14155550111"], "You called +12125550100.")
    assert all(key == body["id"] for _, key, body in asked)
    over = asked[-1][2]
    assert (over["event"], over["data"], over["call"]["id"]) == ("call.over", None, record.id)
    assert over["at"] > over["call"]["started"]


async def test_a_sound_of_the_company_is_played_and_fetched_once(open_company: Open) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=tone_wav(500, 0.5))

    flow = """
        steps:
          - play: {endpoint: books, path: /today.wav, loop: 2}
            catch: [{hangup: {result: wrong}}]
          - hangup: {result: played}
    """
    async with endpoint(answer) as url:
        resources = f"endpoints: {{books: {{base_url: '{url}'}}}}"
        async with open_company(flow, files={"resources.yaml": resources}) as house:
            for _ in range(2):
                caller = await house.call()
                record = await house.ended(caller)
                _, heard = await caller.recording()
                assert record.result == "played"
                assert seconds_of_tone(heard, 500) == pytest.approx(1.0, abs=0.25)
    assert asked == ["/today.wav"]
