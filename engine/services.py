"""What a call needs from the house around it. The engine makes one of these; a flow test makes one of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from engine.checkpoint import Checkpoints
from engine.http import Http
from engine.listening import Recognisers
from engine.metrics import Metrics
from engine.price_file import shipped
from engine.prices import Prices
from engine.record import CallRecord
from engine.sounds import Sounds
from engine.speech import Speech
from engine.spending import Days
from engine.text import Texts
from engine.voices import Voices
from engine.watch import Watch


class Keeper(Protocol):
    """Where records go. Saving never waits for a disk."""

    async def save(self, record: CallRecord) -> None:
        """Keep the record as it is now; the newest of a call wins."""


class Clock:
    """The time of day, in step with the event loop's clock, so that a virtual loop carries a virtual date."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime.now(UTC)
        self._zero = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The present moment, with a zone."""
        return self._start + timedelta(seconds=asyncio.get_running_loop().time() - self._zero)


@dataclass(slots=True)
class Services:
    """Shared by all calls of an engine."""

    voices: Voices
    speech: Speech
    http: Http
    records: Keeper
    metrics: Metrics
    clock: Clock
    engine: str = "engine"
    texts: Texts = field(default_factory=lambda: Texts(Voices()))  # text models, when one is set
    listening: Recognisers = field(default_factory=lambda: Recognisers(Voices()))  # speech to text
    default_voice: str = "rehearsal"  # for a converse that names no provider
    law: Literal["ulaw", "alaw"] = "ulaw"  # the line's G.711 law
    safety_destination: str | None = None  # who is rung when a flow fails and says nothing of it
    caller_id: str | None = None  # shown to hand-off targets when the flow says nothing
    tenant: Mapping[str, Any] = field(default_factory=dict)
    storage: Path = Path("var")  # where voicemail and recordings are kept
    sounds: Sounds = field(default_factory=Sounds)
    chance: Callable[[], float] = random.random  # from 0 to 1, without 1; decides where a flow splits by chance
    wind_up: float = 10.0  # for the `hangup` handler
    prices: Prices = field(default_factory=shipped)
    max_cost: Decimal | None = None  # of a call; a flow may say less
    days: Days = field(default_factory=Days)  # what calls cost today
    watch: Watch = field(default_factory=Watch)  # who is told when a call changes
    checkpoints: Checkpoints | None = None  # where it is kept how calls could go on; None: nowhere
