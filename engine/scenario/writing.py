"""A text model that answers what a test says, for `extract`, briefs and summaries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.extraction import MISSING, found
from engine.scenario.fields import WrittenFields
from flows.json_schema import plain
from providers.parts import Message, TextDone, TextEvent, TextModel, TextPart
from providers.voice import Tool, VoiceError

SHOWN = 80  # characters of what was asked, in a report


@dataclass(frozen=True, slots=True)
class Asked:
    """What the model was asked to read, ``at`` seconds after the call came. ``answer``: in words, for the report."""

    at: float
    text: str
    answer: str
    is_mocked: bool


class Writer:
    """Satisfies `providers.parts.TextModel`: the first answer that fits what it is asked, or that of ``otherwise``."""

    def __init__(
        self, answers: Sequence[WrittenFields], happened: Callable[[], None], otherwise: TextModel | None = None
    ) -> None:
        self.asked: list[Asked] = []
        self._answers = [(answer, [answer.times]) for answer in answers]
        self._happened = happened
        self._otherwise = otherwise
        self._began = asyncio.get_running_loop().time()

    async def answer(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> AsyncIterator[TextEvent]:
        """A question that no answer fits has failed, and the test with it."""
        answer = self._next("\n".join(message.text for message in messages))
        if answer is None and self._otherwise is not None:
            real = self._otherwise.answer(messages, model=model, tools=tools, schema=schema, most=most)
            async for event in real:
                yield event
            return
        text = None if answer is None else _text(answer, schema)
        read = messages[1].text if len(messages) > 1 else messages[0].text
        short = read if len(read) <= SHOWN else f"{read[: SHOWN - 1]}…"
        words = "no answer in `mocks`" if answer is None else "fails" if text is None else text
        at = asyncio.get_running_loop().time() - self._began
        self.asked.append(Asked(at, short, words, answer is not None))
        self._happened()
        if answer is None:
            raise VoiceError(f"the test has no answer in mocks.text for {short}", code="test")
        await asyncio.sleep(answer.delay)
        if text is None:
            raise VoiceError("the test says that the text model fails", code="test")
        yield TextPart(text)
        yield TextDone()

    def _next(self, asked: str) -> WrittenFields | None:
        for answer, left in self._answers:
            if left[0] != 0 and (answer.match is None or answer.match.fit(asked)):
                if left[0] is not None:
                    left[0] -= 1
                return answer
        return None


def _text(answer: WrittenFields, schema: Mapping[str, Any] | None) -> str | None:
    """The answer as the model writes it, None when it fails. ``json`` is the data, which `extract` wants wrapped."""
    if answer.fails:
        return None
    if answer.not_found:
        return MISSING
    if answer.answer is not None:
        return answer.answer
    value = plain(answer.json_)
    return json.dumps(value, ensure_ascii=False) if schema is None else found(value)
