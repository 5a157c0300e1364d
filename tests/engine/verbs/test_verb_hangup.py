"""`hangup`, `stop`, `return` at the top, and `goto`: the verbs that lead away."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems


@virtual_time
async def test_hangup_ends_the_call_and_keeps_its_result(tmp_path: Path) -> None:
    head = "vars: {ref: {type: string, default: A7}}"
    over = await dial(
        library(tmp_path, flow('- say: Bye.\n- hangup: {result: "order ${vars.ref}"}\n- say: Never.', head=head))
    )
    assert over.heard == ["Bye."]  # to its end
    assert (over.record.outcome, over.record.hangup_by, over.record.cause) == ("completed", "flow", 16)
    assert over.record.result == "order A7"


@pytest.mark.parametrize(
    ("code", "cause"), [(403, 21), (404, 1), (408, 18), (480, 19), (486, 17), (503, 34), (603, 16), (None, 16)]
)
@virtual_time
async def test_a_call_that_was_not_answered_is_refused_with_the_right_cause(
    tmp_path: Path, code: int | None, cause: int
) -> None:
    over = await dial(library(tmp_path, flow(f"- hangup: {'{}' if code is None else f'{{sip_code: {code}}}'}")))
    assert over.record.answered is None
    assert over.record.cause == cause
    over = await dial(library(tmp_path, flow(f"- answer: {{}}\n- hangup: {{sip_code: {code or 404}}}")))
    assert over.record.cause == 16


@virtual_time
async def test_the_hangup_handler_runs_after_it(tmp_path: Path) -> None:
    head = "vars: {done: {type: boolean}}\nhandlers: [{event: hangup, steps: [{set: {done: true}}, {hangup: {}}]}]"
    over = await dial(library(tmp_path, flow("- hangup: {result: a}", head=head)))
    assert over.ways == [("hangup", "done"), ("set", "done"), ("hangup", "done")]
    assert over.call.walker.vars["done"] is True
    assert over.record.result == "a"


@pytest.mark.parametrize("verb", ["stop", "hangup"])
@virtual_time
async def test_stop_ends_every_flow_that_called(tmp_path: Path, verb: str) -> None:
    outer = flow("- call: {flow: inner}\n  outcomes: {error: []}\n- say: Never.")
    inner = flow("- call: {section: deep}\n  outcomes: {error: []}\n- say: Never.", name="inner",
                 head=f"sections: {{deep: [{{repeat: {{max: 3, steps: [{{{verb}: {{}}}}]}}}}]}}")  # fmt: skip
    over = await dial(library(tmp_path, outer, inner))
    assert over.heard == []
    assert (over.record.outcome, over.record.error) == ("completed", "")
    assert over.ways == [("call", "done"), ("call", "done"), ("repeat", "done"), (verb, "done")]


@virtual_time
async def test_goto_does_not_come_back(tmp_path: Path) -> None:
    head = "sections: {a: [{say: A.}, {goto: {section: b}}], b: [{say: B.}]}"
    over = await dial(library(tmp_path, flow("- goto: a\n- say: Never.", head=head)))
    assert over.heard == ["A.", "B."]
    assert over.record.outcome == "completed"


@virtual_time
async def test_a_return_that_nobody_called_for_ends_the_flow(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- return: {ref: 7}\n- say: Never.")))
    assert (over.record.outcome, over.record.hangup_by, over.record.error) == ("completed", "flow", "")
    assert over.heard == []


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - hangup: {sip_code: 500}
        - hangup: {reslut: x}
        - goto: sectoin
        - goto: {}
        - stop: {now: true}
        """,
        head="sections: {section: [{goto: section}]}",
    )
    assert found[0].startswith("4:24: error[E203]: '500' is not one of 403, 404,")
    assert found[1] == "5:14: error[E201]: unknown key 'reslut' (did you mean 'result'?)"
    assert found[2] == "6:11: error[E302]: unknown section 'sectoin' (did you mean 'section'?)"
    assert found[3] == "7:5: error[E202]: goto needs 'section'"
    assert found[4] == "8:12: error[E201]: unknown key 'now' (it takes no keys)"


@pytest.mark.parametrize("verb", ["goto: there", "stop: {}", "return: {}", "hangup: {}"])
def test_what_stands_behind_is_never_reached(tmp_path: Path, verb: str) -> None:
    found = problems(tmp_path, f"- {verb}\n- say: Never.\n", head="sections: {there: [{say: Hi}]}")
    assert any(line.startswith("5:5: warning[W402]") or "5:5: warning[W402]" in line for line in found)
