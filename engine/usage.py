"""What providers count: kept in the record of the call with what it costs, and in the metrics."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from engine.prices import costs
from engine.record import Tokens
from engine.voices import close
from providers.voice import Metered

if TYPE_CHECKING:
    from engine.call import Call
    from providers.voice import Usage, Voice

log = structlog.get_logger()

TOKENS = ("input_text", "input_audio", "cached", "cached_audio", "output_text", "output_audio")
MOST = 1e12  # more of anything is a vendor's mistake
OTHERS = ("seconds_heard", "seconds_spoken", "seconds_session", "characters", "items")


def count(call: Call, provider: str, usage: Usage, *, turn: bool = True) -> None:
    """Add what was used, in an answer (``turn``) or beside it, and what it costs.

    What a provider's text model used stands apart from its voice, as ``<provider>/text``.
    """
    used = {kind: number for kind in (*TOKENS, *OTHERS) if 0 < (number := getattr(usage, kind)) < MOST}
    entry = _entry(call, usage.provider or provider, usage.model if used else None)
    entry.turns += turn
    for kind, number in used.items():
        setattr(entry, kind, getattr(entry, kind) + number)
        if kind in TOKENS:
            call.services.metrics.tokens.labels(entry.provider, kind).inc(number)
    if used:
        _price(call, entry)


async def settle(call: Call, voice: Voice, provider: str) -> None:
    """Close a voice and count what it tells only then."""
    await close(voice, provider)
    for usage in voice.settle() if isinstance(voice, Metered) else ():
        count(call, provider, usage, turn=False)


def _entry(call: Call, provider: str, model: str | None) -> Tokens:
    """The place of a model in the record; of an answer that used nothing (None), that of any model of the provider."""
    for entry in call.record.tokens:
        if entry.provider == provider and model in (None, entry.model):
            return entry
    call.record.tokens.append(Tokens(provider=provider, model=model or ""))
    return call.record.tokens[-1]


def _price(call: Call, entry: Tokens) -> None:
    """Reckon anew what an entry costs: from what it has by now, so that no rounding adds up."""
    prices, metrics = call.services.prices, call.services.metrics
    entry.costs, entry.unpriced = costs(prices.charges(entry.provider.partition("/")[0], entry.model), entry)
    if entry.unpriced:
        metrics.cost_unpriced.labels(entry.provider, entry.model).inc()
        if prices.is_news(entry.provider, entry.model):
            log.warning(
                "something is used that has no price, so it counts as nothing", provider=entry.provider,
                model=entry.model, kinds=entry.unpriced,
            )  # fmt: skip
    before, entry.cost = entry.cost, sum(entry.costs.values(), Decimal(0))
    if entry.cost > before:
        metrics.cost.labels(entry.provider, prices.currency).inc(float(entry.cost - before))
        call.charge(entry.cost - before)
