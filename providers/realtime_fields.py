"""Reading and writing the parts of realtime frames. What a provider sends is not trusted to have the right type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.voice import Tool, Usage

Frame = Mapping[str, Any]
MOST = 1e12  # that anything is counted


def text(frame: Frame, key: str) -> str:
    """A field that must be a text. Raises KeyError or TypeError."""
    value = frame[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is {type(value).__name__}")
    return value


def whole(value: Any) -> int:
    """A count, which is 0 when it is none: what a vendor counts wrongly must not cost the event that it came with."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST else 0


def part(frame: Any, key: str) -> Frame:
    """A part of a frame; nothing where there is none."""
    found = frame.get(key) if isinstance(frame, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def tokens(frame: Any, model: str = "") -> Usage:
    """The tokens of a response of this model. What is not told counts nothing."""
    inputs, outputs = part(frame, "input_token_details"), part(frame, "output_token_details")
    return Usage(
        input_text=whole(inputs.get("text_tokens")),
        input_audio=whole(inputs.get("audio_tokens")),
        cached=whole(inputs.get("cached_tokens")),
        output_text=whole(outputs.get("text_tokens")),
        output_audio=whole(outputs.get("audio_tokens")),
        cached_audio=whole(part(inputs, "cached_tokens_details").get("audio_tokens")),
        model=model,
    )


def tool_definitions(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as the dialect writes them."""
    return [
        {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
        for tool in tools
    ]
