"""Secrets do not leave on any way that somebody else may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.verbs.phone import problems

HEAD = "vars: {pin: {type: string, sensitive: true}, shown: {type: string}}"
HANDLED = "\n  outcomes: {http_error: [], timeout: []}"


@pytest.mark.parametrize(
    ("step", "way"),
    [
        ('http: {endpoint: pos, path: "/x?pin=${vars.pin}"}' + HANDLED, "in a URL"),
        ('hangup: {result: "${vars.pin}"}', "into the record"),
        ('transfer: {headers: {X-Pin: "${vars.pin}"}, attempts: [{targets: ["pjsip:a"]}]}\n  outcomes: {failed: []}',
         "with a transfer"),
        ('transfer: {caller_id: "${vars.pin}", attempts: [{targets: ["pjsip:a"]}]}\n  outcomes: {failed: []}',
         "with a transfer"),
        ('converse:\n    tools: {t: {description: x, http: {endpoint: pos, path: "/${vars.pin}"}}}\n'
         "  outcomes: {silence: [], max_duration: [], provider_error: []}", "in a URL"),
    ],
)  # fmt: skip
def test_a_sensitive_value_is_refused_and_a_masked_one_is_not(tmp_path: Path, step: str, way: str) -> None:
    found = problems(tmp_path, f"- {step}", head=HEAD)
    assert [line for line in found if f"'vars.pin' is sensitive and must not leave {way}" in line], found
    assert problems(tmp_path, f"- {step}".replace("vars.pin", "vars.shown"), head=HEAD) == []


def test_the_body_of_a_request_may_hold_it(tmp_path: Path) -> None:
    step = '- http: {endpoint: pos, method: POST, path: /x, json: {pin: "${vars.pin}"}}' + HANDLED
    assert problems(tmp_path, step, head=HEAD) == []


# ── Values that came from a sensitive one ─────────────────────────────────────────────────────────────────────────────

CHAIN = """
vars: {pin: {type: string, sensitive: true}, copy: {type: string}, last: {type: string}, right: {type: boolean},
       shown: {type: string}}
"""
ASKS = '- http: {endpoint: pos, path: "/x?q=${NAME}"}' + HANDLED


def asked(folder: Path, name: str, *steps: str, head: str = CHAIN, others: tuple[str, ...] = ()) -> list[str]:
    """What the check says of sensitive values when a name stands in a URL behind these steps."""
    written = "\n".join((ASKS.replace("NAME", name), *steps))  # the order of steps does not count
    return [line for line in problems(folder, written, head=head, others=others) if "sensitive" in line]


def test_a_copy_of_a_copy_is_refused_with_its_way(tmp_path: Path) -> None:
    (found,) = asked(tmp_path, "vars.last", '- set: {last: "Pin ${vars.copy}"}', '- set: {copy: "${vars.pin}"}')
    assert "'vars.last' holds 'vars.pin', which is sensitive (vars.pin → vars.copy → vars.last) and must not" in found
    assert "error[E203]" in found


@pytest.mark.parametrize("way", ["${mask(vars.pin)}", "Ends in ${mask(vars.pin, 2)}.", "${mask(string(vars.pin))}"])
def test_what_was_masked_may_leave(tmp_path: Path, way: str) -> None:
    assert asked(tmp_path, "vars.shown", f'- set: {{shown: "{way}"}}') == []


@pytest.mark.parametrize(
    "way", ["${mask(vars.pin) + vars.pin}", "${'mask(' + vars.pin + ')'}", "${vars.pin.substring(2)}"]
)
def test_what_only_looks_masked_may_not(tmp_path: Path, way: str) -> None:
    assert len(asked(tmp_path, "vars.shown", f'- set: {{shown: "{way}"}}')) == 1


def test_a_yes_or_no_about_it_may_leave(tmp_path: Path) -> None:
    assert asked(tmp_path, "vars.right", "- set: {right: \"${vars.pin == '1234'}\"}") == []


def test_keys_of_a_sensitive_gather_are_followed_and_its_outcome_is_not(tmp_path: Path) -> None:
    ask = "- id: ask\n  gather: {say: PIN?, sensitive: true}\n  outcomes: {no_input: [], no_match: []}"
    (found,) = asked(tmp_path, "vars.copy", ask, '- set: {copy: "${steps.ask.digits}"}')
    assert "(steps.ask.digits → vars.copy)" in found
    assert asked(tmp_path, "vars.shown", ask, '- set: {shown: "${steps.ask.outcome}"}') == []


def test_a_tool_that_sets_a_variable_is_followed_and_its_own_arguments_are_not(tmp_path: Path) -> None:
    talk = '- converse:\n    tools: {t: {description: x, TOOL}}' + HANDLED.replace(
        "http_error: [], timeout: []", "silence: [], max_duration: [], provider_error: []"
    )  # fmt: skip
    tool = talk.replace("TOOL", 'set: {copy: "${vars.pin}"}')
    assert len(asked(tmp_path, "vars.copy", tool)) == 1
    head = CHAIN + "\ninput: {size: {type: string, sensitive: true}}"
    own = talk.replace("TOOL", 'input: {size: {type: string}}, set: {copy: "${input.size}"}')
    assert asked(tmp_path, "vars.copy", own, head=head) == []
    assert len(asked(tmp_path, "vars.copy", talk.replace("TOOL", 'set: {copy: "${input.size}"}'), head=head)) == 1


def test_the_input_of_another_flow_and_what_it_returns_are_followed(tmp_path: Path) -> None:
    inner = (
        'flow: inner\ninput: {given: {type: string}}\nvars: {kept: {type: string}}\nsteps:\n'
        '  - set: {kept: "${input.given}"}\n  - hangup: {result: "${vars.kept}"}\n  - return: {back: "${vars.kept}"}\n'
    )  # fmt: skip
    call = '- id: c\n  call: {flow: inner, input: {given: "${vars.pin}"}}\n  save: {back: string}\n'
    call += "  outcomes: {error: []}"
    found = asked(tmp_path, "steps.c.back", call, others=(inner,))
    assert any("(vars.pin → input.given → vars.kept → return.back → steps.c.back)" in line for line in found)
    assert any("(vars.pin → input.given → vars.kept) and must not leave into the record" in line for line in found)
    assert asked(tmp_path, "steps.c.back", call.replace("${vars.pin}", "${mask(vars.pin)}"), others=(inner,)) == []


def test_sections_that_return_are_followed(tmp_path: Path) -> None:
    head = CHAIN + '\nsections: {s: [{return: {back: "${vars.pin}"}}]}'
    call = "- id: c\n  call: {section: s}\n  save: {back: string}\n  outcomes: {error: []}"
    (found,) = asked(tmp_path, "steps.c.back", call, head=head)
    assert "(vars.pin → return.back → steps.c.back)" in found
