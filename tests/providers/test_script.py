from typing import Any

import pytest

from providers.script import Call, Hear, Say, fill, parse
from providers.voice import VoiceError


def test_reads_every_kind_of_step() -> None:
    assert parse([
        {"say": "Hello."},
        {"hear": "any"},
        {"call": {"tool": "lookup", "with": {"dish": "pizza"}}},
        {"call": {"tool": "ping"}},
        {"finish": {"exit": "person", "data": {"why": "asked"}}},
        {"finish": {"exit": "done"}},
    ]) == (
        Say("Hello."),
        Hear(),
        Call("lookup", {"dish": "pizza"}),
        Call("ping", {}),
        Call("finish", {"exit": "person", "data": {"why": "asked"}}),
        Call("finish", {"exit": "done"}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("say hello", "must be a list"),
        (None, "not nothing"),
        (["hello"], "step 1 must be one of"),
        ([{"say": "a"}, {"say": "b", "hear": "any"}], "step 2 must be one of"),
        ([{"syay": "hello"}], r"unknown key 'syay' \(did you mean 'say'\?\)"),
        ([{"say": ""}], "say needs a text"),
        ([{"hear": "pizza"}], "does not understand speech"),
        ([{"call": "lookup"}], "call must be written"),
        ([{"call": {"tool": "lookup", "args": {}}}], "unknown key 'args'"),
        ([{"call": {"tool": "lookup", "with": "pizza"}}], "'with' is not a mapping"),
        ([{"finish": {"data": {}}}], "finish must be written"),
    ],
)
def test_says_which_step_is_wrong(script: Any, complaint: str) -> None:
    with pytest.raises(VoiceError, match=complaint):
        parse(script)


def test_fills_in_results() -> None:
    result = {"price": 9.0, "tags": ["hot", "new"], "deep": {"name": "Margherita"}}
    assert fill("${result.deep.name} costs ${result.price}, ${ result.tags.1 }.", result) == "Margherita costs 9, new."
    assert fill({"a": "${result.tags}", "b": ["${result.price}"]}, result) == {"a": ["hot", "new"], "b": [9.0]}
    assert fill("nothing: ${result.no.such}${result.tags.7}", result) == "nothing: "
    assert fill("${result}", 7) == 7
    assert fill("${vars.order}", result) == "${vars.order}"
