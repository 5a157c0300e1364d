"""Chat completions without a network: what is asked, and how chunks become an answer."""

import contextlib
import json
import random
from typing import Any

import pytest

from providers.completion import Completion, is_strict, request
from providers.parts import Message, TextDone, TextPart
from providers.voice import Tool, ToolCall, VoiceError

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def test_a_conversation_with_tools() -> None:
    call = ToolCall("c1", "price", {"dish": "pizza ü"})
    body = request(
        [
            Message("system", "Be brief."), Message("user", "How much?"), Message("assistant", "", calls=(call,)),
            Message("tool", '{"price": 9}', call="c1"),
        ],
        model="m", tools=[Tool("price", "What it costs.", {"type": "object"})], most=10,
    )  # fmt: skip
    assert body["messages"][2] == {
        "role": "assistant", "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "price", "arguments": '{"dish": "pizza ü"}'}}
        ],
    }  # fmt: skip
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": '{"price": 9}'}
    assert body["max_tokens"] == 10
    assert body["tools"][0]["function"]["name"] == "price"


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({"type": "string"}, True),
        ({"type": "array", "items": CLOSED}, True),
        ({"anyOf": [CLOSED, {"type": "null"}]}, True),
        ({"$ref": "#/$defs/a"}, True),
        ({"$ref": "#/$defs/a", "description": "x"}, False),
        ({"$ref": "#"}, False),
        ({"enum": ["a", "b"]}, False),  # a type is missing
        ({**CLOSED, "required": []}, False),  # a property that may be missing
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, False),  # open
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"type": "string", "minLength": 3}, False),  # a keyword that strict mode refuses
        ({"oneOf": [{"type": "string"}]}, False),
        ({}, False),
        (True, False),
    ],
)
def test_what_strict_mode_takes(schema: Any, strict: bool) -> None:
    assert is_strict(schema) is strict


def test_parallel_calls_whose_parts_are_mixed() -> None:
    completion = Completion()
    deltas = [
        {"index": 1, "id": "b", "function": {"name": "two", "arguments": ""}},
        {"index": 0, "id": "a", "function": {"name": "one", "arguments": '{"x":'}},
        {"index": 1, "function": {"arguments": '{"y": 2}'}},
        {"index": 0, "function": {"arguments": " 1}"}},
    ]
    for delta in deltas:
        assert (completion.feed(chunk({"tool_calls": [delta]}))) == []
    assert (completion.feed(chunk({}, "tool_calls"))) == []
    assert (completion.feed("[DONE]")) == [
        ToolCall("a", "one", {"x": 1}), ToolCall("b", "two", {"y": 2}), TextDone("tools"),
    ]  # fmt: skip
    assert completion.is_over


def test_a_call_without_arguments() -> None:
    completion = Completion()
    (completion.feed(chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "now"}}]}, "stop")))
    assert completion.end() == [ToolCall("a", "now", {}), TextDone("tools")]


def test_an_answer_that_was_cut_off_calls_nothing() -> None:
    completion = Completion()
    call = {"index": 0, "id": "a", "function": {"name": "one", "arguments": '{"x":'}}
    (completion.feed(chunk({"tool_calls": [call]}, "length")))
    assert completion.end() == [TextDone("length")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ('{"choices": [', "format"),
        ("[1]", "format"),
        ('{"choices": 3}', "format"),
        ('{"choices": [null]}', "format"),
        ('{"choices": [{"delta": "Hello"}]}', "format"),
        ('{"choices": [{"delta": {"content": ["Hello"]}}]}', "format"),
        ('{"choices": [{"delta": {"tool_calls": [3]}}]}', "format"),
        ('{"choices": [{"delta": {"tool_calls": [{"function": {"arguments": {"x": 1}}}]}}]}', "format"),
        ('{"choices": [], "usage": {"prompt_tokens": "many"}}', "format"),
        ('{"choices": [], "usage": [1]}', "format"),
        ("[" * 100_000, "format"),
        (chunk({"refusal": "I will not."}), "refusal"),
        ('{"error": {"message": "secret words", "code": "engine_dead"}}', "engine_dead"),
        ('{"error": "secret words"}', "server_error"),
        ('{"error": {"code": "secret words", "type": "overloaded"}}', "overloaded"),
        ('{"error": {"code": 500}}', "server_error"),
    ],
)
def test_what_is_no_answer(data: str, code: str) -> None:
    with pytest.raises(VoiceError) as raised:
        (Completion().feed(data))
    assert raised.value.code == code
    assert "secret words" not in str(raised.value)


@pytest.mark.parametrize(("arguments", "name"), [("{", "one"), ("[1]", "one"), ("{}", "")])
def test_calls_that_make_no_sense(arguments: str, name: str) -> None:
    completion = Completion()
    call = {"index": 0, "id": "a", "function": {"name": name, "arguments": arguments}}
    (completion.feed(chunk({"tool_calls": [call]}, "tool_calls")))
    with pytest.raises(VoiceError, match="no JSON"):
        completion.end()


def test_more_calls_than_anybody_needs() -> None:
    calls = [{"index": index, "id": str(index)} for index in range(65)]
    assert (Completion().feed(chunk({"tool_calls": calls[:64]}))) == []
    with pytest.raises(VoiceError, match="more than 64 tools"):
        (Completion().feed(chunk({"tool_calls": calls})))


def test_whatever_comes_is_an_answer_or_an_error_of_ours() -> None:
    dice = random.Random(11)
    whole = chunk({"content": "Hi", "tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{}"}}]}, "stop")
    bits = ("null", "3", "[]", "{}", '""', "true", '"', ",", "")
    for _ in range(3000):
        start = dice.randrange(len(whole))
        text = whole[:start] + dice.choice(bits) + whole[start + dice.randrange(12) :]
        completion = Completion()
        with contextlib.suppress(VoiceError):
            completion.feed(text)
            completion.feed("[DONE]")


def test_an_end_that_was_not_told() -> None:
    completion = Completion()
    assert (completion.feed(chunk({"content": "Hel"}))) == [TextPart("Hel")]
    with pytest.raises(VoiceError, match="broke off"):
        completion.end()


def test_the_content_filter() -> None:
    completion = Completion()
    (completion.feed(chunk({"content": "Hel"}, "content_filter")))
    with pytest.raises(VoiceError, match="content filter"):
        completion.end()
