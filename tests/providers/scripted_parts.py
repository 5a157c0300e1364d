"""Parts of a voice that do what a test says, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from providers.parts import Heard, Message, Said, Speech, TextEvent
from providers.voice import AudioFormat, Tool, UserText, VoiceError

MS_A_CHARACTER = 50

Script = Sequence[TextEvent | asyncio.Event | Exception]  # an Event is waited for


class ScriptedRecogniser:
    def __init__(self, refuses: VoiceError | None = None) -> None:
        self.refuses = refuses
        self.audio = bytearray()
        self.closed = 0
        self._events: asyncio.Queue[Heard | None] = asyncio.Queue()

    async def connect(self) -> None:
        if self.refuses is not None:
            raise self.refuses

    async def events(self) -> AsyncIterator[Heard]:
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        self.audio += audio

    async def finish(self) -> None:
        self._events.put_nowait(None)

    async def close(self) -> None:
        self.closed += 1
        self._events.put_nowait(None)

    def hears(self, *events: Heard | str | None) -> None:
        """These come next; a text stands for a whole turn of the caller, None for the end."""
        for event in events:
            self._events.put_nowait(UserText(event) if isinstance(event, str) else event)


class ScriptedModel:
    """Gives one script after the other; what it was asked stands in ``asked``."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.asked: list[list[Message]] = []
        self.tools: Sequence[Tool] = ()
        self.open = 0

    async def answer(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> AsyncIterator[TextEvent]:
        self.asked.append(list(messages))
        self.tools = tools
        self.open += 1
        try:
            for part in self._scripts.pop(0):
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif isinstance(part, Exception):
                    raise part
                else:
                    yield part
        finally:
            self.open -= 1

    def talk(self, answer: int = -1) -> list[tuple[str, str]]:
        """Who had said what when it was asked, without its instructions."""
        return [(message.role, message.text) for message in self.asked[answer][1:]]


class ScriptedSpeaker:
    """Speaks 50 ms for each character. ``places``: it tells where the words are. ``fails``: what it raises."""

    def __init__(self, *, places: bool = False, fails: VoiceError | None = None) -> None:
        self.places = places
        self.fails = fails
        self.spoken: list[str] = []
        self.open = self.opened = 0

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        self.spoken.append(text)
        return b"\x20" * (len(text) * MS_A_CHARACTER * format.bytes_per_ms)

    async def utter(
        self, texts: AsyncIterator[str], *, voice: str | None, language: str | None, format: AudioFormat
    ) -> AsyncIterator[Speech]:
        self.open += 1
        self.opened += 1
        characters = 0
        try:
            async for text in texts:
                if self.fails is not None:
                    raise self.fails
                characters += len(text)
                yield await self.speak(text, voice=voice, language=language, format=format)
                if self.places:
                    yield Said(characters * MS_A_CHARACTER, characters)
        finally:
            self.open -= 1
