"""Sensitive values that are spoken: the caller hears them, and nobody reads them afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.console.views import variables
from engine.discretion import Aloud
from engine.minutes import Minutes
from engine.virtual import virtual_time
from tests.engine.verbs.phone import Over, dial, flow, library
from tests.engine.verbs.talking import quiet

PIN = "vars: {pin: {type: string, sensitive: true, default: '4711'}, note: {type: string, default: x}}"
ASKED = "\n  outcomes: {no_input: [], no_match: []}"
TALKED = "\n  outcomes: {silence: [], max_duration: [], provider_error: []}"


async def called(folder: Path, steps: str, **more: object) -> Over:
    return await dial(library(folder, flow(steps, head=PIN)), quiet, **more)  # type: ignore[arg-type]


def spoken(over: Over) -> list[str]:
    return [one.text for one in over.record.transcript if one.role == "voice"]


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ('- say: "Your PIN is ${vars.pin}, ${caller.name}."', "Your PIN is …, Ada."),
        ('- say: "It begins with ${vars.pin.substring(0, 2)}."', "It begins with …."),
        ('- gather: {say: "Is it ${vars.pin}?", digits: 1, retries: 0, timeout: 1s}' + ASKED, "Is it …?"),
        ('- menu: {say: "Is it ${vars.pin}?", retries: 0, timeout: 1s}' + ASKED + "\n", "Is it …?"),
        ('- record: {action: start, announce: "For ${vars.pin}."}', "For …."),
        ('- converse: {greeting: "You are ${vars.pin}.", silence: {after: 1s, reprompts: 0}}' + TALKED, "You are …."),
        ('- set: {note: "card ${vars.pin}"}\n- say: "So ${vars.note}."', "So …."),
    ],
)
@virtual_time
async def test_the_caller_hears_it_and_no_record_keeps_it(tmp_path: Path, steps: str, kept: str) -> None:
    over = await called(tmp_path, steps)
    assert spoken(over) == [kept]
    assert any("4711" in words or "47" in words for words in over.heard)
    assert "47" not in over.record.model_dump_json(exclude={"id", "started", "ended"}, include={"transcript"})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Ends in ${mask(vars.pin)}.", "Ends in ••11."),
        ("Set: ${vars.pin != ''}.", "Set: true."),
        ("For ${caller.name}.", "For Ada."),
    ],
)
@virtual_time
async def test_what_tells_nothing_of_it_stays(tmp_path: Path, text: str, kept: str) -> None:
    over = await called(tmp_path, f'- say: "{text}"')
    assert spoken(over) == over.heard
    assert spoken(over)[0].startswith(kept[:5])


@virtual_time
async def test_a_voice_that_asks_again_is_not_kept_either(tmp_path: Path) -> None:
    steps = '- converse: {greeting: Hello., silence: {after: 1s, reprompts: 1, say: "Still ${vars.pin}?"}}' + TALKED
    over = await called(tmp_path, steps)
    assert spoken(over) == ["Hello.", "Still …?"]
    assert not any(one.improvised for one in over.record.transcript)


@virtual_time
async def test_what_a_person_is_told_is_on_no_record(tmp_path: Path) -> None:
    steps = (
        '- transfer: {attempts: [{targets: ["pjsip:a"]}], brief: {text: "It is ${vars.pin}."},\n'
        '             accept: {digit: "1", say: "Take ${vars.pin}?"}}\n  outcomes: {failed: []}'
    )
    over = await called(tmp_path, steps, targets={"pjsip:a": {"answer": 1, "keys": "1", "keys_after": 3,
                                                             "hangs_up_after": 8}})  # fmt: skip
    assert over.record.attempts[0].status == "answered"
    assert "4711" not in over.record.model_dump_json()


@virtual_time
async def test_the_words_in_which_a_model_says_it_are_not_kept_and_what_follows_is(tmp_path: Path) -> None:
    over = await called(tmp_path, "- say: Hello.")
    minutes, text = Minutes(over.call), Aloud("Your PIN is 4711.")
    text.kept = "Your PIN is …."
    minutes.asked(text)
    minutes.add("a", "Your PIN is four", final=False)
    assert over.call.live.voice_says == "Your PIN is …."
    minutes.add("a", "Your PIN is four, seven, eleven.", final=True)
    minutes.add("b", "What else?", final=True)
    assert spoken(over)[1:] == ["Your PIN is ….", "What else?"]


@virtual_time
async def test_the_console_shows_no_variable_that_holds_a_sensitive_one(tmp_path: Path) -> None:
    over = await called(tmp_path, '- set: {note: "card ${vars.pin}"}')
    shown = {one.name: one for one in variables(over.call)}
    assert shown["note"].masked
    assert shown["note"].value is None
