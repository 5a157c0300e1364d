"""The steps that need no word from the caller, on a real call: hours, variables, branches, loops, HTTP, hang-up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from company import Open

pytestmark = pytest.mark.asterisk


@asynccontextmanager
async def endpoint(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The company's own HTTP endpoint; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_steps_decide_by_themselves(open_company: Open) -> None:
    flow = """
        vars: {round: {type: integer, default: 0}, way: {type: string, default: ""}}
        steps:
          - answer: {}
          - check_hours: always
            outcomes: {closed: [{goto: wrong}], holiday: [{goto: wrong}]}
          - check_hours: never
            outcomes: {closed: [{set: {way: "closed "}}], holiday: [{goto: wrong}]}
          - repeat: {max: 5, while: vars.round < 3, steps: [{set: {round: "${vars.round + 1}"}}]}
          - switch:
              value: "${vars.round}"
              cases: {"3": [{call: {section: count}}], "5": [{goto: wrong}]}
              default: [{goto: wrong}]
          - switch:
              - {when: vars.round == 4, steps: [{goto: done}]}
          - goto: wrong
        sections:
          count: [{set: {round: "${vars.round + 1}", way: "${vars.way}counted"}}, {return: {}}]
          done: [{hangup: {result: "${vars.way} ${string(vars.round)}"}}]
          wrong: [{hangup: {result: wrong}}]
    """
    resources = """
        calendars:
          always: {timezone: Europe/Berlin, open: {mon-sun: ["00:00-24:00"]}}
          never: {timezone: Europe/Berlin, open: {}}
    """
    async with open_company(flow, files={"resources.yaml": resources}) as house:
        caller = await house.call()
        record = await house.ended(caller)
    assert record.result == "closed counted 4"
    assert (record.outcome, record.error) == ("completed", "")


async def test_http_asks_the_company(open_company: Open) -> None:
    asked: list[tuple[str, str, object, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.method, request.path_qs, body, request.headers.get("Idempotency-Key")))
        return web.json_response({"ref": "A 7", "seats": 4})

    flow = """
        steps:
          - id: book
            http:
              endpoint: books
              method: POST
              path: "/orders?from=${caller.number}"
              json: {did: "${call.did}"}
              idempotency_key: "${call.id}"
            save: {ref: string, seats: integer}
          - hangup: {result: "${steps.book.ref} with ${string(steps.book.seats)}"}
    """
    async with endpoint(answer) as url:
        resources = f"endpoints: {{books: {{base_url: '{url}'}}}}"
        async with open_company(flow, files={"resources.yaml": resources}) as house:
            caller = await house.call(caller="+12125550177", answered=False)
            record = await house.ended(caller)
    assert record.result == "A 7 with 4"
    assert asked == [("POST", "/orders?from=%2B12125550177", {"did": "+12125550100"}, record.id)]


async def test_http_that_fails_leads_where_the_flow_says(open_company: Open) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500)

    flow = """
        steps:
          - http: {endpoint: books, path: /orders}
            outcomes: {http_error: [{hangup: {result: no books, sip_code: 503}}]}
          - hangup: {result: wrong}
    """
    async with endpoint(answer) as url:
        resources = f"endpoints: {{books: {{base_url: '{url}'}}}}"
        async with open_company(flow, files={"resources.yaml": resources}) as house:
            caller = await house.call(answered=False)
            record = await house.ended(caller)
    assert record.result == "no books"
    assert record.answered is None


@pytest.mark.parametrize("sip_code", [403, 404, 408, 480, 486, 503, 603])
async def test_a_call_is_refused_with_the_code_of_the_flow(open_company: Open, sip_code: int) -> None:
    async with open_company(f"steps: [{{hangup: {{sip_code: {sip_code}}}}}]") as house:
        caller = await house.call(answered=False)
        record = await house.ended(caller)
        assert caller.sip_code == sip_code
    assert (record.outcome, record.hangup_by, record.answered) == ("completed", "flow", None)


async def test_a_code_is_for_calls_that_were_not_answered(open_company: Open) -> None:
    async with open_company("steps: [{answer: {}}, {hangup: {sip_code: 486}}]") as house:
        caller = await house.call()
        record = await house.ended(caller)
        assert caller.cause == 16
    assert (record.cause, record.outcome) == (16, "completed")


async def test_stop_in_a_section_that_was_called_ends_the_call(open_company: Open) -> None:
    flow = """
        steps: [{answer: {}}, {call: {section: end}}, {say: This is never heard.}]
        sections: {end: [{stop: {}}]}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        record = await house.ended(caller)
        assert caller.cause == 16
    assert [(step.verb, step.outcome) for step in record.steps] == [
        ("answer", "done"),
        ("call", "done"),
        ("stop", "done"),
    ]
    assert (record.outcome, record.hangup_by) == ("completed", "flow")


async def test_ringing_comes_before_the_answer(open_company: Open) -> None:
    async with open_company("steps: [{answer: 1s}, {hangup: {}}]") as house:
        caller = await house.call()
        record = await house.ended(caller)
    assert record.answered is not None
    assert 0.9 < (record.answered - record.started).total_seconds() < 1.6
