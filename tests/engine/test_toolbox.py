"""The tools of a conversation, as flows declare them and a model calls them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.http import HttpFailedError
from engine.record import StepTrace
from engine.toolbox import MAX_RESULT, Collect, Exit, FlowTool, Toolbox
from engine.virtual import Calls, Says, VirtualLine, VirtualVoice, Waits, virtual_time
from flows.flow import Variable
from flows.json_schema import JsonSchema
from providers.voice import ToolCall, ToolCancelled, TurnDone
from tests.engine.support import flow as bare_flow
from tests.engine.support import make_call
from tests.engine.verbs.phone import Endpoints, Over, counted, dial, flow, library
from tests.engine.verbs.talking import Directed, outcome, provider_of

TOOLS = """
price:
  description: What a dish costs.
  input: {dish: {type: string}, count: {type: integer, default: 1}}
  http: {endpoint: pos, path: "/price?dish=${input.dish}"}
  max_calls: 2
  timeout: 4s
  while_running: {say: Let me check., after: 800ms}
book:
  description: Books a table.
  input: {at: {type: string}}
  when: vars.known
  http: {endpoint: pos, method: POST, path: /book, json: {at: "${input.at}", who: "${caller.number}"}, timeout: 2s}
"""


def house(folder: Path, tools: str = TOOLS, known: str = "true", fields: str = "") -> Any:
    lines = "\n".join(f"      {line}" for line in tools.strip().splitlines())
    return library(
        folder,
        flow(
            f"- id: talk\n  converse:\n    greeting: Hello.\n{fields}    exits: {{done_: {{}}}}\n"
            f"    silence: {{after: 6s, reprompts: 0}}\n    tools:\n{lines}\n"
            "  outcomes: {silence: [], max_duration: [], provider_error: []}",
            head=f"vars: {{known: {{type: boolean, default: {known}}}}}",
        ),
    )


async def asks(line: VirtualLine) -> None:
    await line.caller.hears("hello")
    await line.caller.says("What is it?", 1.0)


async def talk(folder: Path, answers: dict[str, Any], *replies: Any, **more: Any) -> tuple[Over, Endpoints]:
    known = more.pop("known", "true")
    http = Endpoints(answers)
    return await dial(house(folder, known=known), more.pop("script", asks), *replies, http=http, **more), http


def price(**arguments: Any) -> Calls:
    return Calls("price", arguments)


def told(over: Over) -> list[Any]:
    """What the model was told, tool by tool."""
    return [json.loads(output) for _, output, _ in over.voice.results]


PIZZA = "/price?dish=pizza"
FINISH = Calls("finish", {"exit": "done_"})


# ── Use ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_tool_asks_the_endpoint_and_its_answer_goes_to_the_model(tmp_path: Path) -> None:
    over, http = await talk(tmp_path, {"/price?dish=ham%20%26%20eggs": {"price": 9, "of": "Übermut"}},
                            [price(dish="ham & eggs")], [Says("Nine."), FINISH])  # fmt: skip
    assert told(over)[0] == {"price": 9, "of": "Übermut"}
    assert "Übermut" in over.voice.results[0][1]  # a model counts tokens: no \u escapes
    assert http.asked[0]["endpoint"] == "pos"
    assert [(use.name, use.outcome, use.step) for use in over.record.tools] == [
        ("price", "ok", over.record.steps[0].path)
    ]
    assert counted(over, "tool_duration_seconds_count", tool="price", result="ok") == 1


@virtual_time
async def test_a_body_is_made_of_arguments_and_of_what_the_call_knows(tmp_path: Path) -> None:
    _, http = await talk(tmp_path, {"/book": {}}, [Calls("book", {"at": "7 pm"})], [FINISH])
    assert http.asked == [
        {"endpoint": "pos", "method": "POST", "path": "/book", "json": {"at": "7 pm", "who": "+14155550199"},
         "timeout": 2.0, "headers": None, "idempotency_key": None}
    ]  # fmt: skip


@virtual_time
async def test_what_the_model_is_offered(tmp_path: Path) -> None:
    over, _ = await talk(tmp_path, {}, [FINISH], known="false")
    assert [tool.name for tool in over.voice.tools] == ["price", "finish"]
    assert over.voice.tools[0].parameters == {
        "type": "object", "additionalProperties": False, "required": ["dish"],
        "properties": {"dish": {"type": "string"}, "count": {"type": "integer", "default": 1}},
    }  # fmt: skip


# ── Refusals and failures, in words for the model ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Calls("delete_all", {}), "there is no tool 'delete_all'; there are: price, book"),
        (price(), '"dish" is a required property'),
        (price(dish=7), 'dish: 7 is not of type "string"'),
        (price(dish="pizza", secret="x"), "Additional properties are not allowed"),
        (Calls("book", {"at": "7 pm"}), "book may not be used now"),
    ],
)
@virtual_time
async def test_a_call_that_is_not_right_is_refused_and_the_talk_goes_on(tmp_path: Path, call: Calls, said: str) -> None:
    over, http = await talk(tmp_path, {}, [call], [Says("Sorry."), FINISH], known="false")
    assert said in told(over)[0]["error"]
    assert over.voice.results[0][2] is True
    assert http.asked == []
    assert over.heard == ["Hello.", "Sorry."]
    assert over.record.tools[0].outcome == "error"
    label = "unknown" if call.tool == "delete_all" else call.tool  # no series by a name that a model made up
    assert counted(over, "tool_duration_seconds_count", tool=label, result="error") == 1


@virtual_time
async def test_a_tool_is_used_so_often_and_no_more(tmp_path: Path) -> None:
    """Calls that were refused for their arguments do not count: the model may try again."""
    over, http = await talk(
        tmp_path, {PIZZA: {}}, [price()], [price(dish="pizza")], [price(dish="pizza")], [price(dish="pizza")], [FINISH]
    )
    assert [entry.get("error", "") for entry in told(over)[:4]] == [
        'the arguments are not right: "dish" is a required property', "", "",
        "price was used as often as it may be (2)",
    ]  # fmt: skip
    assert len(http.asked) == 2


@pytest.mark.parametrize(
    ("answer", "said", "noted"),
    [
        ((60.0, {}), "price did not answer within 4 s", "timeout"),
        (HttpFailedError("pos answered 500 to GET", status=500), "pos answered 500 to GET", "error"),
        (HttpFailedError("pos did not answer within 5 s", kind="timeout"), "pos did not answer within 5 s", "timeout"),
        ("x" * MAX_RESULT, f"price answered with {MAX_RESULT + 2} characters, more than a model is given", "error"),
        (KeyError("card=4111"), "price failed", "error"),
    ],
)
@virtual_time
async def test_a_tool_that_fails_is_told_and_the_talk_goes_on(
    tmp_path: Path, answer: Any, said: str, noted: str
) -> None:
    over, _ = await talk(tmp_path, {PIZZA: answer}, [price(dish="pizza")], [Says("Sorry."), FINISH])
    assert told(over)[0] == {"error": said}
    assert over.record.tools[0].outcome == noted
    assert over.heard[-1] == "Sorry."
    assert outcome(over) == "done_"


@virtual_time
async def test_a_tool_whose_condition_cannot_be_told_is_not_there(tmp_path: Path) -> None:
    tools = TOOLS.replace("when: vars.known", "when: steps.talk.outcome.size() > 3")
    over = await dial(house(tmp_path, tools), asks, [Calls("book", {"at": "7"})], [FINISH])
    assert [tool.name for tool in over.voice.tools] == ["price", "finish"]
    assert told(over)[0] == {"error": "book may not be used now"}
    assert outcome(over) == "done_"


# ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_filler_is_said_only_when_the_tool_is_slow_and_only_once(tmp_path: Path) -> None:
    over, _ = await talk(
        tmp_path, {PIZZA: [(0.5, {}), (3.5, {})]}, [price(dish="pizza")], [Waits(0.1), price(dish="pizza")],
        [Says("Nine."), FINISH],
    )  # fmt: skip
    assert over.heard == ["Hello.", "Let me check.", "Nine."]
    began = over.record.tools[1].at - over.record.started
    filler = over.line.log.find("heard")[1]
    assert filler.at - filler.ms / 1000 == pytest.approx(began.total_seconds() + 0.8 + 0.3)


@virtual_time
async def test_silence_is_not_counted_while_a_tool_runs(tmp_path: Path) -> None:
    tools = TOOLS.replace("timeout: 4s", "timeout: 20s")
    http = Endpoints({PIZZA: (15.0, {"price": 9})})
    over = await dial(house(tmp_path, tools), asks, [price(dish="pizza")], [Says("Nine."), FINISH], http=http)
    assert over.heard == ["Hello.", "Let me check.", "Nine."]
    assert outcome(over) == "done_"


@virtual_time
async def test_tools_run_side_by_side(tmp_path: Path) -> None:
    over, _ = await talk(
        tmp_path, {PIZZA: (2.0, {"price": 9}), "/book": (2.0, {"ref": "A"})},
        [price(dish="pizza"), Calls("book", {"at": "7 pm"})], [Says("Done."), FINISH], [Says("Never.")],
    )  # fmt: skip
    *both, last = [name for name, _, _ in over.voice.results]
    assert (sorted(both), last) == (["book", "price"], "finish")
    assert {use.ms for use in over.record.tools} == {2000}
    assert (over.record.tools[1].at - over.record.tools[0].at).total_seconds() < 0.1


@virtual_time
async def test_a_result_that_comes_after_the_step_has_ended_is_dropped_and_on_record(tmp_path: Path) -> None:
    over, _ = await talk(tmp_path, {PIZZA: (3.0, {"price": 9})}, [price(dish="pizza"), Waits(0.2), FINISH])
    assert [name for name, _, _ in over.voice.results] == ["finish"]
    assert [(use.name, use.outcome, use.ms) for use in over.record.tools] == [("price", "cancelled", 200)]
    assert counted(over, "tool_duration_seconds_count", tool="price", result="cancelled") == 1
    assert outcome(over) == "done_"


@virtual_time
async def test_a_tool_that_the_model_cancels_ends_and_nothing_is_owed(tmp_path: Path) -> None:
    provider = provider_of(Directed)

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.2)
        voice: Any = provider.voices[0]
        voice.tells(ToolCall("c1", "book", {"at": "7 pm"}), TurnDone("completed"))
        await line.caller.waits(1)
        voice.tells(ToolCancelled("c1"), ToolCancelled("c1"), ToolCancelled("never was"))

    lines = house(tmp_path, TOOLS, fields="    answer_within: 2s\n")
    over = await dial(lines, script, provider=provider, http=Endpoints({"/book": (3.0, {})}))
    assert [(use.outcome, use.ms) for use in over.record.tools] == [("cancelled", 1000)]
    assert outcome(over) == "silence"
    assert over.voice.results == []


@virtual_time
async def test_a_tool_that_is_cancelled_in_the_same_breath_holds_nothing_up(tmp_path: Path) -> None:
    provider = provider_of(Directed)

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.2)
        provider.voices[0].tells(ToolCall("c1", "book", {"at": "7 pm"}), ToolCancelled("c1"))  # type: ignore[attr-defined]

    lines = house(tmp_path, TOOLS, fields="    answer_within: 2s\n")
    over = await dial(lines, script, provider=provider, http=Endpoints({"/book": (3.0, {})}))
    assert outcome(over) == "silence"


@virtual_time
async def test_a_model_that_answers_before_the_result_is_confirmed_owes_nothing(tmp_path: Path) -> None:
    class Slow(VirtualVoice):
        async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
            await super().tool_result(call_id, output, respond=respond)
            await asyncio.sleep(1.0)

    provider = provider_of(Slow, [[price(dish="pizza")], [Says("Nine.", 400)]])
    lines = house(tmp_path, fields="    answer_within: 3s\n")
    over = await dial(lines, asks, provider=provider, http=Endpoints({PIZZA: {}}))
    assert over.heard == ["Hello.", "Nine."]
    assert outcome(over) == "silence"


# ── finish ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def toolbox(schema: Any = None, into: str = "order", **given: Any) -> Toolbox:
    variables = {"order": Variable("object"), "count": Variable("integer"), "name": Variable("string")}
    call = make_call(bare_flow(vars=variables))
    for name, value in given.items():
        call.walker.set(name, value)
    collect = None if schema is None else Collect(into, JsonSchema(schema))
    exits = [
        Exit("ordered", "The order is complete.", ("order",)),
        Exit("named", requires=("name", "count")),
        Exit("out"),
    ]
    return Toolbox(call, exits, {}, collect)


@virtual_time
async def test_finish_describes_every_exit_and_the_data() -> None:
    tool = toolbox({"type": "object"}).offered()[0]
    assert tool.name == "finish"
    assert "ordered: The order is complete.; named; out" in tool.description
    assert tool.parameters["properties"] == {
        "exit": {"type": "string", "enum": ["ordered", "named", "out"]}, "data": {"type": "object"},
    }  # fmt: skip
    assert tool.parameters["required"] == ["exit"]


@pytest.mark.parametrize("arguments", [{}, {"exit": None}, {"exit": "Ordered"}, {"exit": ["out"]}, {"exit": {"a": 1}}])
@virtual_time
async def test_finish_by_no_exit(arguments: Any) -> None:
    way, problem = toolbox().finish(arguments)
    assert way is None
    assert "The exits are: ordered, named, out." in problem


@virtual_time
async def test_finish_needs_what_the_exit_requires() -> None:
    box = toolbox({"type": "object", "properties": {"dish": {"type": "string"}}})
    assert box.finish({"exit": "out"}) == ("out", "")
    assert box.finish({"exit": "ordered"})[1].startswith("The exit ordered needs order first.")
    assert box.finish({"exit": "ordered", "data": {}})[0] is None
    assert box.finish({"exit": "ordered", "data": {"dish": 7}}) == (
        None, 'The data is not right: dish: 7 is not of type "string"',
    )  # fmt: skip
    assert box.finish({"exit": "ordered", "data": {"dish": "pizza"}}) == ("ordered", "")
    assert box.call.walker.vars["order"] == {"dish": "pizza"}


@virtual_time
async def test_zero_is_a_value_and_nothing_is_none() -> None:
    assert toolbox(name="Ada").finish({"exit": "named"}) == ("named", "")  # count is 0
    assert "needs name first" in toolbox(count=3).finish({"exit": "named"})[1]


@virtual_time
async def test_data_that_does_not_fit_the_variable_is_refused_in_words() -> None:
    way, problem = toolbox({"type": "string"}, into="count").finish({"exit": "out", "data": "three"})
    assert way is None
    assert "vars.count is declared as integer, but the value is string" in problem


@virtual_time
async def test_a_tool_of_a_program_may_answer_with_anything_that_is_json_or_can_be_text() -> None:
    async def act(arguments: Any) -> Any:
        return {"at": datetime(2026, 1, 5, tzinfo=UTC)}

    box = toolbox()
    box.tools = {"t": FlowTool("t", "", JsonSchema({"type": "object"}), act)}
    box.call.record.steps.append(StepTrace(path="steps/0", verb="converse", where="t:1:1"))
    assert json.loads(await box.use("t", {})) == {"at": "2026-01-05 00:00:00+00:00"}
