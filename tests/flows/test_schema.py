from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from verbs import VERBS

from engine.verbs import installed
from flows.compiler import FLOW_KEYS
from flows.language import Language


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return Language(VERBS).schema()


def errors(schema: dict[str, Any], text: str) -> list[tuple[str, list[Any]]]:
    validator = jsonschema_rs.Draft202012Validator(schema)
    return [(error.message, list(error.instance_path)) for error in validator.iter_errors(yaml.safe_load(text))]


def test_it_is_a_valid_schema_without_loose_ends(schema: dict[str, Any]) -> None:
    jsonschema_rs.meta.validate(schema)
    jsonschema_rs.Draft202012Validator(schema)  # raises when a $ref leads nowhere


def test_a_good_flow_fits(schema: dict[str, Any]) -> None:
    text = """
    flow: a
    vars: {order: {type: object, default: {}}}
    defaults: {say: {loop: 2}, max_call: 15m}
    handlers: [{event: dtmf, digits: "0", goto: out}]
    steps:
      - say: Hello
      - say: {text: Hello, interruptible: any}
        outcomes: {interrupted: []}
      - converse: {exits: {bought: {requires: [order]}}, silence: 5s}
        outcomes: {bought: [{goto: out}], provider_error: []}
      - switch: [{when: vars.order.n > 1, steps: [{say: Hi}]}]
      - repeat: {max: 2, while: "true", steps: [{set: {order: "${x}"}}]}
    sections: {out: [{hangup: {}}]}
    """
    assert errors(schema, text) == []


@pytest.mark.parametrize(
    ("step", "expected", "path"),
    [
        ("{say: {txt: Hi, text: a}}", "'txt' was unexpected", ["say"]),
        ("{say: Hi, tiemout: 3s}", "'tiemout' was unexpected", []),
        ("{say: {text: a, interruptible: dtfm}}", "is not one of", ["say", "interruptible"]),
        (
            "{transfer: {attempts: [{rnig: serial, targets: [a]}]}}",
            "'rnig' was unexpected",
            ["transfer", "attempts", 0],
        ),
        ("{repeat: {max: 1, steps: [{sey: x}]}}", "'sey' was unexpected", ["repeat", "steps", 0]),
        ("{menu: {say: Hi}, outcomes: {no_input: [{sey: x}]}}", "'sey' was unexpected", ["outcomes", "no_input", 0]),
    ],
)
def test_a_mistake_is_named_at_its_key(schema: dict[str, Any], step: str, expected: str, path: list[Any]) -> None:
    found = errors(schema, f"flow: a\nsteps: [{step}]")
    assert [(expected in message, place) for message, place in found] == [(True, ["steps", 0, *path])]


def test_outcomes_and_summaries_are_there_for_completion_and_hover(schema: dict[str, Any]) -> None:
    branches = {branch["if"]["required"][0]: branch["then"] for branch in schema["$defs"]["step"]["allOf"]}
    outcomes = branches["transfer"]["properties"]["outcomes"]["properties"]
    assert list(outcomes) == ["connected", "busy", "no_answer", "failed"]
    assert branches["say"]["properties"]["say"]["description"] == "Speak a text."


# ── The schema and the check say the same of what is empty ────────────────────────────────────────────────────────────


def both(folder: Path, text: str) -> tuple[bool, bool]:
    """Whether the schema and the check take a flow's form."""
    file = folder / "a.flow.yaml"
    file.write_text(f"flow: a\n{text}")
    language = Language(installed())
    validator = jsonschema_rs.Draft202012Validator(language.schema())
    refused = any(problem.code.startswith("E2") for problem in language.load([file]).problems)
    return validator.is_valid(yaml.safe_load(file.read_text())), not refused


@pytest.mark.parametrize("verb", installed())
def test_a_verb_without_fields_is_taken_by_both_or_by_none(verb: str, tmp_path: Path) -> None:
    by_schema, by_check = both(tmp_path, f"steps:\n  - {verb}:\n")
    assert by_schema == by_check


@pytest.mark.parametrize("verb", ["ringing", "answer", "hangup", "converse", "set"])
def test_verbs_that_need_no_fields_may_have_none(verb: str, tmp_path: Path) -> None:
    assert both(tmp_path, f"steps:\n  - {verb}:\n") == (True, True)


@pytest.mark.parametrize("key", [key for key in FLOW_KEYS if key not in ("flow", "steps")])
def test_an_empty_key_of_a_flow_is_taken_by_both_or_by_none(key: str, tmp_path: Path) -> None:
    by_schema, by_check = both(tmp_path, f"steps: [{{hangup: {{}}}}]\n{key}:\n")
    assert by_schema == by_check
