"""What vendors of the realtime protocol say differently. OpenAI's GA names are the common tongue of `Realtime`.

Three dialects as data: OpenAI (Azure OpenAI speaks it unchanged), xAI Grok (GA names, another shape of session), and
Azure Voice Live (the names of the beta). What only concerns the session object stands with the vendor's module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from providers.realtime_fields import Frame
from providers.voice import Utterance

AUDIO = "response.output_audio.delta"


@dataclass(frozen=True, slots=True)
class Dialect:
    """``names``: the vendor's event names that are not OpenAI's, and what OpenAI calls them.

    ``audio`` is its name for audio, the one event that is not always parsed. ``verbatim`` makes the event that has a
    text spoken to the letter; without it the model is asked to be exact. ``told_history``: the conversation so far
    stands in the instructions, because the vendor charges for every item. ``cancels``: the client must cancel an answer
    that the caller interrupts. ``by_the_minute``: it charges for audio and items, not for tokens. ``said`` is the type
    of content of what the voice said. ``codes`` finds the code of an error in its message, for a vendor whose codes are
    its own.
    """

    audio: str = AUDIO
    names: Mapping[str, str] = field(default_factory=dict)
    verbatim: Callable[[str], dict[str, Any]] | None = None
    told_history: bool = False
    cancels: bool = False
    by_the_minute: bool = False
    said: str = "output_text"
    codes: Mapping[str, str] = field(default_factory=dict)


def _exactly(text: str) -> dict[str, Any]:
    """xAI: an item that is spoken as it stands and starts a response by itself."""
    content = [{"type": "output_text", "text": text}]
    return {
        "type": "conversation.item.create",
        "item": {"type": "force_message", "role": "assistant", "content": content},
    }


def _pre_generated(text: str) -> dict[str, Any]:
    """Voice Live: a response whose words are given."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}
    return {"type": "response.create", "response": {"pre_generated_assistant_message": message}}


OPENAI = Dialect()

GROK = Dialect(
    names={
        "conversation.created": "session.created",  # some servers send only the one, some both
        "response.text.delta": "response.output_text.delta",
        "response.text.done": "response.output_text.done",
    },
    verbatim=_exactly,
    told_history=True,
    cancels=True,
    by_the_minute=True,
    codes={
        "no active response": "response_cancel_not_active",
        "already has an active response": "conversation_already_has_active_response",
        "truncat": "item_truncate",
    },
)

VOICE_LIVE = Dialect(
    audio="response.audio.delta",
    names={
        "response.audio.delta": AUDIO,
        "response.audio_transcript.delta": "response.output_audio_transcript.delta",
        "response.audio_transcript.done": "response.output_audio_transcript.done",
        "response.text.delta": "response.output_text.delta",
        "response.text.done": "response.output_text.done",
    },
    verbatim=_pre_generated,
    said="text",
)


def opening(dialect: Dialect, configuration: Frame, history: Sequence[Utterance]) -> Iterator[Frame]:
    """What configures a session and tells it of the conversation so far."""
    instructions = told(dialect, configuration.get("instructions", ""), history)
    yield {
        "type": "session.update",
        "session": {**configuration, **({"instructions": instructions} if instructions else {})},
    }
    if not dialect.told_history:
        for said in history:
            role, kind = ("user", "input_text") if said.role == "caller" else ("assistant", dialect.said)
            content = [{"type": kind, "text": said.text}]
            yield {"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": content}}


def told(dialect: Dialect, instructions: str, history: Sequence[Utterance]) -> str:
    """The instructions, with the conversation so far where the dialect wants it there."""
    return with_history(instructions, history) if dialect.told_history else instructions


def with_history(instructions: str, history: Sequence[Utterance]) -> str:
    """Instructions that tell of the conversation so far."""
    if not history:
        return instructions
    said = "\n".join(f"{'Caller' if one.role == 'caller' else 'You'}: {one.text}" for one in history)
    return f"{instructions}\n\nThe conversation so far; go on from there:\n{said}".strip()
