"""What the engine gets from a good file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.expressions import ExpressionError
from flows.flow import Flow, Retry
from flows.language import Loaded

Load = Callable[..., Loaded]

FLOW = """
flow: shop/orders
version: 3
description: Takes orders.
vars: {order: {type: object, default: {}}, total: {type: number, default: 2}, pin: {type: string, sensitive: true}}
input: {plan: {type: string}, lang: {type: string, default: en}}
defaults: {converse: {provider: rehearsal, silence: 9s}, max_call: 15m}
recover: counter
handlers:
  - {event: dtmf, digits: "0", goto: counter}
  - {event: error, steps: [{say: Sorry.}, {goto: counter}]}
steps:
  - id: talk
    converse:
      prompt_file: order.md
      silence: 4s
      exits: {ordered: {requires: [order]}, person: {}}
    outcomes: {person: [{goto: counter}], ordered: []}
    timeout: 10m
  - id: book
    http: {endpoint: pos, path: /orders, json: {order: "${vars.order}", note: "plan ${input.plan}"}}
    retry: {max: 2, delay: 500ms, backoff: 2}
    save: {ref: string}
    catch: [{say: It failed.}]
    when: vars.total > 1.0
  - switch:
      - {when: "steps.book.status == 200", steps: [{say: "Number ${spell(steps.book.ref)}."}]}
      - {steps: [{set: {total: "${vars.total + 1.0}"}}]}
  - {say: Bye, disabled: true, note: for later}
sections:
  counter: [{transfer: {attempts: [{targets: ["pjsip:a"], timeout: 1m30s}]}, outcomes: {failed: []}}, {hangup: {}}]
"""


@pytest.fixture
def flow(load: Load) -> Flow:
    loaded = load(FLOW, files={"order.md": "Take the order of ${caller.number}.\n"})
    assert loaded.problems == []
    assert loaded.library is not None
    return loaded.library.flows["shop/orders"]


def test_the_head(flow: Flow) -> None:
    assert (flow.name, flow.version, flow.description, flow.max_call) == ("shop/orders", 3, "Takes orders.", 900.0)
    assert flow.recover == "counter"
    assert flow.defaults == {"converse": {"provider": "rehearsal", "silence": "9s"}}
    assert (flow.vars["total"].type, flow.vars["total"].default) == ("number", 2.0)
    assert flow.vars["pin"].sensitive
    assert flow.input["plan"].required
    assert not flow.input["lang"].required


def test_handlers(flow: Flow) -> None:
    key, error = flow.handlers
    assert (key.event, key.digits, key.goto, key.steps) == ("dtmf", "0", "counter", None)
    assert error.steps is not None
    assert [step.path for step in error.steps] == ["handlers/1/steps/0", "handlers/1/steps/1"]


def test_every_step_has_a_stable_path(flow: Flow) -> None:
    assert [step.path for step in flow.walk()] == [
        "steps/0",
        "steps/0/outcomes/person/0",
        "steps/1",
        "steps/1/catch/0",
        "steps/2",
        "steps/2/switch/0/steps/0",
        "steps/2/switch/1/steps/0",
        "steps/3",
        "sections/counter/0",
        "sections/counter/1",
        "handlers/1/steps/0",
        "handlers/1/steps/1",
    ]
    assert flow.ids["book"].path == "steps/1"


def test_the_common_keys(flow: Flow) -> None:
    talk, book, _, bye = flow.steps
    assert talk.timeout == 600.0
    assert talk.outcomes["ordered"] == ()
    assert talk.possible.good == ("ordered", "person")
    assert book.retry == Retry(max=2, delay=0.5, backoff=2.0)
    assert book.save == {"ref": "string"}
    assert book.catch is not None
    assert bye.disabled
    assert (bye.where.line, bye.where.column) == (29, 6)


def test_defaults_give_way_to_what_a_step_says(flow: Flow) -> None:
    fields: Any = flow.steps[0].fields
    assert (fields.provider, fields.silence) == ("rehearsal", 4.0)


def test_texts_conditions_and_values_are_evaluated_with_a_plain_context(flow: Flow) -> None:
    talk, book, switch, _ = flow.steps
    context: dict[str, Any] = {
        "vars": {"order": {"dish": "soup", "count": 2.0}, "total": 3},
        "input": {"plan": "gold"},
        "steps": {"book": {"ref": "A7", "status": 200}},
        "caller": {"number": "+14155550100"},
        "now": datetime(2026, 5, 1, tzinfo=UTC),
    }
    fields: Any = talk.fields
    assert fields.prompt_file.text.render(context) == "Take the order of +14155550100.\n"
    assert book.when is not None
    assert book.when.evaluate(context) is True
    sent: Any = book.fields
    assert sent.json_.evaluate(context) == {"order": {"dish": "soup", "count": 2}, "note": "plan gold"}
    said, other = switch.nested
    text: Any = said[0].fields
    assert text.text.render(context) == "Number A, 7."
    setting: Any = other[0].fields
    assert setting.__pydantic_extra__["total"].evaluate(context) == 4.0


def test_a_failing_expression_says_where_it_stands(flow: Flow) -> None:
    branch, _ = flow.steps[2].nested
    fields: Any = branch[0].fields
    with pytest.raises(ExpressionError, match=r"f.flow.yaml:27:\d+: 'steps.book.ref' has no value yet") as raised:
        fields.text.render({"steps": {"book": {}}})
    assert raised.value.where.line == 27


def test_nothing_in_it_can_be_changed(flow: Flow) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        flow.name = "other"  # type: ignore[misc]
    fields: Any = flow.steps[0].fields
    with pytest.raises(ValueError, match="frozen"):
        fields.provider = "other"


def test_the_revision_follows_the_files_that_the_flow_names(load: Load) -> None:
    def revision(prompt: str, flow: str = FLOW) -> tuple[str, str]:
        library = load(flow, files={"order.md": prompt}).library
        assert library is not None
        return library.flows["shop/orders"].revision, library.revision

    first = revision("Take orders.")
    assert revision("Take orders.") == first
    changed = revision("Take big orders.")
    assert changed[0] != first[0]
    assert changed[1] != first[1]
    assert revision("Take orders.", FLOW + "# a comment\n")[0] != first[0]


def test_a_library_with_an_error_is_no_library(load: Load) -> None:
    loaded = load("flow: a\nsteps: [{sey: x}]\n", files={"b.flow.yaml": "flow: b\nsteps: [{say: x}]\n"})
    assert loaded.library is None


def test_warnings_do_not_stop_a_flow(load: Load) -> None:
    loaded = load("flow: a\nsteps: [{hangup: {}}, {say: never}]\n")
    assert [problem.severity for problem in loaded.problems] == ["warning"]
    assert loaded.library is not None


def test_a_repeated_part_has_paths_of_its_own(load: Load) -> None:
    text = (
        "flow: a\nsteps:\n  - menu: {say: Hi}\n    outcomes: {'1': &bye [{hangup: {}}], no_input: *bye, no_match: []}\n"
    )
    loaded = load(text)
    assert loaded.library is not None
    paths = [step.path for step in loaded.library.flows["a"].walk()]
    assert paths == ["steps/0", "steps/0/outcomes/1/0", "steps/0/outcomes/no_input/0"]
