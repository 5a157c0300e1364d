"""What the vendor's own text model does behind a Live session (delegation to ``responses``): its calls of our tools.

Its events are those of the Responses API, each inside of a ``response.event`` that names the delegation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from providers.realtime_calls import ToolCalls, asked
from providers.realtime_fields import Frame
from providers.voice import TurnDone, Usage, VoiceEvent


class BackendCalls:
    """The calls of all delegations of a session. Each response is answered once, when all its results are in.

    ``refuse(call_id, why)`` is told of a call that nobody can carry out.
    """

    def __init__(self, refuse: Callable[[str, str], None]) -> None:
        self._refuse = refuse
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
                self._count(event["response"].get("usage") or {})
                found, refused = asked(calls.of([], under_way=True))
                for call_id in refused:
                    self._refuse(call_id, "The arguments are no JSON object.")
                return found
            case "response.failed" | "response.incomplete":
                calls.clear_offers()
                error = event["response"].get("error") or event["response"].get("incomplete_details") or {}
                why = str(error.get("message") or error.get("reason") or error.get("code") or "no reason was given")
                return (TurnDone("failed", detail=f"the work behind the voice failed: {why}"),)
        return ()

    def _count(self, usage: Frame) -> None:
        details = usage.get("input_tokens_details") or {}
        self._spent = Usage(
            input_text=self._spent.input_text + int(usage.get("input_tokens") or 0),
            cached=self._spent.cached + int(details.get("cached_tokens") or 0),
            output_text=self._spent.output_text + int(usage.get("output_tokens") or 0),
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
