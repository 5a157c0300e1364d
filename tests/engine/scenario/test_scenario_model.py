"""A text model plays the AI: what counts of the script, and what becomes of a model that fails."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from engine.scenario import run_scenario
from engine.scenario.model import MOST_ANSWERS, HeldModel, Spent
from engine.scenario.part import meant
from engine.scenario.text_voice import MOST_IN_A_ROW
from engine.virtual import Outside
from providers.parts import Message
from providers.voice import VoiceError
from tests.engine.scenario.folder import FLOW, HEAD, MOCKS, read, unmet
from tests.engine.scenario.thinker import BUSY, TO_TALK, Asked, Thinker, played, talk

PRICE = ("price", {"dish": "large Pizza"})
ORDERED = ("finish", {"exit": "ordered", "data": "one large pizza"})
BUYS = """
  - caller: What does a pizza cost?
    converse: {tools: {price: {dish: pizza}}, says: Nine.}
  - caller: I take one.
    converse: {exit: ordered, data: pizza}
"""


async def test_it_decides_and_the_script_expects(tmp_path: Path) -> None:
    model = Thinker([PRICE, "That is nine dollars.", ["Gladly.", ORDERED]])
    result = await talk(tmp_path, BUYS + "  - expect: {hangup: {by: flow, result: ordered}}\n", model)
    assert unmet(result) == []
    told = [row.text for row in result.rows if "hears" in row.text]
    assert 'caller hears "That is nine dollars."' in told
    assert result.seconds < 30


async def test_it_is_told_prompt_tools_and_what_was_said(tmp_path: Path) -> None:
    flow = FLOW.replace("greeting: What", "prompt: You sell pizza.\n      greeting: What")
    model = Thinker([PRICE, "Nine.", ["Gladly.", ORDERED]])

    result = await played(read(tmp_path, HEAD + MOCKS + "script:\n" + TO_TALK + BUYS, flow)[0], model)
    assert unmet(result) == []
    last = model.asked[-1]
    assert [(message.role, message.text) for message in last.messages] == [
        ("system", "You sell pizza."), ("assistant", "Hello . Press 1."), ("assistant", "What may it be?"),
        ("user", "What does a pizza cost?"),
        ("assistant", ""), ("tool", '{"price": 9}'), ("assistant", "Nine."), ("user", "I take one."),
    ]  # fmt: skip
    assert [tool.name for tool in last.tools] == ["price", "finish"]
    called = last.messages[4].calls[0]
    assert last.messages[5].call == called.id


async def test_words_of_the_ai_are_not_compared_but_the_flows_are(tmp_path: Path) -> None:
    script = BUYS + "  - expect: {says: Nine.}\n  - expect: {says: Thank you}\n"
    model = Thinker([PRICE, "It costs 9.", ["Fine.", ORDERED]])
    assert unmet(await talk(tmp_path, script, model)) == []
    model = Thinker([PRICE, "It costs 9.", ["Fine.", ORDERED]])
    (broken,) = unmet(await talk(tmp_path, script.replace("Thank you", "Thanks a lot"), model))
    assert broken[0] == "says: {contains: Thanks a lot}"


@pytest.mark.parametrize(
    ("answers", "expected", "actual"),
    [
        (["Nine."], 'the AI uses price({"dish": "pizza"})', 'it used no tool; it said "Nine."'),
        (
            [("price", {"dish": "beer"}), "Nine."],
            'the AI uses price({"dish": "pizza"})',
            'it used price({"dish": "beer"}); it said "Nine."',
        ),
        ([[PRICE, ("finish", {"exit": "person"})]], "the AI goes on talking", "it took the exit person"),
        (
            [PRICE, "Nine.", ("finish", {"exit": "person"})],
            "the AI takes the exit ordered",
            "it took the exit person",
        ),
        (
            [PRICE, "Nine.", "Are you sure?"],
            "the AI takes the exit ordered",
            'it used price({"dish": "large Pizza"}); it said "Are you sure?"',
        ),
        (
            [PRICE, "Nine.", ("finish", {"exit": "ordered", "data": "a beer"})],
            'the exit ordered with data that holds "pizza"',
            'its data: "a beer"',
        ),
    ],
)
async def test_what_it_must_do_and_does_not(tmp_path: Path, answers: list[str], expected: str, actual: str) -> None:
    result = await talk(tmp_path, BUYS, Thinker(answers))
    assert unmet(result)[0] == (expected, actual)


async def test_a_refused_exit_is_told_to_the_model_and_it_may_try_again(tmp_path: Path) -> None:
    model = Thinker([PRICE, "Nine.", ("finish", {"exit": "ordered"}), ("finish", {"exit": "orderd"}), ORDERED])
    assert unmet(await talk(tmp_path, BUYS, model)) == []
    assert "needs order first" in model.asked[3].latest
    assert "There is no exit 'orderd'" in model.asked[4].latest


async def test_a_tool_that_was_used_a_turn_earlier_counts_once(tmp_path: Path) -> None:
    script = "  - caller: Hello.\n  - caller: A price, please.\n    converse: {tools: {price: {}}}\n"
    assert unmet(await talk(tmp_path, script, Thinker([PRICE, "Nine.", "Nine."]))) == []
    twice = script + "  - caller: Again.\n    converse: {tools: {price: {}}}\n"
    assert len(unmet(await talk(tmp_path, twice, Thinker([PRICE, "Nine.", "Nine.", "Nine."])))) == 1


async def test_a_breakdown_is_the_tests(tmp_path: Path) -> None:
    model = Thinker([])
    script = "  - caller: Hello.\n    converse: {fails: true}\n  - expect: {step: talk, outcome: provider_error}\n"
    assert unmet(await talk(tmp_path, script, model)) == []
    assert model.asked == []


async def test_thinking_takes_no_time_on_the_telephone(tmp_path: Path) -> None:
    """A model that is slower than `silence` and `answer_within` together, as a telephone counts."""
    flow = FLOW.replace("greeting: What", "silence: {after: 700ms}\n      answer_within: 600ms\n      greeting: What")

    model = Thinker(["Nine."], seconds=0.8)
    script = "  - caller: Hello.\n  - silence: 500ms\n"
    began = time.perf_counter()
    result = await played(read(tmp_path, HEAD + MOCKS + "script:\n" + TO_TALK + script, flow)[0], model)
    assert time.perf_counter() - began >= 0.8
    assert unmet(result) == []
    rows = {row.text: row.at for row in result.rows}
    assert rows['caller hears "Nine."'] - rows['caller says "Hello."'] < 1.5


# ── A model that fails ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_busy_model_is_asked_again(tmp_path: Path) -> None:
    model, spent = Thinker([BUSY, BUSY, PRICE, "Nine.", ORDERED]), Spent()
    assert unmet(await talk(tmp_path, BUYS, model, spent=spent)) == []
    assert (spent.answers, spent.tokens) == (3, (300, 30))


async def test_a_model_that_stays_busy_fails_the_run_and_says_so(tmp_path: Path) -> None:
    found = unmet(await talk(tmp_path, BUYS, Thinker([BUSY, BUSY, BUSY])))
    assert found[-1] == ("the model answers", "429: too many requests")


async def test_an_error_that_will_not_pass_is_not_tried_again(tmp_path: Path) -> None:
    model = Thinker([VoiceError("no such model", code="model_not_found")])
    assert ("the model answers", "no such model") in unmet(await talk(tmp_path, BUYS, model))
    assert len(model.asked) == 1


async def test_a_model_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.scenario.model.ANSWER_WITHIN", 0.05)
    model = Thinker(["Too late."], seconds=60)
    found = unmet(await talk(tmp_path, BUYS, model))
    assert ("the model answers", "the model gave no answer within 0.05 s") in found
    assert model.cancelled == 1


async def test_a_model_that_uses_tools_for_ever_is_stopped(tmp_path: Path) -> None:
    model = Thinker(lambda asked: PRICE)
    found = unmet(await talk(tmp_path, BUYS, model))
    assert ("the model answers", f"the model answered {MOST_IN_A_ROW} times in a row: it loops") in found
    assert len(model.asked) <= MOST_IN_A_ROW + 1


async def test_a_provider_with_a_mistake_fails_its_run_and_is_named(tmp_path: Path) -> None:
    model = Thinker(lambda asked: {}["nothing"])
    assert ("the model answers", "the provider failed: KeyError: 'nothing'") in unmet(await talk(tmp_path, BUYS, model))


async def test_a_model_that_talks_without_end_is_no_voice(tmp_path: Path) -> None:
    found = unmet(await talk(tmp_path, BUYS, Thinker(lambda asked: "la " * 4000)))
    assert ("the model answers", "the model gave 12,001 characters at once: more than anybody says") in found


async def test_what_is_no_text_is_replaced(tmp_path: Path) -> None:
    model = Thinker([["Ni\ud800ne.\n\n", ("price", {"dish": "\udfff"})], "Nine.", "\x00"])
    (first, *_) = unmet(await talk(tmp_path, BUYS, model))
    assert first == ('the AI uses price({"dish": "pizza"})', 'it used price({"dish": "?"}); it said "Nine."')


async def test_a_model_that_says_nothing_ends_the_talk_as_a_voice_that_fails(tmp_path: Path) -> None:
    found = unmet(await talk(tmp_path, BUYS, Thinker(lambda asked: "")))
    assert found[0][0] == 'the AI uses price({"dish": "pizza"})'


async def test_one_call_asks_so_often_and_no_more() -> None:
    held = HeldModel(Outside(), Thinker(lambda asked: "x"), Spent())
    held._answers = MOST_ANSWERS
    with pytest.raises(VoiceError, match="something loops"):
        _ = [event async for event in held.answer([Message("user", "hi")])]


async def test_when_the_tests_are_interrupted_no_model_is_asked_any_more(tmp_path: Path) -> None:

    outside, begun = Outside(), asyncio.Event()

    def thinks(asked: Asked) -> str:
        begun.set()
        return "Too late."

    model = Thinker(thinks, seconds=3600)
    scenario = read(tmp_path, HEAD + MOCKS + "script:\n" + TO_TALK + BUYS)[0]
    running = asyncio.create_task(asyncio.to_thread(run_scenario, scenario, HeldModel(outside, model, Spent())))
    async with asyncio.timeout(20):
        await begun.wait()
        outside.close()
        result = await running
    assert ("the model answers", "the tests were interrupted") in unmet(result)
    assert (len(model.asked), model.cancelled) == (1, 1)


@pytest.mark.parametrize(
    ("whole", "part", "fits"),
    [
        ({"a": "Chest Pain, left", "b": 1}, {"a": "chest  pain"}, True),
        ({"a": "chest"}, {"a": "chest pain"}, False),
        ({}, {"a": "x"}, False),
        ([{"n": "Pizza Margherita"}], [{"n": "margherita"}], True),
        ([1, 2], [1], False),
        (2, 2.0, True),
        ("2", 2, False),
        (None, None, True),
        ("anything", None, True),
    ],
)
def test_what_is_meant(whole: object, part: object, fits: bool) -> None:
    assert meant(whole, part) is fits


async def test_it_is_told_where_the_caller_cut_it_off(tmp_path: Path) -> None:
    script = "  - caller: Hello.\n  - silence: 2s\n  - says: Stop!\n  - silence: 2s\n"
    model = Thinker(["One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve.", "Yes?"])
    assert unmet(await talk(tmp_path, script, model)) == []
    told = model.asked[-1].messages[-2:]
    assert (told[1].role, told[1].text) == ("user", "Stop!")
    assert told[0].text.startswith("One, two, three")
    assert told[0].text.endswith("… (the caller interrupted)")
    assert "twelve" not in told[0].text


async def test_tools_that_it_asks_for_together_are_answered_together(tmp_path: Path) -> None:
    model = Thinker([["One moment.", PRICE, ("price", {"dish": "beer"})], "Nine and four."])
    assert unmet(await talk(tmp_path, "  - caller: Pizza and beer?\n    converse: {tools: {price: {}}}\n", model)) == []
    assert len(model.asked) == 2
    called, *answers = model.asked[1].messages[-3:]
    assert [message.call for message in answers] == [call.id for call in called.calls]
    assert len({call.id for call in called.calls}) == 2


async def test_a_caller_who_speaks_while_a_tool_runs_is_answered(tmp_path: Path) -> None:
    mocks = MOCKS.replace("json: {price: 9}", "json: {price: 9}, delay: 4s")
    model = Thinker([PRICE, "Wait.", "Nine."])
    text = (
        HEAD
        + mocks
        + "script:\n"
        + TO_TALK
        + "  - silence: 4s\n  - says: A price.\n  - silence: 2s\n  - says: Hello?\n"
    )
    result = await played(read(tmp_path, text + "  - silence: 9s\n")[0], model)
    assert unmet(result) == []
    assert (
        "no answer yet" in model.asked[1].messages[-2].text
    )  # every call has an answer, or servers refuse the question
    assert model.asked[1].messages[-1].text == "Hello?"
    assert model.asked[2].messages[-3].text == '{"price": 9}'
