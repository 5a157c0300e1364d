from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from engine.http import Http, HttpFailedError
from engine.metrics import Metrics
from engine.services import Clock, Services
from engine.speech import Speech
from engine.virtual import KeptRecords, VirtualLine, virtual_time
from engine.voices import Voices
from tests.engine.verbs.phone import RESOURCES, Endpoints, Over, dial, flow, library, problems

BOOK = """
- id: book
  http: {endpoint: pos, method: POST, path: "/orders?for=${caller.number}", json: {dish: "${vars.dish}", at: "${now}"},
         headers: {X-Call: "${call.id}"}, idempotency_key: "${call.id}"}
  save: {ref: string, total: number}
  outcomes: {http_error: [{say: Failed.}], timeout: [{say: Slow.}]}
- say: ${steps.book.outcome} ${string(steps.book.status)}.
"""
HEAD = "vars: {dish: {type: string, default: pizza}}"
PATH = "/orders?for=%2B14155550199"


async def book(folder: Path, answer: Any, steps: str = BOOK) -> tuple[Over, Endpoints]:
    http = Endpoints({PATH: answer})
    return await dial(library(folder, flow(steps, head=HEAD)), http=http), http


@virtual_time
async def test_everything_that_a_request_may_have(tmp_path: Path) -> None:
    over, http = await book(tmp_path, {"ref": "A7", "total": 9, "more": [1]})
    asked = http.asked[0]
    assert asked.pop("json") == {"dish": "pizza", "at": over.record.started}
    assert asked == {
        "endpoint": "pos", "method": "POST", "path": PATH, "headers": {"X-Call": "call-1"}, "timeout": None,
        "idempotency_key": "call-1",
    }  # fmt: skip
    assert over.ways[0] == ("http", "done")
    assert over.call.walker.steps["book"] == {
        "outcome": "done", "status": 200, "body": {"ref": "A7", "total": 9, "more": [1]}, "ref": "A7", "total": 9.0,
    }  # fmt: skip
    assert over.heard == ["done 200."]


@pytest.mark.parametrize(
    ("answer", "said", "detail"),
    [
        (HttpFailedError("pos answered 503 to POST", status=503), ["Failed.", "http_error 503."],
         "pos answered 503 to POST"),
        (HttpFailedError("pos did not answer within 5 s", kind="timeout"), ["Slow.", "timeout 0."],
         "pos did not answer within 5 s"),
        ({"ref": "A7"}, ["Failed.", "http_error 200."], "the answer has no total"),
        ("a text", ["Failed.", "http_error 200."], "the answer has no ref, total"),
        (None, ["Failed.", "http_error 200."], "the answer has no ref, total"),
        ([{"ref": 1}], ["Failed.", "http_error 200."], "the answer has no ref, total"),
    ],
)  # fmt: skip
@virtual_time
async def test_an_answer_that_is_of_no_use(tmp_path: Path, answer: Any, said: list[str], detail: str) -> None:
    over, _ = await book(tmp_path, [answer] if isinstance(answer, list) else answer)
    assert over.heard == said
    assert over.record.steps[0].detail == detail


@virtual_time
async def test_a_field_of_another_type_is_a_failure(tmp_path: Path) -> None:
    over, _ = await book(
        tmp_path, {"ref": 7, "total": 9}, BOOK.replace("- say: ${steps", "- say: x ${steps").split("- say")[0]
    )
    assert over.ways[0] == ("http", "http_error")
    assert over.record.steps[0].detail == "ref is declared as string, but the value is integer"


@virtual_time
async def test_the_steps_time_is_the_requests_time(tmp_path: Path) -> None:
    over, http = await book(tmp_path, (60.0, {}), BOOK.replace("  save:", "  timeout: 2s\n  save:").split("- say")[0])
    assert http.asked[0]["timeout"] == 2.0
    assert over.ways[0] == ("http", "timeout")
    assert over.heard == ["Slow."]


@virtual_time
async def test_a_step_is_tried_again_when_it_says_so(tmp_path: Path) -> None:
    steps = BOOK.replace("  save:", "  retry: {max: 2, delay: 500ms}\n  save:")
    over, http = await book(tmp_path, [HttpFailedError("no"), HttpFailedError("no"), {"ref": "A", "total": 1}], steps)
    assert [way for way in over.ways if way[0] == "http"] == [("http", "http_error")] * 2 + [("http", "done")]
    assert len(http.asked) == 3
    assert over.heard == ["done 200."]


@virtual_time
async def test_it_needs_no_caller(tmp_path: Path) -> None:
    head = "handlers: [{event: hangup, steps: [{http: {endpoint: pos, path: /bye}, catch: []}]}]"
    http = Endpoints({"/bye": {}})
    over = await dial(library(tmp_path, flow("- say: Hi", head=head)), http=http)
    assert [asked["path"] for asked in http.asked] == ["/bye"]
    assert over.ways[-1] == ("http", "done")


@virtual_time
async def test_a_value_that_is_not_there_asks_nobody(tmp_path: Path) -> None:
    over, http = await book(
        tmp_path, {}, BOOK.replace("${vars.dish}", "${steps.book.outcome.size() + 1}").split("- say")[0]
    )
    assert http.asked == []
    assert over.ways[0] == ("http", "http_error")


@virtual_time
async def test_the_caller_hangs_up_while_the_endpoint_thinks(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.hangs_up()

    http = Endpoints({PATH: (60.0, {})})
    over = await dial(library(tmp_path, flow(BOOK, head=HEAD)), script, http=http)
    assert over.ways == [("http", "cancelled")]


async def test_a_whole_request_to_a_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is virtual, the clock and the server are not."""
    asked: list[Any] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append((request.raw_path, request.headers["Authorization"], await request.json()))
        return web.json_response({"ref": "A7", "total": 9})

    monkeypatch.setenv("POS_TOKEN", "hush")
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    headers = "headers: {Authorization: {secret: POS_TOKEN}}, "
    resources = RESOURCES.replace('base_url: "https://pos.example/api", ', f'base_url: "{base}", {headers}')
    steps = BOOK.split("- say")[0]
    house = library(tmp_path, flow(steps, head=HEAD), files={"resources.yaml": resources})
    voices = Voices()
    services = Services(voices, Speech(voices), Http(), KeptRecords(), Metrics(CollectorRegistry()), Clock())
    async with asyncio.timeout(10):
        over = await dial(house, services=services)
    await services.http.close()
    await runner.cleanup()
    assert over.ways == [("http", "done")]
    assert asked[0][:2] == ("/api/orders?for=%2B14155550199", "hush")
    assert asked[0][2]["dish"] == "pizza"
    assert asked[0][2]["at"].startswith("20")
    assert "hush" not in over.record.model_dump_json()


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - http: {endpoint: pso, path: /}
          catch: []
        - http: {endpoint: pos, path: /, method: FETCH}
          catch: []
        - http: {endpoint: pos}
          catch: []
        - http: {endpoint: pos, path: "/${vars.nam}"}
          catch: []
        - http: {endpoint: pos, path: /, body: x}
          catch: []
        - id: a
          http: {endpoint: pos, path: /}
          save: {ref: strng}
          catch: []
        """,
        head="vars: {name: {type: string}}",
    )
    assert found[0] == "4:22: error[E302]: unknown endpoint 'pso' (did you mean 'pos'?)"
    assert found[1].startswith("6:44: error[E203]: 'FETCH' is not one of 'GET', 'POST', 'PUT', 'PATCH' or 'DELETE'")
    assert found[2] == "8:5: error[E202]: http needs 'path'"
    assert found[3] == "10:37: error[E301]: unknown variable 'vars.nam' (did you mean 'vars.name'?)"
    assert found[4].startswith("12:36: error[E201]: unknown key 'body'")
    assert found[5] == "16:17: error[E203]: 'strng' is not a type (did you mean 'string'?)"


def test_a_request_that_may_fail_wants_an_answer(tmp_path: Path) -> None:
    found = problems(tmp_path, "- http: {endpoint: pos, path: /}")
    assert len(found) == 1
    assert "http may end with http_error, timeout" in found[0]


# ── Without waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

SENDS = '- http: {endpoint: pos, method: POST, path: /seen, json: {x: 1}, idempotency_key: "${call.id}", wait: false}\n'


async def send(folder: Path, answer: Any, after: str = "- hangup: {}") -> tuple[Over, Endpoints]:
    http = Endpoints({"/seen": answer})
    return await dial(library(folder, flow(SENDS + after)), http=http), http


@virtual_time
async def test_a_request_that_is_not_waited_for(tmp_path: Path) -> None:
    over, http = await send(tmp_path, (3.0, {"ref": "A7"}))
    assert (over.record.steps[0].ms, over.record.steps[0].outcome) == (0, "done")
    assert over.record.steps[0].detail == "not waited for"
    assert (http.asked[0]["idempotency_key"], http.asked[0]["json"]) == ("call-1", {"x": 1})


@virtual_time
async def test_its_failure_stands_in_the_trace_of_its_step(tmp_path: Path) -> None:
    over, _ = await send(tmp_path, (2.0, HttpFailedError("pos answered 500 to POST", status=500)), "- wait: 5s")
    assert over.ways == [("http", "done"), ("wait", "done")]
    assert over.record.steps[0].detail == "http_error: pos answered 500 to POST"


@virtual_time
async def test_what_is_wrong_before_anything_is_sent_is_an_error_of_the_step(tmp_path: Path) -> None:
    steps = '- http: {endpoint: pos, path: "/a/${1 / vars.x}", wait: false}\n  catch: [{hangup: {result: caught}}]'
    over = await dial(library(tmp_path, flow(steps, head="vars: {x: {type: integer}}")), http=Endpoints({}))
    assert (over.record.result, over.record.steps[0].outcome) == ("caught", "error")


def test_who_does_not_wait_has_neither_outcomes_nor_values(tmp_path: Path) -> None:
    given = SENDS.replace("- http", "- id: a\n  http")
    assert problems(tmp_path, given + "  save: {ref: string}") == [
        "4:105: error[E203]: who does not wait for the answer has nothing to 'save'"
    ]
    [found] = problems(tmp_path, given + "  outcomes: {http_error: []}")
    assert "http has no outcome 'http_error'" in found
    [found] = problems(tmp_path, given + '- say: "${string(steps.a.status)}"')
    assert "steps.a.status" in found
