"""A real text model in a test: asked outside of virtual time, tried again when it is busy, bounded, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from engine.virtual import Outside, OutsideClosed
from providers.parts import Message, TextDone, TextEvent, TextModel, TextPart
from providers.voice import Tool, ToolCall, Usage, VoiceError

ANSWER_WITHIN: Final = 60.0  # real seconds for one answer, with all attempts
PAUSES: Final = (1.0, 4.0, 10.0)  # real seconds before the next attempt, when the model is busy or was cut off
MOST_ANSWERS: Final = 150  # in one call: more is a loop, and money
MOST_CHARACTERS: Final = 10_000  # in one answer: ten minutes of speech


@dataclass(slots=True)
class Spent:
    """What answers cost: their number, and their tokens in the model's units."""

    answers: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, usage: Usage) -> None:
        """One more answer."""
        both = self + Spent(1, usage)
        self.answers, self.usage = both.answers, both.usage

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.answers + other.answers, self.usage + other.usage)

    @property
    def tokens(self) -> tuple[int, int]:
        """What was read, and what was written."""
        return self.usage.input_text + self.usage.input_audio, self.usage.output_text + self.usage.output_audio


class HeldModel:
    """Satisfies `providers.parts.TextModel` under a virtual clock; one for each call, all on the model of ``outside``.

    ``default``: which model is asked for when nobody names one. ``spent`` is shared by all calls of a run.
    """

    def __init__(
        self, outside: Outside, model: TextModel, spent: Spent, default: str | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:  # fmt: skip
        self._outside = outside
        self._model = model
        self._spent = spent
        self._default = default
        self._pauses = pauses
        self._answers = 0

    async def answer(
        self, messages: Sequence[Message], *, model: str | None = None, tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None, most: int | None = None,
    ) -> AsyncIterator[TextEvent]:  # fmt: skip
        """The whole answer, in no virtual time. Raises `VoiceError`, also when this call has asked too often."""
        self._answers += 1
        if self._answers > MOST_ANSWERS:
            raise VoiceError(f"the model was asked {MOST_ANSWERS} times in one call: something loops", code="loop")
        asked = tuple(messages), model or self._default, tuple(tools), schema, most
        try:
            events = await self._outside.run(lambda: self._tried(*asked))
        except OutsideClosed:
            raise VoiceError("the tests were interrupted", code="interrupted") from None
        for event in events:
            yield event

    async def _tried(
        self, messages: Sequence[Message], model: str | None, tools: Sequence[Tool], schema: Mapping[str, Any] | None,
        most: int | None,
    ) -> list[TextEvent]:  # fmt: skip
        """One answer, in real time. An error that may pass (429, a lost connection) is given time to."""
        pauses = iter(self._pauses)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                while True:
                    try:
                        asked = self._model.answer(messages, model=model, tools=tools, schema=schema, most=most)
                        return await self._whole(asked)
                    except VoiceError as error:
                        pause = next(pauses, None) if error.recoverable else None
                        if pause is None:
                            raise
                        await asyncio.sleep(pause)
        except TimeoutError:
            raise VoiceError(f"the model gave no answer within {ANSWER_WITHIN:g} s", code="timeout") from None

    async def _whole(self, asked: AsyncIterator[TextEvent]) -> list[TextEvent]:
        events: list[TextEvent] = []
        try:
            async with aclosing(asked):  # type: ignore[type-var]
                async for event in asked:
                    events.append(event)
                    if isinstance(event, TextDone):
                        self._spent.add(event.usage)
        except VoiceError:
            raise
        except Exception as error:  # a mistake in a provider, perhaps a plugin's: it fails this run alone, and is told
            raise VoiceError(f"the provider failed: {type(error).__name__}: {error}", code="provider") from error
        return events


async def whole_answer(
    model: TextModel,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] = (),
    schema: Mapping[str, Any] | None = None,
) -> tuple[str, tuple[ToolCall, ...]]:
    """What a model says, in one line, and which tools it asks for. Raises `VoiceError`, also when it says too much."""
    text, calls = "", []
    async for event in model.answer(messages, tools=tools, schema=schema):
        if isinstance(event, TextPart):
            text += event.text
        elif isinstance(event, ToolCall):
            calls.append(event)
    if len(text) > MOST_CHARACTERS:
        raise VoiceError(f"the model gave {len(text):,} characters at once: more than anybody says", code="length")
    return " ".join(text.encode(errors="replace").decode().split()), tuple(calls)
