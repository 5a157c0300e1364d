from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.call import Call
from engine.line import LineError
from engine.outcome import StepError
from engine.record import CallRecord
from engine.safety import APOLOGY
from engine.speech import Speech
from engine.virtual import VirtualLine, VirtualProvider, virtual_services, virtual_time
from engine.voices import Voices
from tests.engine.support import beside_script, flow, raises, run_call, speaks, step
from tests.engine.verbs.phone import library

BROKEN = flow(step(speaks("Welcome.")), step(raises(StepError("the flow is broken"))))


class Mute(VirtualProvider):
    def speaker(self) -> Any:
        return None


async def rescued(line: VirtualLine, script: Any = None, **services: Any) -> CallRecord:
    record = await run_call(BROKEN, line, script, services=virtual_services(**services))
    assert "the flow is broken" in record.error
    return record


@virtual_time
async def test_the_safety_destination_is_rung_and_the_call_is_theirs() -> None:
    line = VirtualLine(targets={"pjsip:front-desk": {"answer": 5, "hangs_up_after": 20}})
    record = await rescued(line, safety_destination="pjsip:front-desk")
    assert (record.outcome, record.hangup_by) == ("handed_off", "target")
    assert [(attempt.step, attempt.status) for attempt in record.attempts] == [("safety", "answered")]
    assert line.log.heard() == ["Welcome."]
    assert sum(entry.ms for entry in line.log.find("heard", "cut") if not entry.text) == 5000  # ringback


@pytest.mark.parametrize("behaviour", ["busy", "no_answer", "unavailable", "impossible"])
@virtual_time
async def test_a_destination_that_does_not_answer_leaves_the_call_to_the_dialplan(behaviour: str) -> None:
    line = VirtualLine(targets={"pjsip:front-desk": behaviour}, fallback=True)
    record = await rescued(line, safety_destination="pjsip:front-desk")
    assert line.log.entries[-1].what == "given_back"
    assert (record.outcome, record.hangup_by, record.result) == ("failed", "engine", "given back to the dialplan")


@pytest.mark.parametrize("latency", [0.0, 0.05])
@virtual_time
async def test_a_call_that_is_given_back_was_not_hung_up_by_the_caller(latency: float) -> None:
    """The line may end before the command that ended it is confirmed."""
    line = VirtualLine(fallback=True, latency=latency)
    record = await rescued(line)
    assert (record.outcome, record.hangup_by, record.result) == ("failed", "engine", "given back to the dialplan")
    assert line.log.find("hung_up") == []


@virtual_time
async def test_with_nothing_behind_the_engine_the_caller_hears_an_apology() -> None:
    line = VirtualLine()
    record = await rescued(line)
    assert line.log.heard() == ["Welcome.", APOLOGY]
    assert (record.outcome, record.hangup_by, record.cause) == ("failed", "engine", 41)


@virtual_time
async def test_an_apology_that_cannot_be_spoken_is_a_tone() -> None:
    line = VirtualLine()
    voices = Voices()
    voices.add("mute", Mute())
    broken = flow(step(raises(StepError("the flow is broken"))))
    record = await run_call(broken, line, services=virtual_services(speech=Speech(voices, "mute")))
    assert [(entry.text, entry.ms) for entry in line.log.find("heard")] == [("", 3000)]
    assert record.cause == 41


@virtual_time
async def test_a_line_without_audio_still_reaches_the_destination() -> None:
    line = VirtualLine(
        targets={"pjsip:front-desk": {"answer": 5, "hangs_up_after": 20}}, faults={"open_media": LineError("no")}
    )
    record = await run_call(BROKEN, line, services=virtual_services(safety_destination="pjsip:front-desk"))
    assert record.outcome == "handed_off"


@virtual_time
async def test_a_line_that_can_do_nothing_is_hung_up_and_said_to_have_failed() -> None:
    faults: Any = {name: LineError("no") for name in ("open_media", "dial", "connect", "give_back", "answer")}
    line = VirtualLine(targets={"pjsip:a": "answer"}, faults=faults)
    record = await run_call(BROKEN, line, services=virtual_services(safety_destination="pjsip:a"))
    assert (record.outcome, record.hangup_by) == ("failed", "engine")
    assert [entry.text for entry in line.log.find("hung_up")] == ["engine"]


@pytest.mark.parametrize("after", [1.0, 2.0, 6.0, 8.0])
@virtual_time
async def test_the_caller_may_hang_up_at_any_moment_of_a_rescue(after: float) -> None:
    line = VirtualLine(targets={"pjsip:a": {"busy": 5}})

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(after)
        await line.caller.hangs_up()

    record = await run_call(BROKEN, line, script, services=virtual_services(safety_destination="pjsip:a"))
    assert (record.outcome, record.hangup_by) == ("caller_hung_up", "caller")
    assert [entry.text for entry in line.log.find("hung_up") if entry.who == "pjsip:a"] in ([], ["engine"])


@pytest.mark.parametrize(("fallback", "rung"), [("desk", ["pjsip:a"]), ("group:all", ["pjsip:a", "tel:+14155550100"])])
@virtual_time
async def test_a_route_names_a_destination_or_a_group(tmp_path: Path, fallback: str, rung: list[str]) -> None:
    resources = "destinations: {desk: 'pjsip:a'}\ngroups: {all: [desk, '+14155550100']}\n"
    text = "flow: test\nvars: {k: {type: integer, default: 0}}\nsteps: [{say: '${string(1 / vars.k)}'}]\n"
    house = library(tmp_path, text, files={"resources.yaml": resources})
    line = VirtualLine(targets={"pjsip:a": {"answer": 3, "hangs_up_after": 9}, "tel:+14155550100": "busy"})
    record = await beside_script(Call(line, house.flows["test"], house, virtual_services(), fallback=fallback), None)
    assert record.outcome == "handed_off"
    assert [attempt.target for attempt in record.attempts] == rung
