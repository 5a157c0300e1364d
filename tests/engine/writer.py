"""A text model that answers what a test says, and the services that find it under the name ``writer``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from engine.text import Texts
from engine.virtual import VirtualProvider
from engine.voices import Voices
from providers.parts import Message, TextDone, TextEvent, TextPart
from providers.voice import Tool, Usage, VoiceError


class Writer:
    """Satisfies `providers.parts.TextModel`. An answer is a text, a `VoiceError`, or ``(seconds, answer)``."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[list[Message]] = []
        self.options: list[dict[str, Any]] = []
        self.closed = 0

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
        self.options.append({"model": model, "schema": schema, "most": most})
        answer = self.answers.pop(0)
        seconds, answer = answer if isinstance(answer, tuple) else (0.1, answer)
        try:
            await asyncio.sleep(seconds)
            if isinstance(answer, VoiceError):
                raise answer
            for at in range(0, len(answer), 7):
                yield TextPart(answer[at : at + 7])
            yield TextDone(usage=Usage(input_text=10, output_text=3))
        finally:
            self.closed += 1


def texts(writer: Writer, name: str = "writer", model: str | None = None) -> Texts:
    voices = Voices()
    voices.add(name, VirtualProvider(writer=writer))
    return Texts(voices, "writer" if name == "writer" else None, model)
