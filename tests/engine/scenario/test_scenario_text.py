"""What a test says that the text model answers, and what becomes of a test that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.scenario import Result
from tests.engine.scenario.folder import mistakes, play, read, unmet
from tests.engine.scenario.thinker import Thinker, played

FLOW = """
flow: shop
vars:
  mail: {type: string, default: Two pizzas for Ada.}
  order: {type: object, default: {}}
steps:
  - answer: {}
  - extract: {from: mail, into: order, schema: {dish: {type: string}, count: {type: integer}}, prompt: The order.}
    timeout: 4s
    outcomes: {not_found: [{hangup: {result: nothing}}], provider_error: [{hangup: {result: broken}}]}
  - hangup: {result: found}
"""
HEAD = "test: it\nflow: shop\nmocks:\n  text:\n"
ORDER = "{dish: pizza, count: 2}"


def run(folder: Path, *answers: str, result: str = "found") -> Result:
    head = HEAD + "".join(f"    - {answer}\n" for answer in answers)
    return play(folder, f"- expect: {{hangup: {{result: {result}}}}}", head=head, flow=FLOW)


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ([f"{{json: {ORDER}}}"], "found"),
        ([f"{{match: two PIZZAS, json: {ORDER}}}"], "found"),
        ([f"{{match: {{contains: The order.}}, json: {ORDER}}}"], "found"),  # the prompt is part of what it is asked
        ([f'{{match: {{matches: "for (Ada|Bob)"}}, json: {ORDER}, delay: 3s}}'], "found"),
        ([f"{{match: burger, json: {ORDER}}}", "{not_found: true}"], "nothing"),
        (["{not_found: true}"], "nothing"),
        (["{json: {dish: pizza}}"], "nothing"),  # it does not fit, twice
        (["{answer: I do not know., times: 1}", f"{{json: {ORDER}}}"], "found"),  # it is asked again
        (["{fails: true}"], "broken"),
        ([f"{{json: {ORDER}, delay: 5s}}"], "broken"),
    ],
)
def test_what_the_model_answers(tmp_path: Path, answers: list[str], result: str) -> None:
    assert unmet(run(tmp_path, *answers, result=result)) == []


def test_a_question_without_an_answer_fails_the_test(tmp_path: Path) -> None:
    result = run(tmp_path, f"{{match: burger, json: {ORDER}}}", result="broken")
    assert unmet(result) == [
        ("an answer in mocks.text", 'the text model was asked to read "Two pizzas for Ada."'),
    ]
    assert 'the text model reads "Two pizzas for Ada.": no answer in `mocks`' in [row.text for row in result.rows]


@pytest.mark.parametrize(
    ("answers", "result", "asked"),
    [([f"{{match: burger, json: {ORDER}}}"], "found", 1), (["{not_found: true}"], "nothing", 0)],
)
async def test_where_a_model_plays_the_ai_it_answers_what_the_test_does_not(
    tmp_path: Path, answers: list[str], result: str, asked: int
) -> None:
    head = HEAD + "".join(f"    - {answer}\n" for answer in answers)
    (scenario,) = read(tmp_path, f"{head}script: [{{expect: {{hangup: {{result: {result}}}}}}}]\n", FLOW)
    model = Thinker(['{"found": true, "value": {"dish": "pizza", "count": 2}}'])
    assert unmet(await played(scenario, model)) == []
    assert len(model.asked) == asked


def test_the_trace_shows_what_was_read_and_answered(tmp_path: Path) -> None:
    rows = [row.text for row in run(tmp_path, f"{{json: {ORDER}}}").rows]
    assert 'the text model reads "Two pizzas for Ada.": {"found": true, "value": {"dish": "pizza", "count": 2}}' in rows


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("{}", "exactly one of answer, json, not_found, fails must stand here; this has none of them"),
        ("{answer: a, json: 1}", "this has answer and json"),
        ("{json: null}", "'json' has no value"),
        ("{fails: false}", "'False' is not one of True"),
        ("{match: {}, fails: true}", "words need 'contains' or 'matches'"),
        ("{match: {matches: '('}, fails: true}", "'matches' is not a regular expression"),
        ("{anser: x, fails: true}", "unknown key 'anser' (did you mean 'answer'?)"),
        ("{answer: a, delay: 3}", "3 is not a duration"),
    ],
)
def test_mistakes_in_answers(tmp_path: Path, answer: str, said: str) -> None:
    [told] = mistakes(tmp_path, HEAD + f"    - {answer}\nscript: []\n", FLOW)
    assert said in told
