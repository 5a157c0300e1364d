"""How the emulator hears: by loudness, as it counts audio, and one text for each pitch or for each time."""

from __future__ import annotations

import audioop
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from google.cloud.speech_v2.types import cloud_speech as cs

from providers.energy import EnergyDetector
from providers.voice import ALAW, ULAW

PARTIAL_EVERY = 300  # ms of speech
PAUSE = 500  # ms of silence that end a phrase

Texts = Callable[[float], str]  # what somebody says who speaks at so many Hz


def in_turn(texts: Sequence[str]) -> Texts:
    """One after the other, whatever it sounds like; the last one again and again."""
    left = list(texts)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def by_pitch(texts: dict[float, str]) -> Texts:
    """The text whose pitch is nearest."""
    return lambda hz: texts[min(texts, key=lambda pitch: abs(pitch - hz))]


class Stream:
    """One stream: audio in, responses (raw messages) out. Offsets count from its beginning."""

    def __init__(self, config: Any, texts: Texts, *, results: bool = True, events: bool = True) -> None:
        alaw = config.config.explicit_decoding_config.encoding == cs.ExplicitDecodingConfig.AudioEncoding.ALAW
        self._decode = audioop.alaw2lin if alaw else audioop.ulaw2lin
        self._ears = EnergyDetector(ALAW if alaw else ULAW, min_silence_ms=PAUSE)
        self._texts = texts
        self._results, self._events = results, events
        self._began: int | None = None
        self._phrase = bytearray()
        self._told = 0
        self.ms = 0
        self.partial: Any = None  # the last preliminary response

    def feed(self, audio: bytes) -> Iterator[Any]:
        """The responses that this audio brings."""
        for start in range(0, len(audio), 160):
            piece = audio[start : start + 160]
            self.ms += len(piece) // 8
            edges = self._ears.feed(piece)
            if self._began is not None:
                self._phrase += self._decode(piece, 2)
            for edge in edges:
                if edge.speaking:
                    self._began, self._told = self.ms, 0
                    yield from self._event(cs.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_BEGIN)
                else:
                    yield from self._event(cs.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_END)
                    yield from self._final()
            if self._began is not None and self.ms - self._began >= self._told + PARTIAL_EVERY:
                self._told += PARTIAL_EVERY
                yield from self._preliminary()

    def rest(self) -> Iterator[Any]:
        """The client sends no more."""
        if self._began is not None:
            yield from self._final()

    def _event(self, kind: Any) -> Iterator[Any]:
        if self._events:
            offset = timedelta(milliseconds=self.ms)
            yield cs.StreamingRecognizeResponse.pb(
                cs.StreamingRecognizeResponse(speech_event_type=kind, speech_event_offset=offset)
            )

    def _preliminary(self) -> Iterator[Any]:
        if self._results:
            self.partial = self._response("hm", final=False)
            yield self.partial

    def _final(self) -> Iterator[Any]:
        samples = len(self._phrase) // 2
        signs = audioop.cross(bytes(self._phrase), 2)
        self._began = None
        self._phrase.clear()
        if self._results and samples:
            # The silence behind it has no crossings: the pitch of what was said is measured without it.
            spoken = max(samples - PAUSE * 8, 1)
            yield self._response(self._texts(signs / 2 / spoken * 8000), final=True)

    def _response(self, text: str, *, final: bool) -> Any:
        result = cs.StreamingRecognitionResult(
            alternatives=[cs.SpeechRecognitionAlternative(transcript=text, confidence=0.9 if final else 0.0)],
            is_final=final, stability=0.0 if final else 0.5, language_code="en-us",
            result_end_offset=timedelta(milliseconds=self.ms),
        )  # fmt: skip
        return cs.StreamingRecognizeResponse.pb(cs.StreamingRecognizeResponse(results=[result]))
