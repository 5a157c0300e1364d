"""Chat completions without I/O: what is asked (a JSON body) and what comes back (chunks in, events out).

Source: platform.openai.com/docs/api-reference/chat. vLLM, Ollama, llama.cpp's server and most clouds speak it, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.parts import Message, TextDone, TextEvent, TextPart
from providers.voice import Tool, ToolCall, Usage, VoiceError

DONE = "[DONE]"
MAX_CALLS = 64  # tool calls in one answer
CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,60}")  # what may be repeated of a server's error

# What OpenAI's strict mode takes (platform.openai.com/docs/guides/structured-outputs); all else is checked afterwards.
_STRICT_KEYS = frozenset({
    "$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern", "properties",
    "required", "title", "type",
})  # fmt: skip


def request(
    messages: Sequence[Message],
    *,
    model: str,
    tools: Sequence[Tool] = (),
    schema: Mapping[str, Any] | None = None,
    most: int | None = None,
    most_key: str = "max_tokens",
) -> dict[str, Any]:
    """The body of a request for a streamed answer with its usage. ``most_key`` is what the server calls its bound of
    tokens."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if most is not None:
        body[most_key] = most
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name, "description": tool.description, "parameters": dict(tool.parameters),
                },
            }
            for tool in tools
        ]  # fmt: skip
    if schema is not None:
        wanted = {"name": "answer", "schema": dict(schema), "strict": is_strict(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return body


def is_strict(schema: Any) -> bool:
    """Whether a schema keeps the rules under which OpenAI guarantees that an answer fits: known keywords only, a type
    everywhere, and objects that are closed and need all their properties."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _STRICT_KEYS:
        return False
    if "$ref" in schema:
        return len(schema) == 1 and str(schema["$ref"]).startswith("#/$defs/")
    if "type" not in schema and "anyOf" not in schema:
        return False
    properties = schema.get("properties", {})
    if (schema.get("type") == "object" or properties) and (
        schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties)
    ):
        return False
    inner = [*properties.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    if "items" in schema:
        inner.append(schema["items"])
    return all(is_strict(part) for part in inner)


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call, "content": message.text}
    if not message.calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for call in message.calls
    ]
    return {"role": "assistant", "content": message.text or None, "tool_calls": calls}


@dataclass(slots=True)
class _Call:
    """A tool call whose parts are arriving."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Completion:
    """One streamed answer of ``model``: feed it the data of every event; `is_over` says that its end has been told."""

    def __init__(self, model: str = "") -> None:
        self.is_over = False
        self._model = model
        self._calls: dict[int, _Call] = {}
        self._reason: str | None = None
        self._usage = Usage(model=model)

    def feed(self, data: str) -> list[TextEvent]:
        """The events that one piece of data brings. Raises `VoiceError` for an error of the model or of the stream."""
        if data.strip() == DONE:
            return self.end()
        try:
            return list(self._read(json.loads(data)))
        except (ValueError, RecursionError, AttributeError, TypeError):  # it is not of the shape that it should be
            text = "the stream holds something else than chat completions; check base_url"
            raise VoiceError(text, code="format") from None

    def _read(self, chunk: Any) -> Iterator[TextEvent]:
        if error := chunk.get("error"):
            raise _told(error)
        if usage := chunk.get("usage"):
            self._usage = _usage(usage, self._model)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if delta.get("refusal"):
                raise VoiceError("the model refuses to answer this", code="refusal")
            if text := delta.get("content"):
                yield TextPart("" + text)  # what is no text raises
            self._collect(delta.get("tool_calls") or ())
            self._reason = choice.get("finish_reason") or self._reason

    def end(self) -> list[TextEvent]:
        """The stream has ended: the tool calls, then how it ended. Raises `VoiceError` when that is not known."""
        if self.is_over:
            return []
        if self._reason is None:
            raise VoiceError("the answer broke off", code="broken_off", recoverable=True)
        if self._reason == "content_filter":
            raise VoiceError("the provider's content filter stopped the answer", code="content_filter")
        self.is_over = True
        if self._reason == "length":
            return [TextDone("length", self._usage)]
        calls = [_tool_call(self._calls[index]) for index in sorted(self._calls)]
        return [*calls, TextDone("tools" if calls else "stop", self._usage)]

    def _collect(self, deltas: Sequence[Mapping[str, Any]]) -> None:
        """Parts of tool calls, which the server may mix: each names the index of its call."""
        for place, delta in enumerate(deltas):
            index = delta.get("index")
            function = delta.get("function") or {}
            call = self._calls.setdefault(index if isinstance(index, int) else place, _Call())
            if len(self._calls) > MAX_CALLS:
                raise VoiceError(f"the model asks for more than {MAX_CALLS} tools at once", code="format")
            call.id = delta.get("id") or call.id
            call.name = function.get("name") or call.name
            call.arguments += function.get("arguments") or ""


def _told(error: Any) -> VoiceError:
    """An error in the middle of the stream. Its words are not repeated: they may hold what was asked."""
    given = (error.get("code"), error.get("type")) if isinstance(error, Mapping) else ()
    code = next((word for word in given if isinstance(word, str) and CODE.fullmatch(word)), "server_error")
    return VoiceError("the model failed while it answered", code=code, recoverable=True)


def _tool_call(call: _Call) -> ToolCall:
    try:
        arguments = json.loads(call.arguments) if call.arguments.strip() else {}
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict) or not call.name:
        raise VoiceError(f"the model calls the tool {call.name!r} with arguments that are no JSON", code="format")
    return ToolCall(call.id, call.name, arguments)


def _usage(usage: Mapping[str, Any], model: str) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        input_text=int(usage.get("prompt_tokens") or 0),
        cached=int(details.get("cached_tokens") or 0),
        output_text=int(usage.get("completion_tokens") or 0),
        model=model,
    )
