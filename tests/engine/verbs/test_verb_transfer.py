from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

OUTCOMES = "connected: [], no_answer: [], busy: [], declined: [], unavailable: [], timeout: [], failed: []"


def transfer(fields: str, outcomes: str = OUTCOMES, after: str = "- say: On.") -> str:
    return flow(f"- id: hand\n  transfer: {{{fields}}}\n  outcomes: {{{outcomes}}}\n{after}")


def one(target: str = "pjsip:a", **fields: str) -> str:
    more = "".join(f", {name}: {value}" for name, value in fields.items())
    return f'attempts: [{{targets: ["{target}"], timeout: 20s}}]{more}'


@virtual_time
async def test_a_person_answers_and_the_call_ends_with_them(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 5, "hangs_up_after": 30}}
    over = await dial(library(tmp_path, transfer(one())), targets=targets)
    assert (over.record.outcome, over.record.hangup_by) == ("handed_off", "target")
    assert over.heard == []
    assert over.line.log.now == pytest.approx(35, abs=0.1)
    assert [(attempt.target, attempt.status, attempt.ring_ms) for attempt in over.record.attempts] == [
        ("pjsip:a", "answered", 5000)
    ]


@virtual_time
async def test_the_flow_may_go_on_after_the_person(tmp_path: Path) -> None:
    text = transfer(
        one(after_callee_hangup="continue"),
        after="- say: ${steps.hand.outcome} ${string(steps.hand.attempts[0].ring_ms)} ${steps.hand.attempts[0].target}",
    )
    over = await dial(library(tmp_path, text), targets={"pjsip:a": {"answer": 5, "hangs_up_after": 30}})
    assert over.heard == ["connected 5000 pjsip:a"]
    assert (over.record.outcome, over.record.hangup_by) == ("completed", "flow")


@virtual_time
async def test_steps_of_connected_run_when_the_person_has_hung_up(tmp_path: Path) -> None:
    for way in ("stop", "continue"):
        folder = tmp_path / way
        text = transfer(one(after_callee_hangup=way), OUTCOMES.replace("connected: []", "connected: [{say: Thanks.}]"))
        over = await dial(library(folder, text), targets={"pjsip:a": {"answer": 5, "hangs_up_after": 30}})
        assert over.heard == (["Thanks."] if way == "stop" else ["Thanks.", "On."])


@pytest.mark.parametrize(
    ("target", "outcome", "sip"),
    [
        ("no_answer", "no_answer", 480), ("busy", "busy", 486), ("declined", "declined", 603),
        ("unavailable", "unavailable", 404), ("failed", "failed", 500), ("impossible", "unavailable", None),
    ],
)  # fmt: skip
@virtual_time
async def test_every_way_not_to_reach_somebody(tmp_path: Path, target: str, outcome: str, sip: int | None) -> None:
    text = transfer(one(), after='- say: "${string(steps.hand.attempts[0].sip_code)}"' if sip else "- say: On.")
    over = await dial(library(tmp_path, text), targets={"pjsip:a": target})
    assert over.ways[0] == ("transfer", outcome)
    assert over.record.steps[0].detail == f"pjsip:a: {over.record.attempts[0].status}"
    assert over.heard == [str(sip) if sip else "On."]


@virtual_time
async def test_failed_stands_for_all_of_them(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, transfer(one(), "failed: [{say: Nobody.}]")), targets={"pjsip:a": "busy"})
    assert over.heard == ["Nobody.", "On."]


@virtual_time
async def test_everybody_at_once_then_one_by_one(tmp_path: Path) -> None:
    fields = """attempts: [{ring: simultaneous, targets: ["pjsip:a", "pjsip:b"], timeout: 10s},
        {ring: serial, targets: ["pjsip:c", "front-desk"], timeout: 15s}]"""
    targets = {
        "pjsip:a": "no_answer",
        "pjsip:b": {"busy": 2},
        "pjsip:c": "no_answer",
        "pjsip:front-desk": {"answer": 3},
    }
    over = await dial(
        library(tmp_path, transfer(fields)), targets={**targets, "pjsip:front-desk": {"answer": 3, "hangs_up_after": 9}}
    )
    dialled = [(entry.who, round(entry.at, 1)) for entry in over.line.log.find("dialled")]
    assert dialled == [("pjsip:a", 0.0), ("pjsip:b", 0.0), ("pjsip:c", 10.0), ("pjsip:front-desk", 25.0)]
    assert over.record.outcome == "handed_off"


@virtual_time
async def test_the_time_of_all_attempts_together(tmp_path: Path) -> None:
    text = transfer(one(timeout="7s"), OUTCOMES.replace("timeout: []", "timeout: [{say: Too long.}]"))
    over = await dial(library(tmp_path, text), targets={"pjsip:a": "no_answer"})
    assert over.heard == ["Too long.", "On."]
    assert over.record.steps[0].ms == 7000


@pytest.mark.parametrize("comfort", ["ringback", "music"])
@virtual_time
async def test_the_caller_hears_something_meanwhile(tmp_path: Path, comfort: str) -> None:
    text = transfer(one(caller_hears=comfort))
    over = await dial(library(tmp_path, text), targets={"pjsip:a": {"answer": 8, "hangs_up_after": 5}})
    sounds = [entry for entry in over.line.log.find("heard", "cut", who="caller") if not entry.text]
    assert sum(entry.ms for entry in sounds) == pytest.approx(8000, abs=50)


@virtual_time
async def test_headers_and_number_are_what_the_flow_says(tmp_path: Path) -> None:
    fields = one(caller_id='"${vars.shown}"', headers='{User-to-User: "${hex(call.id)};encoding=hex"}')
    text = transfer(fields).replace(
        "steps:", 'vars: {shown: {type: string, default: "+14155550100"}, who: {type: string, default: a}}\nsteps:', 1
    ).replace('"pjsip:a"', '"pjsip:${vars.who}"')  # fmt: skip
    over = await dial(library(tmp_path, text), targets={"pjsip:a": {"answer": 1, "hangs_up_after": 1}})
    options = over.line.legs[0].options
    assert options.headers == {"User-to-User": "63616c6c2d31;encoding=hex"}
    assert options.caller_id == "+14155550100"
    assert options.timeout == 20.0
    over = await dial(
        library(tmp_path, transfer(one())), targets={"pjsip:a": {"answer": 1, "hangs_up_after": 1}}, caller_id="+100"
    )
    assert over.line.legs[0].options.caller_id == "+100"


@virtual_time
async def test_a_name_that_turns_out_unknown_fails_the_step(tmp_path: Path) -> None:
    text = transfer(one("${vars.who}")).replace("steps:", "vars: {who: {type: string, default: nobody}}\nsteps:", 1)
    over = await dial(library(tmp_path, text))
    assert over.ways[0] == ("transfer", "failed")
    assert "there is no destination 'nobody' in resources.yaml" in over.record.steps[0].detail


@virtual_time
async def test_the_caller_hangs_up_while_it_rings_and_while_they_talk(tmp_path: Path) -> None:
    async def leaves(line: VirtualLine) -> None:
        await line.caller.waits(seconds)
        await line.caller.hangs_up()

    house = library(tmp_path, transfer(one()))
    targets: dict[str, Any] = {"pjsip:a": {"answer": 5}}
    seconds = 3.0
    over = await dial(house, leaves, targets=targets)
    assert (over.record.outcome, over.record.attempts[0].status) == ("caller_hung_up", "cancelled")
    seconds = 9.0
    over = await dial(house, leaves, targets=targets)
    assert (over.record.outcome, over.record.attempts[0].status) == ("handed_off", "answered")
    assert over.record.hangup_by == "caller"


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - transfer: {attempts: []}
          outcomes: {failed: []}
        - transfer: {attempts: [{targets: []}]}
          outcomes: {failed: []}
        - transfer: {attempts: [{targets: [front-dsk], ring: serail}]}
          outcomes: {failed: []}
        - transfer: {attempts: [{targets: [front-dsk]}]}
          outcomes: {failed: []}
        - transfer: {attempts: [{targets: ["pjsip:a"]}], mode: blind}
          outcomes: {failed: []}
        - transfer: {attempts: [{targets: ["pjsip:a"]}], caller_hears: tea}
          outcomes: {failed: []}
        - transfer: {attempts: [{targets: ["pjsip:a"]}]}
          outcomes: {conected: []}
        """,
    )
    assert found[0] == "3:26: error[E203]: 'attempts' needs at least 1"
    assert found[1] == "5:37: error[E203]: 'targets' needs at least 1"
    assert found[2] == "7:38: error[E302]: unknown destination 'front-dsk' (did you mean 'front-desk'?)"
    assert found[3].startswith("7:56: error[E203]: 'serail' is not one of 'simultaneous' or 'serial'")
    assert found[4] == "9:38: error[E302]: unknown destination 'front-dsk' (did you mean 'front-desk'?)"
    assert found[5].startswith("11:58: error[E203]: 'blind' is not one of 'attended'")
    assert found[6].startswith("13:66: error[E203]: 'tea' is not one of 'ringback', 'music' or 'ai'")
    assert found[7].startswith("16:16: error[E303]: transfer has no outcome 'conected' (has: busy, connected, ")


def test_nobody_answering_is_the_ordinary_case(tmp_path: Path) -> None:
    found = problems(
        tmp_path, '- transfer: {attempts: [{targets: ["pjsip:a"]}]}', head="handlers: [{event: error, steps: []}]"
    )
    assert found == ["4:5: warning[W401]: transfer has no failure outcome; the flow's error handler will run"]


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ('attempts: [{targets: ["pjsip:a", "pjsp:desk"]}]', "3:49", "did you mean 'pjsip'?"),
        ('attempts: [{targets: ["sip:a@b"]}]', "3:38", "'sip:a@b': no target"),
        ('attempts: [{targets: ["tel:0800"]}]', "3:38", "'0800' is no E.164 number"),
        ('attempts: [{targets: ["local:x"]}]', "3:38", "no target; write pjsip:NAME"),
        ('attempts: [{targets: ["pjsip:a b"]}]', "3:38", "'a b' is no name of a PJSIP endpoint"),
        ('attempts: [{targets: ["tell:${call.did}"]}]', "3:38", "did you mean 'tel'?"),
        ('headers: {Via: x}, attempts: [{targets: ["pjsip:a"]}]', "3:26", "the SIP header 'Via' cannot be set"),
        ('headers: {Via: "${call.id}"}, attempts: [{targets: ["pjsip:a"]}]', "3:26", "'Via' cannot be set"),
        ('headers: {X-A: "1\\r\\nX-B: 2"}, attempts: [{targets: ["pjsip:a"]}]', "3:31", "holds a line break"),
        ('dtmf_after_answer: hello, attempts: [{targets: ["pjsip:a"]}]', "3:35", "'hello' cannot be sent"),
        ('dtmf_after_answer: "12E", attempts: [{targets: ["pjsip:a"]}]', "3:35", "'12E' cannot be sent"),
        ('caller_id: abc def, attempts: [{targets: ["pjsip:a"]}]', "3:27", "'abc def' is no phone number"),
    ],
)  # fmt: skip
def test_what_the_line_would_refuse_is_told_by_the_check(tmp_path: Path, fields: str, place: str, words: str) -> None:
    (found,) = problems(tmp_path, f"- transfer: {{{fields}}}\n  outcomes: {{failed: []}}")
    assert found.startswith(f"{place}: error[E203]")
    assert words in found
