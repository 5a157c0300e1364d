"""The judge: requests and chunks are checked against the types of the vendor's own package."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config


@cache
def _adapters() -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    closed = with_config(ConfigDict(extra="forbid"))(CompletionCreateParamsStreaming)
    return TypeAdapter(closed), TypeAdapter(ChatCompletionChunk)


class Oracle:
    """Collects what the vendor's types refuse; `problems` must be empty at the end of a test."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.checked = 0

    def request(self, body: dict[str, Any]) -> None:
        """What a client sends. (In the types, ``messages`` and ``tools`` are lazy iterables: they are read out.)"""
        self._check(_adapters()[0], "request", body, lists=("messages", "tools"))

    def chunk(self, body: dict[str, Any]) -> None:
        self._check(_adapters()[1], "chunk", body)

    def _check(self, adapter: TypeAdapter[Any], side: str, body: dict[str, Any], lists: tuple[str, ...] = ()) -> None:
        self.checked += 1
        try:
            taken = adapter.validate_python(body)
            for name in lists:
                for part in taken.get(name) or ():
                    list(part.get("tool_calls") or ())
        except ValidationError as error:
            self.problems += [f"{side} {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
