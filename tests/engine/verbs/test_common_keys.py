"""The keys that every step may have (`timeout`, `retry`, `catch`, `disabled`, `note`, `save`), with real verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.http import HttpFailedError
from engine.verb import installed
from engine.virtual import VirtualLine, virtual_time
from flows.schema import flow_schema
from tests.engine.verbs.phone import Endpoints, dial, flow, library, problems

SPEECH = "A sentence that is so long that nobody could say all of it within a single second of time."
MEASURED = {
    f"say: {SPEECH}": "error",
    f"menu: {{say: {SPEECH}}}": "error",
    f"gather: {{say: {SPEECH}, digits: 4}}": "error",
    "wait: 1m": "error",
    "wait_for: {event: dtmf, timeout: 1m}": "timeout",
    "wait_for: {event: webhook, name: x, timeout: 1m}": "timeout",
    "converse: {greeting: Hello., exits: {bye: {}}}": "max_duration",
    "http: {endpoint: pos, path: /slow}": "timeout",
    "sms: {endpoint: pos, path: /slow, to: '+14155550111', text: Hi}": "timeout",
    "event: {endpoint: pos, path: /slow, name: x}": "timeout",
    'transfer: {attempts: [{targets: ["pjsip:a"], timeout: 1m}]}': "timeout",
    "voicemail: {box: a}": "error",
    "detect_machine: {timeout: 1m}": "error",
    "answer: {after: 1m}": "error",
    "repeat: {max: 2, steps: [{wait: 1m}]}": "error",
    "call: {section: long}": "error",
    f"send_dtmf: '{'1' * 60}'": "error",
}
HEAD = "sections: {long: [{wait: 1m}]}"


@pytest.mark.parametrize(("step", "outcome"), MEASURED.items(), ids=[step.partition(":")[0] for step in MEASURED])
@virtual_time
async def test_no_step_lasts_longer_than_its_timeout(tmp_path: Path, step: str, outcome: str) -> None:
    steps = f"- id: one\n  {step}\n  timeout: 1s\n  catch: [{{hangup: {{result: caught}}}}]\n- call: {{section: long}}"
    # What is asked takes as long as it may: Endpoints, unlike Http, heeds no time of its own.
    slow = Endpoints({"/slow": (60.0, None)})
    over = await dial(library(tmp_path, flow(steps, head=HEAD)), targets={"pjsip:a": "no_answer"}, http=slow)
    assert (over.record.result, over.record.steps[0].outcome) == ("caught", outcome)
    assert over.record.steps[0].ms == pytest.approx(1000, abs=50)


FAILS = [HttpFailedError("pos answered 500 to GET", status=500)] * 2
ASKS = "- id: one\n  http: {endpoint: pos, path: /a}\n  retry: %s\n  catch: [{hangup: {result: caught}}]\n- hangup: {}"


@pytest.mark.parametrize(
    ("retry", "answers", "result", "lasts"),
    [
        ("{max: 2, delay: 1s, backoff: 3}", [*FAILS, {}], "", 4.0),
        ("{max: 1, delay: 1s}", [*FAILS, {}], "caught", 1.0),
        ("{max: 2, delay: 10m}", [*FAILS, {}], "", 120.0),  # a pause is a minute at most
        ("{max: 0}", [*FAILS, {}], "caught", 0.0),
        ("{max: 2}", [*FAILS, {}], "", 0.0),
    ],
)
@virtual_time
async def test_a_bad_end_is_tried_again(
    tmp_path: Path, retry: str, answers: list[object], result: str, lasts: float
) -> None:
    over = await dial(library(tmp_path, flow(ASKS % retry)), http=Endpoints({"/a": answers}))
    assert over.record.result == result
    assert over.line.log.now == pytest.approx(lasts)


@virtual_time
async def test_a_key_leads_out_of_the_pause_between_two_tries(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(5)
        await line.caller.presses("0")

    head = 'handlers: [{event: dtmf, digits: "0", goto: desk}]\nsections: {desk: [{hangup: {result: desk}}]}'
    house = library(tmp_path, flow(ASKS % "{max: 2, delay: 30s}", head=head))
    over = await dial(house, script, http=Endpoints({"/a": FAILS}))
    assert over.record.result == "desk"
    assert over.line.log.now == pytest.approx(5.0)


@virtual_time
async def test_a_caller_who_hangs_up_in_the_pause(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(5)
        await line.caller.hangs_up()

    over = await dial(library(tmp_path, flow(ASKS % "{max: 2, delay: 30s}")), script, http=Endpoints({"/a": FAILS}))
    assert (over.record.outcome, len(over.record.steps)) == ("caller_hung_up", 1)


@pytest.mark.parametrize("step", MEASURED, ids=[step.partition(":")[0] for step in MEASURED])
@virtual_time
async def test_a_step_that_is_disabled_or_not_meant_does_nothing(tmp_path: Path, step: str) -> None:
    steps = (
        f"- {step}\n  disabled: true\n  note: not yet\n  catch: []\n"
        f"- {step}\n  when: call.did == 'nobody'\n  catch: []\n- wait: 10ms"
    )  # fmt: skip
    over = await dial(library(tmp_path, flow(steps, head=HEAD + "\nrecover: long")))
    assert over.ways == [("wait", "done")]


@pytest.mark.parametrize("name", sorted(installed()))
def test_only_what_comes_from_outside_can_be_saved(tmp_path: Path, name: str) -> None:
    verb = installed()[name]
    found = "\n".join(problems(tmp_path, f"- id: one\n  {name}: {{}}\n  save: {{x: string}}"))
    told = f"'{name}' has nothing to save"
    if verb.takes_save:
        assert told not in found
    else:
        assert told in found or "E20" in found  # with fields of its own missing, that is told first


def test_an_editor_offers_them_at_every_step() -> None:
    step = flow_schema(installed())["$defs"]["step"]
    common = {"id", "when", "outcomes", "save", "timeout", "retry", "catch", "note", "disabled"}
    assert common <= step["properties"].keys()
    assert set(step["properties"]["retry"]["properties"]) == {"max", "delay", "backoff"}
