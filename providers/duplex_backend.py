"""What the vendor's own text model does behind a Live session (delegation to ``responses``): its calls of our tools.

Its events are those of the Responses API, each inside of a ``response.event`` that names the delegation.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence

from providers.realtime_calls import ToolCalls
from providers.realtime_fields import Frame, part, text, whole
from providers.voice import ToolCall, TurnDone, Usage, VoiceEvent

REMEMBERED = 16  # responses that were counted; the end of one may come twice


class BackendCalls:
    """The calls of all delegations of a session. Each response is answered once, when all its results are in.

    ``refuse(call_id, why)`` is told of a call that nobody can carry out. ``model`` is whose tokens are counted.
    """

    def __init__(self, refuse: Callable[[str, str], None], model: str = "") -> None:
        self._refuse = refuse
        self._model = model
        self._counted: deque[str] = deque(maxlen=REMEMBERED)
        self._of: dict[str, ToolCalls] = {}  # delegation -> its calls
        self._spent = Usage()

    def receive(self, delegation: str, event: Frame) -> Sequence[VoiceEvent]:
        """The events in one event of the Responses API. Raises KeyError or TypeError when it makes no sense."""
        calls = self._of.setdefault(delegation, ToolCalls())
        match event["type"]:
            case "response.created":
                calls.clear_offers()
            case "response.output_item.done" if event["item"]["type"] == "function_call":
                calls.offer(event["item"])
            case "response.completed":
                self._count(event["response"])
                return [call for item in calls.of([], under_way=True) if (call := self._call(item))]
            case "response.failed" | "response.incomplete":
                calls.clear_offers()
                self._count(event["response"])
                error = event["response"].get("error") or event["response"].get("incomplete_details") or {}
                why = str(error.get("message") or error.get("reason") or error.get("code") or "no reason was given")
                return (TurnDone("failed", detail=f"the work behind the voice failed: {why}"),)
        return ()

    def _call(self, item: Frame) -> ToolCall | None:
        try:
            given = json.loads(item.get("arguments") or "{}")
        except ValueError:
            given = None
        if not isinstance(given, dict):
            self._refuse(text(item, "call_id"), "The arguments are no JSON object.")
            return None
        return ToolCall(text(item, "call_id"), text(item, "name"), given)

    def _count(self, response: Frame) -> None:
        """What a response used, once."""
        if isinstance(id := response.get("id"), str):
            if id in self._counted:
                return
            self._counted.append(id)
        usage = part(response, "usage")
        self._spent += Usage(
            input_text=whole(usage.get("input_tokens")),
            cached=whole(part(usage, "input_tokens_details").get("cached_tokens")),
            output_text=whole(usage.get("output_tokens")),
            model=self._model,
        )

    def take_usage(self) -> Usage:
        """What was used since this was asked last."""
        spent, self._spent = self._spent, Usage()
        return spent

    def answered(self, call_id: str, *, respond: bool) -> bool | None:
        """Whether the text model is to go on now; None when it made no such call."""
        for calls in self._of.values():
            if (answer := calls.answered(call_id, respond=respond)) is not None:
                return answer
        return None
