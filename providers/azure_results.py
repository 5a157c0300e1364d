"""What the SDK's recogniser understood, as the service's own JSON.

The SDK's Python events look up some hundred properties of every result. That takes more time (1.6 ms and more) than all
the rest, several times a second in every call. So results come by `providers.azure_events`.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any, Literal

from providers.azure_events import Pointer, Signal

JSON_RESULT = 5000  # PropertyId.SpeechServiceResponse_JsonResult


class Results(Signal[dict[str, Any]]):
    """``recognizing`` (so far) or ``recognized`` (phrases)."""

    def __init__(self, sdk: Any, recogniser: Any, which: Literal["recognizing", "recognized"]) -> None:
        super().__init__(sdk, recogniser, f"recognizer_{which}", "recognizer_event_handle_release")
        self.reading.property_bag_get_string.restype = Pointer

    def read(self, event: Pointer) -> dict[str, Any] | None:
        """The JSON of an event's result."""
        library, result, properties = self.reading, Pointer(), Pointer()
        if library.recognizer_recognition_event_get_result(event, ctypes.byref(result)):
            return None
        try:
            if library.result_get_property_bag(result, ctypes.byref(properties)):
                return None
            text = self.string(library.property_bag_get_string(properties, JSON_RESULT, None, b""))
            return json.loads(text) if text else None
        finally:
            if properties:
                library.property_bag_release(properties)
            library.recognizer_result_handle_release(result)


def wording(result: dict[str, Any]) -> str:
    """What was said: of a phrase as it is written, of one that is not over as far as it is understood."""
    return str(result.get("DisplayText") or _best(result).get("Display") or result.get("Text") or "")


def confidence(result: dict[str, Any]) -> float | None:
    """How sure the service is of a phrase, 0..1; None when it does not say."""
    found = _best(result).get("Confidence")
    return float(found) if isinstance(found, int | float) else None


def _best(result: dict[str, Any]) -> dict[str, Any]:
    """The likeliest of the service's readings."""
    readings = result.get("NBest") or [{}]
    best: dict[str, Any] = readings[0]
    return best
