"""Events of the SDK's native objects, taken from its C interface (`speechapi_c_synthesizer.h`, `speechapi_c_result.h`
and others of Microsoft's SDK for C), which is the same for all languages. Used like the SDK's own signals.

The SDK's Python events cost 0.1 ms each, some twenty a second in every call, and each of their ten calls lets go of
Python's lock and wants it again. Here an event is read under one hold of the lock, handed over, and only then released.
With fifty conversations that alone makes the 99th percentile of texts 23 ms instead of 29, of audio 16 instead of 21,
of the event loop's lateness 3 instead of 6 (medians of four pairs of runs in turns, `CDLL` for `PyDLL`). What sets a
callback or releases an event may wait for a thread that wants the lock: that is never called with it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Told = TypeVar("Told")
Pointer = ctypes.c_void_p
TICKS_PER_MS = 10_000
_CALLBACK = ctypes.CFUNCTYPE(None, Pointer, Pointer, Pointer)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text that is being spoken ends at ``at_ms`` of its audio."""

    text: str
    at_ms: int


class Signal(Generic[Told]):
    """One kind of event of one native object. ``kind`` as the C interface spells it: ``synthesizer_started``."""

    def __init__(self, sdk: Any, owner: Any, kind: str, release: str) -> None:
        self.reading = ctypes.PyDLL(sdk.interop.lib_path)  # loaded already; keeps Python's lock
        self.library = ctypes.CDLL(sdk.interop.lib_path)  # lets go of it; prototypes set in either are ours alone
        self._owner = Pointer(owner._handle.value)
        self._set = getattr(self.library, f"{kind}_set_callback")
        self._release = getattr(self.library, release)
        self._callback: Any = None

    def read(self, event: Pointer) -> Told | None:
        """What the event tells, if anything; for each kind in its own way."""
        raise NotImplementedError

    def connect(self, handler: Callable[[Told], None]) -> None:
        """Call ``handler`` with what each event tells, from a thread of the library."""

        def happened(_: int, handle: int, __: int) -> None:
            event = Pointer(handle)
            try:
                if (told := self.read(event)) is not None:
                    handler(told)
            finally:
                self._release(event)

        self._callback = _CALLBACK(happened)
        self._set(self._owner, self._callback, None)

    def disconnect_all(self) -> None:
        """No more of them."""
        self._set(self._owner, None, None)

    def string(self, text: int | None) -> bytes:
        """A string that the library made for us, and is to free."""
        if not text:
            return b""
        found = ctypes.string_at(text)
        self.reading.property_bag_free_string(Pointer(text))
        return found


class Sounds(Signal[bytes]):
    """Pieces of what a synthesiser speaks, as they come."""

    def __init__(self, sdk: Any, synthesiser: Any) -> None:
        super().__init__(sdk, synthesiser, "synthesizer_synthesizing", "synthesizer_event_handle_release")

    def read(self, event: Pointer) -> bytes | None:
        """The audio."""
        library, result = self.reading, Pointer()
        if library.synthesizer_synthesis_event_get_result(event, ctypes.byref(result)):
            return None
        try:
            length, duration, filled = ctypes.c_uint32(), ctypes.c_uint64(), ctypes.c_uint32()
            library.synth_result_get_audio_length_duration(result, ctypes.byref(length), ctypes.byref(duration))
            audio = ctypes.create_string_buffer(length.value)
            library.synth_result_get_audio_data(result, audio, length, ctypes.byref(filled))
            return audio.raw[: filled.value] or None
        finally:
            library.synthesizer_result_handle_release(result)


class Words(Signal[Word]):
    """Where its words are in the sound, told ahead of it."""

    def __init__(self, sdk: Any, synthesiser: Any) -> None:
        super().__init__(sdk, synthesiser, "synthesizer_word_boundary", "synthesizer_event_handle_release")
        self.reading.synthesizer_event_get_text.restype = Pointer

    def read(self, event: Pointer) -> Word | None:
        """The word."""
        offset, duration = ctypes.c_uint64(), ctypes.c_uint64()
        place, length, kind = ctypes.c_uint32(), ctypes.c_uint32(), ctypes.c_int()
        if self.reading.synthesizer_word_boundary_event_get_values(
            event, ctypes.byref(offset), ctypes.byref(duration), ctypes.byref(place), ctypes.byref(length),
            ctypes.byref(kind),
        ):  # fmt: skip
            return None
        text = self.string(self.reading.synthesizer_event_get_text(event)).decode(errors="replace")
        return Word(text, offset.value // TICKS_PER_MS + round(duration.value / TICKS_PER_MS))
