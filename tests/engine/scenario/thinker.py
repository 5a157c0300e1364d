"""A text model that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.scenario import Result, Scenario, run_scenario
from engine.scenario.model import HeldModel, Spent
from engine.virtual import Outside
from providers.parts import Message, TextDone, TextEvent, TextPart
from providers.voice import Tool, ToolCall, Usage, VoiceError
from tests.engine.scenario.folder import HEAD, MOCKS, read

Answer = str | VoiceError | tuple[str, Mapping[str, Any]] | Sequence["Answer"]
"""Words, an error, a tool with its arguments, or several of them."""


@dataclass
class Asked:
    """One question."""

    messages: list[Message]
    tools: Sequence[Tool]
    schema: Mapping[str, Any] | None
    model: str | None

    @property
    def latest(self) -> str:
        """The last words."""
        return self.messages[-1].text


@dataclass
class Thinker:
    """Satisfies `providers.parts.TextModel`. ``answers``: in turn, or a function of what is asked."""

    answers: Sequence[Answer] | Callable[[Asked], Answer]
    seconds: float = 0.0  # real
    asked: list[Asked] = field(default_factory=list)
    cancelled: int = 0

    def __post_init__(self) -> None:
        self._next = iter(self.answers) if not callable(self.answers) else itertools.repeat(None)

    async def answer(
        self, messages: Sequence[Message], *, model: str | None = None, tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None, most: int | None = None,
    ) -> AsyncIterator[TextEvent]:  # fmt: skip
        self.asked.append(Asked(list(messages), tools, schema, model))
        answer = self.answers(self.asked[-1]) if callable(self.answers) else next(self._next)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        calls = False
        for part in answer if isinstance(answer, list) else [answer]:
            if isinstance(part, VoiceError):
                raise part
            if isinstance(part, tuple):
                calls = True
                yield ToolCall("call_0", *part)  # the same id again and again, as some models do
            else:
                for word in part.split(" "):
                    yield TextPart(f"{word} ")
        yield TextDone("tools" if calls else "stop", Usage(input_text=100, output_text=10))


BUSY = VoiceError("429: too many requests", code="rate_limit", recoverable=True)
TO_TALK = '  - press: "1"\n'


async def played(
    scenario: Scenario, model: Thinker, pauses: Sequence[float] = (0.0, 0.0), spent: Spent | None = None
) -> Result:
    """One run with this model."""
    held = HeldModel(Outside(), model, spent or Spent(), pauses=pauses)
    return await asyncio.to_thread(run_scenario, scenario, held)


async def talk(folder: Path, script: str, model: Thinker, **more: Any) -> Result:
    """One run of a script in which the caller has come to the AI."""
    text = HEAD + MOCKS + "script:\n" + TO_TALK + script
    return await played(read(folder, text)[0], model, **more)
