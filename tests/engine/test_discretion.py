"""What a record keeps of keys, requests, arguments and headers, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.discretion import HIDDEN, outline, told_in
from engine.http import HttpFailedError
from engine.virtual import Calls, VirtualLine, virtual_time
from engine.virtual.line import FACTS
from tests.engine.verbs.phone import Endpoints, Over, dial, flow, library

ENDS = "\n  outcomes: {no_input: [], no_match: []}"
ASK = "- id: ask\n  gather: {say: Number?, digits: 4}" + ENDS


async def keys(folder: Path, steps: str, pressed: str = "1234", head: str = "") -> Over:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.presses(pressed)

    return await dial(library(folder, flow(steps, head=head)), script)


def read(over: Over) -> str:
    return "".join(press.key for press in over.record.presses)


def test_an_outline_has_the_form_and_nothing_to_read() -> None:
    body = {"name": "Ada", "vip": True, "age": 36, "tags": ["a", "b"], "none": None}
    assert outline(body) == {"name": "…", "vip": True, "age": 0, "tags": ["…", "…"], "none": None}
    assert outline(body, secret=True) == {"name": "…", "vip": False, "age": 0, "tags": ["…", "…"], "none": None}
    assert len(outline([1] * 1000)) == 20
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    assert str(outline(deep)).count("[") == 21


def test_headers_that_name_who_withheld_the_number_are_not_kept() -> None:
    given = {"X-Plan": "gold", "P-Asserted-Identity": "<tel:+49711>", "Diversion": "<sip:1>", "x-a": "1"}
    assert told_in(given) == {"X-Plan": "gold", "Diversion": "<sip:1>", "x-a": "1"}
    assert told_in({"X-Pin": "1234"}, secret=True) == {"X-Pin": "…"}


@virtual_time
async def test_keys_are_on_record_with_their_moments(tmp_path: Path) -> None:
    over = await keys(tmp_path, ASK, "12#")
    assert read(over) == "12#"
    first, second, _ = over.record.presses
    assert (second.at - first.at).total_seconds() == pytest.approx(0.3, abs=0.01)
    assert first.step == "steps/0"


@virtual_time
async def test_the_keys_of_a_sensitive_step_are_hidden_but_for_the_one_that_ends_it(tmp_path: Path) -> None:
    over = await keys(tmp_path, ASK.replace("digits: 4", "digits: 4, sensitive: true"), "123#")
    assert read(over) == f"{HIDDEN * 3}#"


@virtual_time
async def test_keys_that_become_a_sensitive_variable_are_hidden(tmp_path: Path) -> None:
    head = "vars: {pin: {type: string, sensitive: true}, copy: {type: string}}"
    steps = ASK + '\n- set: {copy: "${steps.ask.digits}"}\n- set: {pin: "Pin ${vars.copy}"}'
    assert read(await keys(tmp_path, steps, head=head)) == HIDDEN * 4


@virtual_time
async def test_the_key_of_a_handler_is_on_record(tmp_path: Path) -> None:
    head = "handlers: [{event: dtmf, digits: '0', steps: [{say: Yes?}]}]"
    over = await keys(tmp_path, "- say: A long story that never seems to end at all.", "50", head)
    assert read(over) == "0"


@virtual_time
async def test_a_request_is_on_record_with_what_the_flow_keeps_of_its_answer(tmp_path: Path) -> None:
    http = Endpoints({"/a": {"ref": "A17", "name": "Ada", "ok": True}, "/b": HttpFailedError("x", status=503)})
    steps = (
        "- {id: a, http: {endpoint: pos, path: /a}, save: {ref: string}, catch: []}\n"
        "- {http: {endpoint: pos, path: /b}, catch: []}\n"
    )
    over = await dial(library(tmp_path, flow(steps)), http=http)
    one, two = over.record.requests
    assert (one.outcome, one.status, one.answer) == ("ok", 200, {"ref": "A17", "name": "…", "ok": True})
    assert (two.outcome, two.status, two.answer, two.step) == ("http_error", 503, None, "steps/1")


@virtual_time
async def test_an_answer_that_becomes_a_secret_keeps_its_form_alone(tmp_path: Path) -> None:
    http = Endpoints({"/a": {"pin": "1234", "ok": True}})
    steps = '- {id: a, http: {endpoint: pos, path: /a}, save: {pin: string}, catch: []}\n- set: {pin: "${steps.a.pin}"}'
    head = "vars: {pin: {type: string, sensitive: true}}"
    over = await dial(library(tmp_path, flow(steps, head=head)), http=http)
    assert over.record.requests[0].answer == {"pin": "…", "ok": False}


@virtual_time
async def test_arguments_and_data_are_on_record_unless_they_are_secret(tmp_path: Path) -> None:
    async def asks(line: VirtualLine) -> None:
        await line.caller.hears("Hello")
        await line.caller.says("My PIN is one two three four.", 1.0)

    head = "vars: {pin: {type: string, sensitive: true}, order: {type: object, sensitive: SENSITIVE}}"
    steps = (
        "- converse:\n"
        "    greeting: Hello.\n"
        "    exits: {done_: {}}\n"
        "    collect: {into: order, schema: {dish: {type: string}}}\n"
        "    tools: {keep: {description: x, input: {pin: {type: string}, size: {type: string}},\n"
        '                   set: {pin: "${input.pin}"}}}\n'
        "  outcomes: {silence: [], max_duration: [], provider_error: []}"
    )
    replies: list[Any] = [[Calls("keep", {"pin": "1234", "size": "L"})],
                          [Calls("finish", {"exit": "done_", "data": {"dish": "Pizza"}})]]  # fmt: skip
    for sensitive, kept in (("false", "Pizza"), ("true", "…")):
        house = library(tmp_path, flow(steps, head=head.replace("SENSITIVE", sensitive)))
        over = await dial(house, asks, *replies)
        assert over.record.tools[0].arguments == {"pin": "…", "size": "L"}
        assert over.record.steps[0].data == {"data": {"dish": kept}}
        assert [(said.text, said.improvised) for said in over.record.transcript if said.role == "voice"] == [
            ("Hello.", False)
        ]


@virtual_time
async def test_who_took_the_call_pressed_a_key_after_so_long(tmp_path: Path) -> None:
    steps = '- transfer: {accept: {digit: "1"}, attempts: [{targets: ["pjsip:a"]}]}\n  outcomes: {failed: []}'
    targets = {"pjsip:a": {"answer": 3, "keys": "71", "keys_after": 4, "hangs_up_after": 30}}
    over = await dial(library(tmp_path, flow(steps)), targets=targets)
    (attempt,) = over.record.attempts
    assert (attempt.status, attempt.key, attempt.ring_ms) == ("answered", "1", 3000)
    assert attempt.key_ms == pytest.approx(8000, abs=2)


@virtual_time
async def test_the_record_knows_name_and_headers(tmp_path: Path) -> None:
    line = VirtualLine(replace(FACTS, headers={"X-Plan": "gold", "From": "x"}))
    over = await dial(library(tmp_path, flow("- say: Hello.")), line=line)
    assert (over.record.caller_name, over.record.headers) == ("Ada", {"X-Plan": "gold"})
    hidden = flow('- set: {plan: "${call.headers}"}', head="vars: {plan: {type: object, sensitive: true}}")
    line = VirtualLine(replace(FACTS, headers={"X-Plan": "gold"}))
    over = await dial(library(tmp_path, hidden), line=line)
    assert over.record.headers == {"X-Plan": "…"}
