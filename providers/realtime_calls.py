"""The tool calls of realtime responses: each response is answered once, when the last result of its calls is in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.realtime_fields import Frame, text
from providers.voice import ToolCall, Warned


@dataclass(slots=True)
class _Together:
    """The calls of one response."""

    open: set[str]
    respond: bool = True


class ToolCalls:
    """What the model asked for and has not been answered."""

    def __init__(self) -> None:
        self._calls: dict[str, _Together] = {}  # call id -> the calls of its response
        self._offered: dict[str, Frame] = {}  # call id -> item, of the response that is under way

    def offer(self, item: Frame) -> None:
        """A call of the response that is under way; the response's end may not list it (xAI)."""
        self._offered[text(item, "call_id")] = item

    def clear_offers(self) -> None:
        """Another response begins."""
        self._offered.clear()

    def of(self, output: Sequence[Frame], *, under_way: bool) -> list[Frame]:
        """The calls of a response that is complete, each once. ``under_way``: what was offered belongs to it."""
        calls = {text(item, "call_id"): item for item in output if item.get("type") == "function_call"}
        if under_way:
            calls = {**self._offered, **calls}
        together = _Together(set(calls))
        self._calls.update(dict.fromkeys(calls, together))
        return list(calls.values())

    def answered(self, call_id: str, *, respond: bool) -> bool | None:
        """Whether the model is to answer now; None when nobody asked for this call."""
        together = self._calls.pop(call_id, None)
        if together is None:
            return None
        together.open.discard(call_id)
        together.respond = together.respond and respond
        return not together.open and together.respond


def asked(calls: Sequence[Frame]) -> tuple[list[ToolCall | Warned], list[str]]:
    """The tools that a response asks for, and the ids of calls whose arguments are no JSON object."""
    events: list[ToolCall | Warned] = []
    refused: list[str] = []
    for call in calls:
        given = _arguments(call)
        if given is not None:
            events.append(ToolCall(call["call_id"], text(call, "name"), given))
        else:
            told = f"the model called '{call['name']}' with arguments that are no JSON object"
            events.append(Warned(told, "arguments"))
            refused.append(call["call_id"])
    return events, refused


def _arguments(call: Frame) -> Mapping[str, Any] | None:
    """The arguments that a model wrote; None when they are no JSON object."""
    try:
        found = json.loads(call.get("arguments") or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
