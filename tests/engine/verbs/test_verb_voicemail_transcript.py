"""`voicemail: {transcribe: true}`: the message as text, which nobody waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.call import Call
from engine.virtual import VirtualLine, VirtualProvider, virtual_services, virtual_time
from providers.voice import Capabilities, VoiceError
from tests.engine.verbs.phone import Over, dial, flow, library, problems

HEAD = """
vars: {told: {type: string}}
handlers:
  - event: hangup
    steps:
      - wait: 3s
      - set: {told: "${default(steps.note.text, '-')}"}
"""
STEPS = """
- id: note
  voicemail: {box: sales, silence: 3s, transcribe: true, FIELDS}
  outcomes: {empty: [{say: Nothing heard.}]}
- say: Thank you.
- hangup: {}
"""


def says(*texts: str, hangs_up: bool = False) -> Any:
    async def script(line: VirtualLine) -> None:
        await line.log.until("heard", who="caller")
        for text in texts:
            await line.caller.says(text, 2.0)
            await line.caller.waits(1.0)
        if hangs_up:
            await line.caller.hangs_up()

    return script


async def leaves(folder: Path, script: Any, fields: str = "", **options: Any) -> Over:
    steps = flow(STEPS.replace(", FIELDS", f", {fields}" if fields else ""), head=HEAD)
    return await dial(library(folder, steps), script, storage=folder / "var", **options)


def transcript(over: Over) -> list[tuple[str, str, str]]:
    return [(one.role, one.text, one.step) for one in over.record.transcript]


@pytest.mark.parametrize("hangs_up", [False, True])
@virtual_time
async def test_a_message_is_written_down(tmp_path: Path, hangs_up: bool) -> None:
    over = await leaves(tmp_path, says("Please call me back", "My number is 12", hangs_up=hangs_up))
    text = "Please call me back My number is 12"
    assert over.call.walker.steps["note"]["text"] == text
    assert over.call.walker.vars["told"] == text  # a handler that waits for it has it
    assert transcript(over)[0] == ("caller", text, "steps/0")
    assert over.ways[0] == ("voicemail", "cancelled" if hangs_up else "done")
    assert over.provider.recognisers[0].closed


@virtual_time
async def test_the_flow_goes_on_meanwhile(tmp_path: Path) -> None:
    over = await leaves(tmp_path, says("Please call me back"))
    told = next(entry for entry in over.line.log.find("heard") if entry.text == "Thank you.")
    assert told.at < 0.4 + 2.0 + 3.0 + 1.5
    assert over.record.ended is not None


@virtual_time
async def test_a_long_message_outlives_its_call(tmp_path: Path) -> None:
    provider = VirtualProvider(connects_after=20.0)  # longer than the engine waits for other errands
    over = await leaves(tmp_path, says("Please call me back", hangs_up=True), provider=provider)
    assert transcript(over) == [("caller", "Please call me back", "steps/0")]
    keeper: Any = over.services.records
    assert keeper.records[over.record.id].transcript == over.record.transcript


@virtual_time
async def test_nothing_is_written_of_an_empty_message(tmp_path: Path) -> None:
    over = await leaves(tmp_path, says())
    assert over.ways[0] == ("voicemail", "empty")
    assert over.provider.recognisers == []


@virtual_time
async def test_what_is_sensitive_is_for_expressions_only(tmp_path: Path) -> None:
    over = await leaves(tmp_path, says("My secret"), "sensitive: true")
    assert over.call.walker.steps["note"]["text"] == "My secret"
    assert "secret" not in over.record.model_dump_json()


@pytest.mark.parametrize(
    ("provider", "why"),
    [
        (VirtualProvider(connects_after=VoiceError("no route")), "not written down: no route"),
        (VirtualProvider(capabilities=Capabilities()), "not written down: the voice 'virtual' recognises no speech"),
        (VirtualProvider(deaf=True), "not written down: the recogniser did not come to an end within 37 s"),
    ],
    ids=["unreachable", "none", "deaf"],
)
@virtual_time
async def test_a_message_is_kept_though_nobody_can_write_it_down(
    tmp_path: Path, provider: VirtualProvider, why: str
) -> None:
    over = await leaves(tmp_path, says("Please call me back"), provider=provider)
    assert over.ways[0] == ("voicemail", "done")
    assert why in over.record.steps[0].detail
    assert ".wav" in over.record.steps[0].detail
    assert all(one.role != "caller" for one in over.record.transcript)


def test_text_is_there_only_where_it_is_asked_for(tmp_path: Path) -> None:
    steps = "- id: note\n  voicemail: {box: a}\n- say: ${steps.note.text}\n"
    [problem] = problems(tmp_path, steps)
    assert "E301" in problem


@pytest.mark.parametrize("hangs_up", [True, False], ids=["after the call", "during the call"])
@virtual_time
async def test_an_engine_that_stops_does_not_wait_for_it(tmp_path: Path, hangs_up: bool) -> None:
    text = flow(STEPS.replace(", FIELDS", "").replace("- hangup: {}", "- wait: 60s"))
    house, line = library(tmp_path, text), VirtualLine()
    services = virtual_services(VirtualProvider(connects_after=30.0), storage=tmp_path / "var")
    call = Call(line, house.flows["test"], house, services)
    running = asyncio.create_task(call.run())
    await says("Please call me back", hangs_up=hangs_up)(line)
    await asyncio.sleep(15.0)
    assert not running.done()
    began = asyncio.get_running_loop().time()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.get_running_loop().time() - began <= services.wind_up
    assert [task for task in asyncio.all_tasks() if task.get_name() == "the transcript of a message"] == []
