"""Whole flows from YAML, with every part of the engine, on the virtual line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.call import Call
from engine.record import CallRecord
from engine.verb import installed
from engine.virtual import (
    Calls,
    Closes,
    Fails,
    Says,
    Stalls,
    VirtualLine,
    VirtualProvider,
    virtual_services,
    virtual_time,
)
from flows.language import Language
from flows.library import Library
from providers.voice import VoiceError
from tests.engine.support import beside_script

ORDERS = """
flow: bella/orders
version: 1
vars: {order: {type: object, default: {}}}
defaults: {converse: {provider: virtual}}
handlers:
  - {event: dtmf, digits: "0", goto: counter}
  - {event: error, goto: counter}
steps:
  - answer: {after: 1s}
  - id: take
    converse:
      greeting: Bella's, good evening.
      prompt: Take an order.
      collect: {into: order, schema: {type: object, properties: {dish: {type: string}}, required: [dish]}}
      silence: {after: 8s, reprompts: 1, say: Are you there?}
      answer_within: 6s
      exits:
        ordered: {description: The order is complete., requires: [order]}
        person: {description: Wants a person.}
    outcomes: {person: [{goto: counter}]}
  - say: "One ${vars.order.dish}, thank you."
  - hangup: {result: ordered}
sections:
  counter:
    - transfer:
        attempts: [{ring: serial, targets: ["pjsip:counter-1", "pjsip:counter-2"], timeout: 20s}]
      outcomes: {failed: [{say: Nobody is there.}]}
    - hangup: {}
"""
TARGETS = {"pjsip:counter-1": {"busy": 1}, "pjsip:counter-2": {"answer": 4, "hangs_up_after": 30}}
Script = Callable[[VirtualLine], Awaitable[None]]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "orders.flow.yaml").write_text(ORDERS)
    loaded = Language(installed()).load([tmp_path])
    assert loaded.library is not None, "\n".join(map(str, loaded.problems))
    return loaded.library


async def order(
    library: Library, script: Script, *replies: Any, targets: dict[str, Any] | None = None, **provider: Any
) -> tuple[VirtualLine, CallRecord, VirtualProvider]:
    voice = VirtualProvider(replies, **provider)
    line = VirtualLine(targets=TARGETS if targets is None else targets)
    call = Call(line, library.flows["bella/orders"], library, virtual_services(voice))
    record = await beside_script(call, lambda: script(line))
    assert line.left_over == []
    assert all(made.closed for made in voice.voices)
    return line, record, voice


async def listens(line: VirtualLine) -> None:
    """The caller says nothing at all."""


@virtual_time
async def test_an_order_is_taken(library: Library) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("good evening")
        await line.caller.says("A pizza, please", 1.5)
        await line.caller.hears("anything else")
        await line.caller.says("No thanks", 0.8)

    line, record, provider = await order(
        library,
        script,
        [Says("One pizza. Anything else?")],
        [Says("Goodbye then."), Calls("finish", {"exit": "ordered", "data": {"dish": "pizza"}})],
    )
    assert line.log.heard() == [
        "Bella's, good evening.", "One pizza. Anything else?", "Goodbye then.", "One pizza, thank you.",
    ]  # fmt: skip
    assert (record.outcome, record.result, record.error) == ("completed", "ordered", "")
    assert [(step.verb, step.outcome) for step in record.steps] == [
        ("answer", "done"), ("converse", "ordered"), ("say", "done"), ("hangup", "done"),
    ]  # fmt: skip
    said = [entry.text for entry in record.transcript if entry.role == "caller"]
    assert said == provider.voices[0].heard == ["A pizza, please", "No thanks"]


@virtual_time
async def test_the_caller_interrupts_and_the_voice_learns_what_was_heard(library: Library) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1.0)
        await line.caller.says("A person, please", 1.0)

    line, record, provider = await order(library, script, [Calls("finish", {"exit": "person"})])
    greeting = next(entry for entry in line.log.find("cut") if entry.text)
    voice = provider.voices[0]
    assert voice.truncated == [("item1", greeting.ms)]
    assert 500 < greeting.ms < 1000
    assert [entry.interrupted for entry in record.transcript if entry.role == "voice"] == [True]
    assert (record.outcome, record.hangup_by) == ("handed_off", "target")
    assert [(attempt.target, attempt.status) for attempt in record.attempts] == [
        ("pjsip:counter-1", "busy"), ("pjsip:counter-2", "answered"),
    ]  # fmt: skip


@virtual_time
async def test_a_key_leads_out_of_the_conversation(library: Library) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("good evening")
        await line.caller.presses("0")

    line, record, _ = await order(library, script)
    assert record.outcome == "handed_off"
    assert record.steps[1].outcome == "cancelled"
    assert [entry.who for entry in line.log.find("connected")] == ["pjsip:counter-2"]


@virtual_time
async def test_a_silent_caller_is_asked_and_then_given_to_a_person(library: Library) -> None:
    line, record, _ = await order(library, listens, targets={})
    assert line.log.heard() == ["Bella's, good evening.", "Are you there?", "Nobody is there."]
    assert "silence" in record.error
    assert [attempt.status for attempt in record.attempts] == ["unavailable", "unavailable"]


@pytest.mark.parametrize(
    "reply",
    [[Stalls()], [Says("One mo"), Stalls()], [Fails()], [Closes()], [Says("One"), Closes()]],
    ids=["stalls", "stalls in a word", "fails", "closes", "closes in a word"],
)
@virtual_time
async def test_a_voice_that_breaks_leaves_the_caller_to_a_person(library: Library, reply: list[Any]) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("good evening")
        await line.caller.says("A pizza", 1.0)

    line, record, _ = await order(library, script, reply)
    assert record.steps[1].outcome == "provider_error"
    assert record.outcome == "handed_off"
    dialled = line.log.find("dialled")[0].at
    said = next(entry for entry in line.log.find("said")).at
    assert dialled - said < 12


@pytest.mark.parametrize("connects_after", [VoiceError("wrong key", code="auth"), 60.0], ids=["refuses", "stalls"])
@virtual_time
async def test_a_voice_that_cannot_be_reached_leaves_the_caller_to_a_person(
    library: Library, connects_after: Any
) -> None:
    line, record, _ = await order(library, listens, connects_after=connects_after)
    assert record.steps[1].outcome == "provider_error"
    assert record.outcome == "handed_off"
    assert line.log.find("dialled")[0].at < 7


@virtual_time
async def test_a_voice_that_does_not_listen_is_noticed(library: Library) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("good evening")
        await line.caller.says("Hello?", 1.0)

    _, record, _ = await order(library, script, deaf=True)
    assert record.steps[1].outcome == "provider_error"
    assert record.outcome == "handed_off"


@pytest.mark.parametrize("after", [0.5, 1.05, 1.5, 2.6, 3.5, 4.2, 5.0, 9.0, 11.0, 16.0])
@virtual_time
async def test_the_caller_may_go_at_any_moment(library: Library, after: float) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(after)
        await line.caller.hangs_up()

    line, record, _ = await order(library, script, targets=TARGETS)
    assert record.hangup_by == "caller"
    assert line.log.entries[-1].what in ("hung_up", "cut")
    assert line.log.now == pytest.approx(after, abs=0.1)
