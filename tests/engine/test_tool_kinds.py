"""What the tools of a voice can do, one kind after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.virtual import Calls, Says, VirtualLine, virtual_time
from engine.virtual.voice import Reply
from tests.engine.verbs.phone import Over, flow, library, problems
from tests.engine.verbs.phone import dial as dial_flow
from tests.engine.verbs.talking import asks, finish

HEAD = "vars: {size: {type: string, default: ''}, count: {type: integer, default: 0}}"
LIMITS = "outcomes: {silence: [], max_duration: [], provider_error: []}"


def converse(tool: str, after: str = "") -> str:
    return (
        f"- id: talk\n  converse:\n    greeting: Hello.\n    exits: {{done_: {{}}}}\n"
        f"    silence: {{after: 20s, reprompts: 0}}\n    tools: {{t: {{description: Does it., {tool}}}}}\n  {LIMITS}\n"
        + after
    )


async def talk(
    folder: Path, tool: str, *replies: Reply, after: str = "", others: tuple[str, ...] = (), script: Any = asks,
    **more: Any,
) -> Over:  # fmt: skip
    house = library(folder, flow(converse(tool, after), head=HEAD), *others)
    return await dial_flow(house, script, *replies, **more)


def told(over: Over, voice: int = 0) -> list[Any]:
    return [json.loads(output) for _, output, _ in over.provider.voices[voice].results]


async def asks_twice(line: VirtualLine) -> None:
    await asks(line)
    await line.caller.hears("sure")
    await line.caller.waits(0.5)
    await line.caller.says("Yes, please.", 1.0)


# ── In the talk ───────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_set_gives_variables_values(tmp_path: Path) -> None:
    tool = 'input: {size: {type: string}}, set: {size: "${input.size}", count: "${vars.count + 1}"}'
    over = await talk(
        tmp_path, tool, [Calls("t", {"size": "L"})], [finish()],
        after='- hangup: {result: "${vars.size} ${vars.count}"}',
    )  # fmt: skip
    assert told(over)[0] == {"ok": True}
    assert over.record.result == "L 1"


@virtual_time
async def test_send_dtmf_sends_keys_to_the_caller(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, 'input: {keys: {type: string}}, send_dtmf: {digits: "${input.keys}"}',
        [Calls("t", {"keys": "12#"})], [Calls("t", {"keys": "hello"})], [finish()],
    )  # fmt: skip
    assert [entry.text for entry in over.line.log if entry.what == "sent_digits"] == ["12#"]
    assert told(over)[0] == {"ok": True}
    assert "cannot be sent" in told(over)[1]["error"]


LOOKUP = """
flow: lookup
input: {dish: {type: string}}
vars: {price: {type: integer, default: 7}}
steps:
  - set: {price: "${vars.price + 2}"}
    when: input.dish == 'pizza'
  - return: {price: "${vars.price}"}
"""


@virtual_time
async def test_a_flow_runs_beside_the_talk_and_shares_nothing_with_it(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, 'input: {dish: {type: string}}, flow: {flow: lookup, input: {dish: "${input.dish}"}}',
        [Calls("t", {"dish": "pizza"}), Calls("t", {"dish": "soup"})], [finish()],
        after='- hangup: {result: "${vars.count}"}', others=(LOOKUP,),
    )  # fmt: skip
    assert sorted(answer["price"] for answer in told(over)[:2]) == [7, 9]
    assert over.record.result == "0"
    assert [step.verb for step in over.record.steps].count("return") == 2


@virtual_time
async def test_a_flow_that_fails_is_told_to_the_model(tmp_path: Path) -> None:
    broken = "flow: lookup\nsteps:\n  - call: {section: s}\nsections: {s: [{http: {endpoint: pos, path: /x}}]}\n"
    over = await talk(tmp_path, "flow: {flow: lookup}", [Calls("t")], [finish()], others=(broken,))
    assert told(over)[0] == {"error": "the flow lookup failed"}
    assert over.ways[0] == ("converse", "done_")


def test_a_flow_that_needs_the_caller_cannot_be_a_tool(tmp_path: Path) -> None:
    speaks = "flow: lookup\nsteps: [{say: Hello.}]\n"
    found = problems(tmp_path, converse("flow: {flow: lookup}"), others=(speaks,))
    assert any("E308" in line and "'say' needs the caller" in line for line in found)


@virtual_time
async def test_a_plugin_is_a_function_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, flows = tmp_path / "site", tmp_path / "flows"
    (site / "weather-1.dist-info").mkdir(parents=True)
    (site / "weather-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: weather\nVersion: 1\n")
    (site / "weather-1.dist-info" / "entry_points.txt").write_text("[hookflash.tools]\nweather = weather_tool:ask\n")
    (site / "weather_tool.py").write_text(
        "async def ask(arguments, call):\n    return {'where': arguments['town'], 'did': call.line.facts.did}\n"
    )
    monkeypatch.syspath_prepend(site)
    flows.mkdir()
    over = await talk(
        flows, "input: {town: {type: string}}, plugin: {name: weather}", [Calls("t", {"town": "Ulm"})], [finish()]
    )
    assert told(over)[0] == {"where": "Ulm", "did": "+14155550100"}


# ── With the caller's word ────────────────────────────────────────────────────────────────────────────────────────────

BLOCK = "confirm: Shall I block the card?, set: {count: 1}"


@virtual_time
async def test_what_needs_a_yes_runs_after_the_caller_spoke(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, BLOCK, [Calls("t")], [Says("Are you sure?")], [Calls("t")], [finish()], script=asks_twice,
        after='- hangup: {result: "${vars.count}"}',
    )  # fmt: skip
    assert told(over)[0]["ask_the_caller"] == "Shall I block the card?"
    assert told(over)[1] == {"ok": True}
    assert over.record.result == "1"
    assert [use.outcome for use in over.record.tools] == ["unconfirmed", "ok"]


@virtual_time
async def test_a_model_cannot_say_yes_to_itself(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, BLOCK, [Calls("t")], [Calls("t")], [Calls("t")], [finish()],
        after='- hangup: {result: "${vars.count}"}',
    )  # fmt: skip
    assert over.record.result == "0"
    assert {use.outcome for use in over.record.tools} == {"unconfirmed"}


@virtual_time
async def test_a_yes_is_for_the_arguments_that_were_asked_for(tmp_path: Path) -> None:
    tool = 'confirm: Sure?, input: {amount: {type: integer}}, set: {count: "${input.amount}"}'
    over = await talk(
        tmp_path, tool, [Calls("t", {"amount": 1})], [Says("Are you sure?")], [Calls("t", {"amount": 1000})],
        [finish()], script=asks_twice,
        after='- hangup: {result: "${vars.count}"}',
    )  # fmt: skip
    assert over.record.result == "0"


# ── Out of the talk ───────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_hangup_ends_the_call_after_the_last_word(tmp_path: Path) -> None:
    over = await talk(tmp_path, 'hangup: {result: "b${vars.size}ye"}', [Says("Goodbye and thank you."), Calls("t")])
    assert over.heard == ["Hello.", "Goodbye and thank you."]
    assert (over.record.result, over.record.hangup_by, over.record.outcome) == ("bye", "flow", "completed")


@virtual_time
async def test_transfer_hands_the_call_to_a_person(tmp_path: Path) -> None:
    over = await talk(
        tmp_path, 'transfer: {attempts: [{targets: ["pjsip:desk"]}]}', [Says("I will connect you."), Calls("t")],
        targets={"pjsip:desk": {"answer": 3, "hangs_up_after": 20}},
    )  # fmt: skip
    assert over.heard[:2] == ["Hello.", "I will connect you."]
    assert over.record.outcome == "handed_off"
    assert [attempt.status for attempt in over.record.attempts] == ["answered"]


@virtual_time
async def test_the_talk_goes_on_when_nobody_could_be_reached(tmp_path: Path) -> None:
    tool = 'max_calls: 1, transfer: {attempts: [{targets: ["pjsip:desk"]}], unreached: Nobody is there. What else?}'

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.hears("What else?")
        await line.caller.waits(0.5)
        await line.caller.says("Nothing.", 0.5)

    replies: list[Reply] = [[Calls("t")], [Calls("t")], [finish()]]
    over = await talk(tmp_path, tool, *replies, script=script, targets={"pjsip:desk": "busy"})
    assert "Nobody is there. What else?" in over.heard
    assert "as often as it may be" in told(over, 1)[0]["error"]  # its bound holds for the whole step
    assert over.ways[0] == ("converse", "done_")


@virtual_time
async def test_a_voice_that_hands_over_for_ever_is_stopped(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        for _ in range(5):
            await line.caller.hears("o")
            await line.caller.waits(2)
            await line.caller.says("A person!", 0.5)

    tool = 'transfer: {attempts: [{targets: ["pjsip:desk"]}], unreached: No.}'
    over = await talk(tmp_path, tool, *[[Calls("t")] for _ in range(9)], script=script, targets={"pjsip:desk": "busy"})
    assert over.ways[0] == ("converse", "provider_error")
    assert len(over.record.attempts) == 5


# ── The check ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("max_calls: 1", "exactly one of http, flow, set, send_dtmf, plugin, transfer, hangup; this has none"),
        ("hangup: {}, set: {count: 1}", "this has set and hangup"),
        ("set: {colour: red}", "unknown variable 'colour'"),
        ("set: {count: '${vars.size}'}", "vars.count is declared as integer"),
        ("flow: {flow: nowhere}", "unknown flow 'nowhere'"),
        ("plugin: {name: nothing}", "unknown plugin 'nothing'"),
        ("transfer: {attempts: [{targets: [nobody]}]}", "unknown destination 'nobody'"),
        ("send_dtmf: {digits: '${input.x}'}", "input.x"),
    ],
)
def test_what_the_check_says(tmp_path: Path, tool: str, said: str) -> None:
    assert any(said in line for line in problems(tmp_path, converse(tool), head=HEAD))
