"""Reading and writing the parts of realtime frames. What a provider sends is not trusted to have the right type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.voice import Tool, Usage

Frame = Mapping[str, Any]


def text(frame: Frame, key: str) -> str:
    """A field that must be a text. Raises KeyError or TypeError."""
    value = frame[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is {type(value).__name__}")
    return value


def tokens(frame: Frame, model: str = "") -> Usage:
    """The tokens of a response of this model. What is not told counts nothing."""
    inputs = frame.get("input_token_details") or {}
    outputs = frame.get("output_token_details") or {}
    cached = inputs.get("cached_tokens_details") or {}
    return Usage(
        input_text=int(inputs.get("text_tokens") or 0),
        input_audio=int(inputs.get("audio_tokens") or 0),
        cached=int(inputs.get("cached_tokens") or 0),
        output_text=int(outputs.get("text_tokens") or 0),
        output_audio=int(outputs.get("audio_tokens") or 0),
        cached_audio=int(cached.get("audio_tokens") or 0),
        model=model,
    )


def tool_definitions(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as the dialect writes them."""
    return [
        {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
        for tool in tools
    ]
