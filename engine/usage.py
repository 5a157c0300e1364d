"""What providers count: kept in the record of the call and in the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.record import Tokens

if TYPE_CHECKING:
    from engine.call import Call
    from providers.voice import Usage


def count(call: Call, provider: str, usage: Usage) -> None:
    """Add one answer. What a provider's text model used stands apart from its voice, as ``<provider>/text``."""
    tokens = next((entry for entry in call.record.tokens if entry.provider == provider), None)
    if tokens is None:
        tokens = Tokens(provider=provider)
        call.record.tokens.append(tokens)
    tokens.turns += 1
    counted = {
        "input_text": usage.input_text, "input_audio": usage.input_audio, "cached": usage.cached,
        "output_text": usage.output_text, "output_audio": usage.output_audio,
    }  # fmt: skip
    for kind, number in counted.items():
        if number:
            setattr(tokens, kind, getattr(tokens, kind) + number)
            call.services.metrics.tokens.labels(provider, kind).inc(number)
