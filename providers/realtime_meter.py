"""What a realtime session uses, told once: tokens of its answers, transcripts, and for a vendor that charges by the
minute the audio both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from providers.realtime_fields import MOST, Frame, part, tokens
from providers.voice import Usage, Used

REMEMBERED = 16  # answers and transcripts that were counted; the end of one may come twice
MS = 1000


class Meter:
    """Counts one session. ``sent`` and ``received`` are bytes of audio, which whoever moves the audio adds up.

    ``by_the_minute``: the vendor charges for audio and for items that the client adds (xAI), whatever the tokens.
    """

    def __init__(self, model: str, configuration: Frame, bytes_per_ms: int, *, by_the_minute: bool = False) -> None:
        self.sent = 0
        self.received = 0
        self._model = model
        self._transcription_model = _transcription_model(configuration)
        self._bytes_per_ms = bytes_per_ms
        self._by_the_minute = by_the_minute
        self._items = 0
        self._answered: deque[str] = deque(maxlen=REMEMBERED)
        self._transcribed: deque[str] = deque(maxlen=REMEMBERED)

    def item(self, item: Frame) -> None:
        """An item that is added to the conversation. Results of tools are free of charge."""
        if item.get("type") != "function_call_output":
            self._items += 1

    def answer(self, response: str, told: Any) -> Usage | None:
        """What a response used, with the audio since the last. None when it was counted before."""
        if response in self._answered:
            return None
        self._answered.append(response)
        return replace(tokens(told, self._model), **self._audio())

    def transcript(self, item: str, told: Any) -> tuple[Used, ...]:
        """What writing down an utterance used, which is another model's work. A second telling counts nothing."""
        if not isinstance(told, Mapping) or item in self._transcribed:
            return ()
        self._transcribed.append(item)
        outputs = {"text_tokens": told.get("output_tokens")}
        used = tokens({**told, "output_token_details": outputs}, self._transcription_model)
        seconds = told.get("seconds")
        heard = float(seconds) if isinstance(seconds, int | float) and 0 < seconds < MOST else 0.0
        return (Used(replace(used, seconds_heard=heard)),)

    def settle(self) -> Sequence[Usage]:
        """The audio since the last answer."""
        left = self._audio()
        return (Usage(model=self._model, **left),) if any(left.values()) else ()

    def _audio(self) -> dict[str, Any]:
        if not self._by_the_minute:
            return {}
        sent, received, items = self.sent, self.received, self._items
        self.sent = self.received = self._items = 0
        a_second = self._bytes_per_ms * MS
        return {"seconds_heard": sent / a_second, "seconds_spoken": received / a_second, "items": items}


def _transcription_model(configuration: Frame) -> str:
    """The model that writes down what the caller says, wherever the dialect has it."""
    told = part(part(part(configuration, "audio"), "input"), "transcription")
    return str((told or part(configuration, "input_audio_transcription")).get("model") or "")
