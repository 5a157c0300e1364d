"""Text models: what `extract`, the brief of a hand-off and the judge of a test ask in writing, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from engine.discretion import is_secret, outline_of_answer
from engine.record import Written
from engine.voices import Voices
from engine.written import talkers
from providers.parts import Message, TextDone, TextEvent, TextPart
from providers.voice import Usage, VoiceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from engine.call import Call
    from flows.flow import Step

ANSWER_WITHIN = 20.0  # seconds for a whole answer


class Texts:
    """The text model that the settings name (``text``), or the flow (``defaults: {text_model: …}``)."""

    def __init__(self, voices: Voices, provider: str | None = None, model: str | None = None) -> None:
        self._voices = voices
        self.provider = provider  # who writes when a flow names nobody
        self._model = model

    def of(self, voices: Iterable[str]) -> str | None:
        """The first of these voices that has a text model, when nobody else writes; `complete` tells why one that
        cannot be made does not.
        """
        return next((name for name in voices if self._writes(name)), None) if self.provider is None else None

    def _writes(self, name: str) -> bool:
        try:
            return self._voices.get(name).text_model() is not None
        except VoiceError:
            return True

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        most: int | None = None,
        provider: str | None = None,
        within: float = ANSWER_WITHIN,
        spent: Callable[[str, Usage], None] | None = None,
    ) -> str:
        """The whole answer. Raises `VoiceError`, also when it was cut off or took longer than ``within`` seconds.

        ``spent`` is told who answered and what it used.
        """
        name = provider or self.provider
        if name is None:
            raise VoiceError(
                "no text model is set: name a provider that has one in the setting 'text' (HOOKFLASH_TEXT), or in the "
                "flow: 'defaults: {text_model: …}'", code="no_text_model",
            )  # fmt: skip
        model = self._voices.get(name).text_model()
        if model is None:
            raise VoiceError(f"the provider {name!r} has no text model; name one that has", code="no_text_model")
        parts: list[str] = []
        answer = model.answer(messages, model=self._model if name == self.provider else None, schema=schema, most=most)
        try:
            async with asyncio.timeout(within), aclosing(cast("AsyncGenerator[TextEvent]", answer)):
                async for event in answer:
                    if isinstance(event, TextPart):
                        parts.append(event.text)
                    elif isinstance(event, TextDone):
                        if spent is not None:
                            spent(name, event.usage)
                        if event.reason == "length":
                            text = f"the answer of the text model of {name!r} was cut off"
                            raise VoiceError(text, code="length")
        except TimeoutError:
            raise VoiceError(f"the text model of {name!r} took over {within:g} s", code="timeout") from None
        return "".join(parts)


def talk(call: Call) -> list[dict[str, str]]:
    """The talk so far, as text models read it: who said what, in order."""
    return [{entry.role: entry.text} for entry in call.record.transcript if entry.role != "system"]


async def write(
    call: Call, messages: Sequence[Message], *, within: float, schema: Mapping[str, Any] | None = None,
    most: int | None = None,
) -> str:  # fmt: skip
    """Ask the text model of the flow that this call runs; what it used goes into the record. Raises `VoiceError`."""
    texts, step = call.services.texts, call.walker.step
    own = call.walker.flow.text_model or texts.of(talkers(call.walker.flow))
    clock = asyncio.get_running_loop().time
    entry, began = Written(at=call.services.clock.now(), step="" if step is None else step.path), clock()
    call.record.written.append(entry)
    try:
        answer = await texts.complete(
            messages, schema=schema, most=most, within=within, provider=own,
            spent=lambda name, usage: call.spent(f"{name}/text", usage),
        )  # fmt: skip
        entry.outcome, entry.answer = "ok", outline_of_answer(answer) if _is_secret(call, step) else answer
    except VoiceError as error:
        entry.outcome = "failed"
        name = f"{own or texts.provider or 'no'}/text"
        call.services.metrics.provider_errors.labels(name, error.code or "error").inc()
        raise
    finally:
        entry.ms = int((clock() - began) * 1000)
    return answer


def _is_secret(call: Call, step: Step | None) -> bool:
    """Whether what is written may hold a sensitive value, or is put into a sensitive variable."""
    return step is not None and (
        is_secret(call.walker, step) or f"vars.{getattr(step.fields, 'into', '')}" in call.walker.secret
    )
