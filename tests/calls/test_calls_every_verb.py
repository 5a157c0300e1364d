"""Every installed verb runs in a call on a real Asterisk: what the calls' own records say of their steps counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from company import Company, Open, until
from test_calls_steps import endpoint
from test_calls_texts import chat

from asterisk.world import Caller
from engine.verb import installed
from tests.emulators.chat_completions import Answer, Emulator

pytestmark = pytest.mark.asterisk

DETECTING = """
flow: detecting
steps:
  - detect_machine: {timeout: 2s}
  - stop: {}
"""
REFUSING = """
flow: refusing
steps:
  - ringing: {}
  - wait: 200ms
  - reject: {sip_code: 486}
"""
ROUND = """
flow: round
vars: {order: {type: object, default: {}}, note: {type: string, default: A pizza.}}
handlers: [{event: error, steps: [{hangup: {result: failed}}]}]
steps:
  - answer: {}
  - record: start
  - check_hours: always
    outcomes: {closed: [], holiday: []}
  - set: {note: Two pizzas.}
  - switch: [{when: vars.note == 'Two pizzas.', steps: [{split: {weights: {a: 1}}}]}]
  - repeat: {max: 2, steps: [{set: {}}]}
  - call: {section: back}
  - http: {endpoint: books, path: /}
  - event: {endpoint: books, name: it}
  - sms: {endpoint: books, to: "+14155550111", text: Hi.}
  - extract: {from: note, into: order, schema: {dish: {type: string}}}
  - play: {prompt: welcome}
  - say: Enter two keys.
  - gather: {say: Which?, digits: 2}
  - menu: {say: Press one more.}
    outcomes: {"3": []}
  - wait_for: dtmf
  - send_dtmf: "12"
  - converse: {options: {rehearsal: {script: [{say: Hello.}, {finish: {exit: a}}]}}, exits: {a: {}}}
  - record: stop
  - voicemail: {box: sales, silence: 1s}
  - goto: person
sections:
  back: [{return: {}}]
  person:
    - transfer: {attempts: [{targets: ["tel:+12125550109"], timeout: 15s}], after_callee_hangup: continue}
    - hangup: {}
"""
RESOURCES = """
calendars: {{always: {{timezone: Europe/Berlin, open: {{mon-sun: ["00:00-24:00"]}}}}}}
endpoints: {{books: {{base_url: '{url}'}}}}
prompts: {{welcome: Welcome.}}
"""
ROUTES = """
routes:
  - {match: {caller: "+12125550171"}, flow: refusing}
  - {match: {caller: "+12125550172"}, flow: detecting}
  - {match: {caller: "+12125550173"}, flow: round}
"""


async def test_every_installed_verb_runs_on_a_real_asterisk(open_company: Open, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    found = Answer(json.dumps({"found": True, "value": {"dish": "pizza"}}))
    async with Emulator([found]) as emulator, endpoint(answer) as url:
        flows = {"refusing.flow.yaml": REFUSING, "detecting.flow.yaml": DETECTING, "round.flow.yaml": ROUND}
        files = {**flows, "resources.yaml": RESOURCES.format(url=url)}
        more = {"text": "chat", "voices": chat(emulator), "storage": tmp_path / "kept"}
        async with open_company("steps: [{stop: {}}]", routes=ROUTES, files=files, **more) as house:
            refused = await house.call(caller="+12125550171", answered=False)
            detected = await house.call(caller="+12125550172")
            caller = await house.call(caller="+12125550173")
            await _answers(house, caller)
            records = [await house.ended(one) for one in (refused, detected, caller)]
    steps = [step for record in records for step in record.steps]
    assert [(step.verb, step.outcome, step.detail) for step in steps if step.outcome in (None, "error")] == []
    assert [record.error for record in records] == ["", "", ""]
    assert set(installed()) - {step.verb for step in steps} == set()


async def _answers(house: Company, caller: Caller) -> None:
    """Press keys, leave a message, and talk to a person."""

    async def comes_to(verb: str) -> None:
        await until(lambda: any(step.verb == verb for step in house.record(caller).steps), f"the step {verb}")

    for verb, keys in (("gather", "12"), ("menu", "3"), ("wait_for", "4")):
        await comes_to(verb)
        await caller.presses(keys)
    await comes_to("voicemail")
    await caller.hears_something()
    await caller.says("Please call me back. It is about my bicycle.")
    await house.connected(caller)  # the person hangs up, and the flow goes on
