"""What a call needs around it, without a house: no database, no endpoints, a virtual clock and a virtual voice."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from engine.http import Http
from engine.listening import Recognisers
from engine.metrics import Metrics
from engine.record import CallRecord
from engine.services import Services
from engine.speech import Speech
from engine.virtual.clock import virtual_clock
from engine.virtual.voice import VirtualProvider
from engine.voices import Voices


@dataclass(slots=True)
class KeptRecords:
    """Satisfies `engine.services.Keeper`: the records by their call's id, and how often they were saved."""

    records: dict[str, CallRecord] = field(default_factory=dict)
    saves: int = 0

    async def save(self, record: CallRecord) -> None:
        """Keep it."""
        self.records[record.id] = record
        self.saves += 1


def virtual_services(provider: VirtualProvider | None = None, **changes: Any) -> Services:
    """Services for calls on a `VirtualLine` under the virtual clock; ``changes`` are fields of `Services`.

    The provider is found under its name (``virtual``), and it speaks the prompts.
    """
    provider = provider or VirtualProvider()
    voices = Voices()
    voices.add(provider.name, provider)
    usual: dict[str, Any] = {
        "voices": voices, "speech": Speech(voices, provider.name), "http": Http(), "records": KeptRecords(),
        "metrics": Metrics(CollectorRegistry()), "clock": changes.get("clock") or virtual_clock(), "engine": "virtual",
        "listening": Recognisers(voices, provider.name), "default_voice": provider.name,
        "chance": random.Random(8).random,
    }  # fmt: skip
    return Services(**{**usual, **changes})
