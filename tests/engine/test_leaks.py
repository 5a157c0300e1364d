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
