"""Text models: what `extract`, the brief of a hand-off and the judge of a test ask in writing, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from engine.voices import Voices
from providers.parts import Message, TextDone, TextPart
from providers.voice import VoiceError

ANSWER_WITHIN = 20.0  # seconds for a whole answer


class Texts:
    """The text model that the settings name (``text.provider``), or the flow (``defaults: {text_model: …}``)."""

    def __init__(self, voices: Voices, provider: str | None = None, model: str | None = None) -> None:
        self._voices = voices
        self._provider = provider
        self._model = model

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        most: int | None = None,
        provider: str | None = None,
        within: float = ANSWER_WITHIN,
    ) -> str:
        """The whole answer. Raises `VoiceError`, also when it was cut off or took longer than ``within`` seconds."""
        name = provider or self._provider
        if name is None:
            raise VoiceError("no text model is set: name one in text.provider", code="no_text_model")
        model = self._voices.get(name).text_model()
        if model is None:
            raise VoiceError(f"the provider {name!r} has no text model; set text.provider to one that has")
        parts: list[str] = []
        try:
            async with asyncio.timeout(within):
                async for event in model.answer(messages, model=self._model, schema=schema, most=most):
                    if isinstance(event, TextPart):
                        parts.append(event.text)
                    elif isinstance(event, TextDone) and event.reason == "length":
                        raise VoiceError(f"the text model of {name!r} was cut off; allow it more tokens", code="length")
        except TimeoutError:
            raise VoiceError(f"the text model of {name!r} took over {within:g} s", code="timeout") from None
        return "".join(parts)
