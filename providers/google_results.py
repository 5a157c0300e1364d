"""What Google's recogniser tells, as events: sans-IO, on the vendor's own types.

Places are milliseconds of all the audio of one stretch of listening, however many streams carry it; Google counts from
the beginning of each stream. Texts may come late or twice, and a stream that replaces another hears some audio again.
"""

from __future__ import annotations

from google.cloud.speech_v2.types.cloud_speech import StreamingRecognitionResult, StreamingRecognizeResponse

from providers.parts import Heard
from providers.voice import SpeechStarted, SpeechStopped, UserText

QUIET_KEPT = 2000  # ms of silence that another stream hears again: a word may have begun in it

_Event = StreamingRecognizeResponse.SpeechEventType


class Results:
    """One stretch of listening."""

    def __init__(self) -> None:
        self.settled = 0  # everything before is written, or was silence
        self.open = False  # somebody speaks, and it is not written yet
        self._partial = False  # this stream has told some of it
        self._speaking = False
        self._begins = 0  # where the stream begins
        self._written = -1  # where the last final text ends
        self._number = 0  # of final texts

    def stream(self, begins: int) -> None:
        """Another stream begins here. What is open stays so: it hears that from its beginning."""
        self._begins = begins
        self._partial = False

    def sent(self, upto: int) -> None:
        """Audio was sent up to here."""
        if not self.open:
            self.settled = max(self.settled, upto - QUIET_KEPT)

    def take(self, response: StreamingRecognizeResponse) -> list[Heard]:
        """The events in one response."""
        events: list[Heard] = []
        kind = response.speech_event_type
        if kind in (_Event.SPEECH_ACTIVITY_BEGIN, _Event.SPEECH_ACTIVITY_END):
            begins = kind == _Event.SPEECH_ACTIVITY_BEGIN
            self.open = begins or self._partial
            if begins != self._speaking:
                self._speaking = begins
                events.append(SpeechStarted() if begins else SpeechStopped())
        partial = ""
        for result in response.results:
            end = self._end(result)
            if not result.alternatives or (end is not None and end <= self._written):
                continue  # late, or once more
            best = result.alternatives[0]
            if result.is_final:
                sure = round(best.confidence, 3) or None  # 0: not told
                events.append(UserText(best.transcript.strip(), item=self._item(), confidence=sure))
                self._final(end)
            else:
                partial += best.transcript
        if partial.strip():
            self.open = self._partial = True
            events.append(UserText(partial.strip(), final=False, item=self._item()))
        return events

    def _final(self, end: int | None) -> None:
        self._number += 1
        self.open = self._partial = False
        if end is not None:
            self._written = end
            self.settled = max(self.settled, end)

    def _item(self) -> str:
        return f"speech_{self._number + 1}"

    def _end(self, result: StreamingRecognitionResult) -> int | None:
        """Where it ends; None when Google does not tell."""
        ms = round(result.result_end_offset.total_seconds() * 1000)
        return self._begins + ms if ms else None
