"""What the SDK's recogniser understood, as the service's own JSON.

The SDK's Python events look up some hundred properties of every result. That takes more time (1.6 ms and more) than all
the rest, several times a second in every call. So results are taken from its C interface, the same for all languages:
`speechapi_c_recognizer.h` and `speechapi_c_result.h` of Microsoft's SDK for C. All other events are rare, and come from
the SDK's Python objects.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any, Literal

JSON_RESULT = 5000  # PropertyId.SpeechServiceResponse_JsonResult
_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Results:
    """A signal of a recogniser, used like the SDK's own: ``recognizing`` (so far) or ``recognized`` (phrases)."""

    def __init__(self, sdk: Any, recogniser: Any, which: Literal["recognizing", "recognized"]) -> None:
        self._library = ctypes.CDLL(sdk.interop.lib_path)  # loaded already; prototypes set here are ours alone
        self._recogniser = ctypes.c_void_p(recogniser._handle.value)
        self._set = getattr(self._library, f"recognizer_{which}_set_callback")
        self._callback: Any = None

    def connect(self, handler: Callable[[dict[str, Any]], None]) -> None:
        """Call ``handler`` with each result, from a thread of the library."""

        def told(_: int, event: int, __: int) -> None:
            text = self._text(ctypes.c_void_p(event))
            if text:
                handler(json.loads(text))

        self._callback = _CALLBACK(told)
        self._set(self._recogniser, self._callback, None)

    def disconnect_all(self) -> None:
        """No more of them."""
        self._set(self._recogniser, None, None)

    def _text(self, event: ctypes.c_void_p) -> bytes:
        """The JSON of an event's result; releases the event."""
        library = self._library
        result, properties = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            if library.recognizer_recognition_event_get_result(event, ctypes.byref(result)):
                return b""
            if library.result_get_property_bag(result, ctypes.byref(properties)):
                return b""
            get = library.property_bag_get_string
            get.restype = ctypes.c_void_p
            text = ctypes.c_void_p(get(properties, JSON_RESULT, None, b""))
            found = ctypes.string_at(text)
            library.property_bag_free_string(text)
            return found
        finally:
            if properties:
                library.property_bag_release(properties)
            if result:
                library.recognizer_result_handle_release(result)
            library.recognizer_event_handle_release(event)


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
