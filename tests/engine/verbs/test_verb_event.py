from __future__ import annotations

from pathlib import Path

import pytest

from engine.http import HttpFailedError
from engine.virtual import Calls, VirtualLine, Waits, virtual_time
from tests.engine.verbs.phone import Endpoints, dial, flow, library, problems
from tests.engine.verbs.talking import asks, converse, finish

HEAD = "vars: {order: {type: object, default: {dish: soup}}, card: {type: string, sensitive: true}}"


@virtual_time
async def test_the_webhook_is_told_what_happened_in_which_call(tmp_path: Path) -> None:
    webhook = Endpoints({"/hooks/A%2F7": {"ok": True}})
    steps = """
    - wait: 5s
    - id: told
      event: {endpoint: pos, name: order.placed, path: "/hooks/${'A/7'}", json: {order: "${vars.order}", count: 2}}
      outcomes: {http_error: [], timeout: []}
    - hangup: {result: "${string(steps.told.status)}"}
    """
    over = await dial(library(tmp_path, flow(steps, head=HEAD)), http=webhook)
    [asked] = webhook.asked
    assert (asked["endpoint"], asked["method"], asked["path"]) == ("pos", "POST", "/hooks/A%2F7")
    body = asked["json"]
    assert (body["id"], body["event"], body["flow"]) == ("call-1-2", "order.placed", "test")
    assert (body["at"] - body["call"]["started"]).total_seconds() == 5
    assert {**body["call"], "started": None} == {
        "id": "call-1", "direction": "inbound", "did": "+14155550100", "caller": "+14155550199", "trunk": "carrier",
        "started": None,
    }  # fmt: skip
    assert body["data"] == {"order": {"dish": "soup"}, "count": 2}
    assert asked["idempotency_key"] == body["id"]
    assert over.record.result == "200"


@virtual_time
async def test_every_time_it_runs_is_an_event_of_its_own(tmp_path: Path) -> None:
    webhook = Endpoints({"": None})
    step = "{event: {endpoint: pos, name: tick}, outcomes: {http_error: [], timeout: []}}"
    await dial(library(tmp_path, flow(f"- repeat: {{max: 3, steps: [{step}]}}")), http=webhook)
    assert len({asked["json"]["id"] for asked in webhook.asked}) == 3
    assert webhook.asked[0]["json"]["data"] is None


@pytest.mark.parametrize("ends", ["http_error", "timeout"])
@virtual_time
async def test_a_webhook_that_fails_leads_where_the_flow_says(tmp_path: Path, ends: str) -> None:
    webhook = Endpoints({"": HttpFailedError("pos is down", kind=ends, status=503)})
    steps = f"- event: {{endpoint: pos, name: x}}\n  outcomes: {{{ends}: [{{say: Never mind.}}]}}\n  catch: []"
    over = await dial(library(tmp_path, flow(steps)), http=webhook)
    assert over.ways[0] == ("event", ends)
    assert over.record.steps[0].detail == "pos is down"
    assert over.heard == ["Never mind."]


@virtual_time
async def test_it_may_be_told_when_the_caller_has_gone(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(1)
        await line.caller.hangs_up()

    webhook = Endpoints({"": (2.0, None)})
    head = "handlers: [{event: hangup, steps: [{event: {endpoint: pos, name: over}, catch: []}]}]"
    over = await dial(library(tmp_path, flow("- wait: 1m", head=head)), script, http=webhook)
    assert over.ways == [("wait", "cancelled"), ("event", "done")]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - event: {endpoint: pos, name: "card ${vars.card}", json: {a: ["${mask(vars.card)}"]}}
          catch: []
        - id: pin
          gather: {say: Your PIN., sensitive: true}
          catch: []
        - event: {endpoint: pos, name: x, json: "${steps.pin}"}
          catch: []
        - event: {endpoint: pos, name: x, json: ["${steps.pin.digits}", "${steps.pin.outcome}"]}
          catch: []
        - event: {endpoint: poss, name: x}
          catch: []
        - event: {endpoint: pos}
        """,
        head=HEAD,
    )
    assert [line.split(";")[0] for line in found if "error[" in line] == [
        "4:42: error[E203]: 'vars.card' is sensitive and must not leave with an event",
        "4:69: error[E203]: 'vars.card' is sensitive and must not leave with an event",
        "9:46: error[E301]: unknown variable 'steps.pin' (has: pin.digits, pin.outcome)",
        "11:47: error[E203]: 'steps.pin.digits' is sensitive and must not leave with an event",
        "13:23: error[E302]: unknown endpoint 'poss' (did you mean 'pos'?)",
        "15:5: error[E202]: event needs 'name'",
    ]


@virtual_time
async def test_an_event_that_is_not_waited_for(tmp_path: Path) -> None:
    hook = Endpoints({"": (2.0, None)})
    steps = "- event: {endpoint: pos, name: it.happened, wait: false}\n- hangup: {}"
    over = await dial(library(tmp_path, flow(steps)), http=hook)
    assert (over.record.steps[0].ms, over.record.steps[0].detail) == (0, "not waited for")
    assert hook.asked[0]["json"]["event"] == "it.happened"


@virtual_time
async def test_events_of_flows_that_run_side_by_side_have_ids_of_their_own(tmp_path: Path) -> None:
    head = 'handlers: [{event: dtmf, digits: "9", steps: [{hangup: {}}]}]'  # then steps run in tasks of their own
    talk = converse("greeting: Hello.\ntools: {tell: {description: x, flow: {flow: told}}}", head=head)
    for number, wait in enumerate(("true", "false")):
        webhook = Endpoints({"": (1.0, HttpFailedError("no", status=500))})
        steps = f"- wait: 1s\n- {{event: {{endpoint: pos, name: asked, wait: {wait}}}, catch: []}}"
        house = library(tmp_path / str(number), talk, flow(steps, name="told"))
        over = await dial(house, asks, [Calls("tell"), Calls("tell")], [Waits(3), finish()], http=webhook)
        ids = [asked["json"]["id"] for asked in webhook.asked]
        assert ids == ["call-1-4", "call-1-5"]
        assert [asked["idempotency_key"] for asked in webhook.asked] == ids
        told = [step.detail for step in over.record.steps if step.verb == "event"]
        assert len(told) == 2
        assert all("no" in detail and "not waited for" not in detail for detail in told)
