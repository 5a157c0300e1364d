"""A recogniser over a realtime websocket: no model answers, what the caller says is written down.

The dialect is that of `providers.realtime`, with a session of type ``transcription``. Source: the vendor's guide
(platform.openai.com/docs/guides/realtime-transcription).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ClassVar

from aiohttp import ClientSession

from providers.parts import Heard
from providers.realtime import Events, Realtime
from providers.realtime_errors import used_up
from providers.realtime_fields import Frame, text
from providers.realtime_socket import RealtimeConnection
from providers.voice import AudioFormat, Failed, Session, SpeechStarted, SpeechStopped, Used, UserText, Warned

NOTHING_TO_COMMIT = "input_audio_buffer_commit_empty"
TEXT_WITHIN = 15.0  # seconds from the end of speech to its text
SILENCE_MS = 1000  # behind the last audio: longer than the pause by which the provider knows the end of speech
SILENCES = {"ulaw": b"\xff", "alaw": b"\xd5", "pcm16": b"\x00\x00"}  # one sample


class Transcription(Realtime):
    """The dialect of a session that only listens. ``expecting``: a text is owed."""

    def __init__(self, format: AudioFormat, configuration: Frame, *, secret: str = "") -> None:
        super().__init__(Session(format=format), configuration, secret=secret)
        self._speaking: str | None = None  # the item that the caller is saying
        self._owed: set[str] = set()  # items whose text has not come
        self._finishing = self._committed = False

    def finish(self) -> None:
        """Have the provider write what it has heard and not yet written; `over` when that is done."""
        self._finishing = True
        self._send("input_audio_buffer.commit")

    def _begins(self, event: Frame) -> Events:
        self._speaking = text(event, "item_id")
        self._owed.add(self._speaking)
        return (SpeechStarted(),)

    def _ends(self, event: Frame) -> Events:
        self._speaking = None
        self.expecting = True
        return (SpeechStopped(),)

    def _taken(self, event: Frame) -> Events:
        """Audio became an item: because speech ended, or because we asked for it at the end."""
        item = text(event, "item_id")
        if self._finishing and (item == self._speaking or item not in self._owed):
            self._committed = True
        self._end_if_done()
        return ()

    def _written(self, event: Frame) -> Events:
        item = text(event, "item_id")
        if item not in self._owed:
            self._end_if_done()
            # The silence behind the last word, which some models take for words, and charge for.
            return self._meter.transcript(item, event.get("usage"))
        events = self._user_completed(event)
        self._settle(item)
        return events

    def _not_written(self, event: Frame) -> Events:
        self._settle(text(event, "item_id"))
        message = self._clean(str((event.get("error") or {}).get("message") or "the provider gave no reason"))
        return (Failed(f"what the caller said could not be written: {message}", "transcription", recoverable=True),)

    def _settle(self, item: str) -> None:
        self._owed.discard(item)
        self.expecting = bool(self._owed - {self._speaking})
        self._end_if_done()

    def _refused(self, event: Frame) -> Events:
        if event["error"].get("code") == NOTHING_TO_COMMIT and self._finishing:
            self._committed = True
            self._end_if_done()
        return self._error(event)

    def _end_if_done(self) -> None:
        if self._committed and not self._owed:
            self.over = True

    _handlers: ClassVar[Mapping[str, Callable[[Any, Frame], Events]]] = {
        "input_audio_buffer.speech_started": _begins,
        "input_audio_buffer.speech_stopped": _ends,
        "input_audio_buffer.committed": _taken,
        "conversation.item.input_audio_transcription.delta": Realtime._user_delta,
        "conversation.item.input_audio_transcription.completed": _written,
        "conversation.item.input_audio_transcription.failed": _not_written,
        "rate_limits.updated": lambda _, event: used_up(event),
        "session.created": Realtime._session_created,
        "session.updated": Realtime._session_updated,
        "error": _refused,
    }


class RealtimeRecogniser(RealtimeConnection):
    """One stretch of listening. See `providers.parts.Recogniser` for what the methods promise."""

    def __init__(
        self,
        name: str,
        http: Callable[[], ClientSession],
        url: str,
        headers: Mapping[str, str],
        format: AudioFormat,
        configuration: Frame,
        *,
        secret: str,
    ) -> None:
        self._transcription = Transcription(format, configuration, secret=secret)
        super().__init__(name, http, url, headers, self._transcription, answer_timeout=TEXT_WITHIN)
        self._silence = SILENCES[format.encoding] * (SILENCE_MS * format.rate // 1000)

    async def events(self) -> AsyncIterator[Heard]:
        """What is heard, until the session ends, `close`, or all was written after `finish`."""
        async for event in super().events():
            if isinstance(event, SpeechStarted | SpeechStopped | UserText | Used | Failed):
                yield event
            elif isinstance(event, Warned) and event.code == "backlog":  # some of it was never heard
                yield Failed(event.message, event.code, recoverable=True)

    async def finish(self) -> None:
        """No more audio comes. The silence lets the provider hear the end of the last word."""
        await self.send_audio(self._silence)
        self._transcription.finish()
        await self._flush()
