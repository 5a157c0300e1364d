from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

PRICE = flow(
    """
    - set: {dish: "${input.dish.upperAscii()}"}
    - say: ${vars.dish} ${string(input.count)}.
    - return: {total: "${input.count * 9}", dish: "${vars.dish}"}
    """,
    name="price",
    head="""
    input: {dish: {type: string}, count: {type: integer, default: 2}}
    vars: {dish: {type: string, default: inner}}
    """,
)


def outer(call: str, after: str = "", head: str = "vars: {dish: {type: string, default: outer}}") -> str:
    return flow(f"- id: back\n  call: {call}\n  save: {{total: integer, dish: string}}\n"
                f"  outcomes: {{error: [{{say: Failed.}}]}}\n{after}", head=head)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "heard", "total"),
    [
        ("{dish: pizza}", "PIZZA 2.", 18),
        ("{dish: pizza, count: 3}", "PIZZA 3.", 27),
        ('{dish: "${vars.dish}", count: "${vars.dish.size()}"}', "OUTER 5.", 45),
    ],
)
@virtual_time
async def test_another_flow_takes_input_and_gives_values_back(
    tmp_path: Path, given: str, heard: str, total: int
) -> None:
    text = outer(f"{{flow: price, input: {given}}}", "- say: ${steps.back.total} ${steps.back.dish} ${vars.dish}.")
    over = await dial(library(tmp_path, text, PRICE))
    assert over.heard == [heard, f"{total} {heard.split()[0]} outer."]
    assert over.ways[0] == ("call", "done")


@virtual_time
async def test_a_section_shares_the_variables_and_comes_back(tmp_path: Path) -> None:
    head = """
    vars: {dish: {type: string, default: pizza}}
    sections:
      shout:
        - set: {dish: "${vars.dish.upperAscii()}"}
        - return: {total: 3, dish: x}
        - say: Never.
    """
    text = outer("{section: shout}", "- say: ${vars.dish} ${steps.back.total}.", head=head)
    over = await dial(library(tmp_path, text))
    assert over.heard == ["PIZZA 3."]


@virtual_time
async def test_a_section_that_just_ends_comes_back_with_nothing(tmp_path: Path) -> None:
    steps = "- call: {section: s}\n  outcomes: {error: []}\n- say: On."
    over = await dial(library(tmp_path, flow(steps, head="sections: {s: [{say: Section.}]}")))
    assert over.heard == ["Section.", "On."]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("{total: 3}", "it did not return dish"),
        ("{}", "it did not return total, dish"),
        ("{total: three, dish: x}", "total is declared as integer, but the value is string"),
        ("{total: 3, dish: null}", "dish is declared as string, but the value is null"),
    ],
)
@virtual_time
async def test_what_does_not_come_back_as_declared_is_an_error(tmp_path: Path, values: str, said: str) -> None:
    inner = flow(f"- return: {values}\n- return: {{total: 1, dish: x}}", name="inner")  # so the check is content
    over = await dial(library(tmp_path, outer("{flow: inner}"), inner))
    assert over.ways[0] == ("call", "error")
    assert over.record.steps[0].detail == said
    assert over.heard == ["Failed."]


@virtual_time
async def test_input_of_another_type_is_an_error(tmp_path: Path) -> None:
    head = "vars: {dish: {type: any, default: [1]}}"
    over = await dial(library(tmp_path, outer('{flow: price, input: {dish: "${vars.dish}"}}', head=head), PRICE))
    assert over.record.steps[0].detail == "input.dish is declared as string, but the value is array"
    assert over.heard == ["Failed."]


@pytest.mark.parametrize("target", ["flow: inner", "section: s"])
@virtual_time
async def test_a_failure_inside_is_the_steps_error(tmp_path: Path, target: str) -> None:
    bad = '{id: bad, say: "${steps.bad.outcome.size() + 1}"}'
    text = flow(
        f"- call: {{{target}}}\n  outcomes: {{error: [{{say: Failed.}}]}}\n- say: On.",
        head=f"sections: {{s: [{bad}], unused: [{{call: {{section: s}}}}]}}",
    )
    over = await dial(library(tmp_path, text, flow(f"- {bad}\n- say: Never.", name="inner")))
    assert over.heard == ["Failed.", "On."]
    assert "has no value yet" in over.record.steps[0].detail


@virtual_time
async def test_an_error_handler_inside_answers_first(tmp_path: Path) -> None:
    inner = flow(
        '- id: bad\n  say: "${steps.bad.outcome.size() + 1}"', name="inner",
        head="handlers: [{event: error, steps: [{say: Inside.}]}]",
    )  # fmt: skip
    over = await dial(library(tmp_path, flow("- call: {flow: inner}\n  outcomes: {error: []}\n- say: On."), inner))
    assert over.heard == ["Inside.", "On."]
    assert over.ways[0] == ("call", "done")


@virtual_time
async def test_a_key_of_the_outer_flow_works_inside(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        await line.caller.presses("0")

    head = "handlers: [{event: dtmf, digits: '0', goto: desk}]\nsections: {desk: [{say: Desk.}]}"
    inner = flow("- say: A long story that never seems to end.\n- say: Never.", name="inner")
    over = await dial(
        library(tmp_path, flow("- call: {flow: inner}\n  outcomes: {error: []}", head=head), inner), script
    )
    assert over.heard == ["A long story that never seems to end.…", "Desk."]


@virtual_time
async def test_a_section_that_calls_itself_for_ever_ends_with_an_error_and_not_the_engine(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- call: {section: s}", head="sections: {s: [{call: {section: s}}]}")))
    assert over.record.outcome == "failed"
    assert "loop: sections are called 16 deep; does 's' call itself?" in over.record.error


CHECKED: list[tuple[str, Any]] = [
    ("- call: {}", "3:5: error[E203]: call needs exactly one of 'flow' and 'section'"),
    ("- call: {flow: price, section: s}", "3:25: error[E203]: call needs exactly one of 'flow' and 'section'"),
    ("- call: {flow: pirce, input: {dish: x}}", "3:18: error[E302]: unknown flow 'pirce' (did you mean 'price'?)"),
    ("- call: {section: sx}", "3:21: error[E302]: unknown section 'sx'"),
    ("- call: {flow: price}", "3:12: error[E202]: the flow 'price' needs the input 'dish'"),
    ("- call: {flow: price, input: {dish: x, cuont: 3}}",
     "3:42: error[E301]: unknown input 'cuont' (did you mean 'count'?)"),
    ("- call: {flow: price, input: {dish: 3}}",
     "3:39: error[E301]: input.dish is declared as string, but this is integer"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "said"), CHECKED)
def test_what_the_check_says(tmp_path: Path, step: str, said: str) -> None:
    found = problems(tmp_path, f"{step}\n  outcomes: {{error: []}}", others=(PRICE,))
    assert any(line.startswith(said) for line in found), found


def test_a_section_takes_no_input(tmp_path: Path) -> None:
    step = "- call: {section: s, input: {a: 1}}\n  outcomes: {error: []}"
    found = problems(tmp_path, step, head="sections: {s: [{say: Hi}]}")
    assert found == ["4:24: error[E203]: a section shares the flow's variables: 'input' is for 'flow'"]


RETURNS = """  - return: {result: ready, count: "${vars.n1}", mixed: 1, open: "${vars.any1}"}
    when: vars.n1 > 1
  - return: {zzzz: 1}
    disabled: true
  - goto: other
"""
HEAD = "vars: {n1: {type: integer}, any1: {type: any}}\n"
OTHER = "  other: [{return: {mixed: text, late: true}}]\n"
ALL = "(has: count, late, mixed, open, result)"


@pytest.mark.parametrize(
    ("save", "said"),
    [
        ("{result: string, count: integer, mixed: string, open: object, late: boolean}", ""),
        ("{count: number, mixed: integer}", ""),
        ("{reslt: string}", "12: error[E301]: the {} never returns 'reslt' (did you mean 'result'?)"),
        ("{zzzz: integer}", f"12: error[E301]: the {{}} never returns 'zzzz' {ALL}"),
        ("{result: integer}", "20: error[E301]: 'result' is saved as integer, but the {} returns string"),
        ("{late: string}", "18: error[E301]: 'late' is saved as string, but the {} returns boolean"),
    ],
)
def test_what_is_saved_must_be_returned(tmp_path: Path, save: str, said: str) -> None:
    rest = f"  save: {save}\n  outcomes: {{error: []}}"
    sub = f"flow: a/sub\n{HEAD}steps:\n{RETURNS}sections:\n{OTHER}"
    found = problems(tmp_path / "a", f"- id: c\n  call: {{flow: a/sub}}\n{rest}", others=(sub,))
    assert found == (["5:" + said.format("flow 'a/sub'")] if said else [])
    head = f"{HEAD}sections:\n  sub:\n{RETURNS}{OTHER}  apart: [{{return: {{zzzz: 1}}}}]"
    found = problems(tmp_path / "b", f"- id: c\n  call: {{section: sub}}\n{rest}", head=head)
    errors = [line.partition(":")[2] for line in found if "W402" not in line]
    assert errors == ([said.format("section 'sub'")] if said else [])


def test_a_return_that_cannot_be_read_is_no_reason_to_miss_what_it_gives(tmp_path: Path) -> None:
    sub = 'flow: a/sub\nsteps:\n  - return: {r: "${1"}\n'
    step = "- id: c\n  call: {flow: a/sub}\n  save: {r: string}\n  outcomes: {error: []}"
    found = problems(tmp_path, step, others=(sub,))
    assert len(found) == 1
    assert "is never closed" in found[0]
