"""A vendor's emulator as the other side of a voice in the conformance kit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from providers.conformance import Ability, Asks, Counterpart, Nothing, Reply, Says, Scene
from tests.emulators.faults import Faults
from tests.emulators.openai_realtime import Call, Empty, Say
from tests.emulators.openai_realtime.model import Turn
from tests.emulators.vendors import KEY, Vendor

PLAYS: frozenset[Ability] = frozenset({
    "script", "slow", "empty", "parallel", "ears", "words", "truncations", "usage", "drops", "refuses", "hangs",
    "garbage", "expires", "deaf",
})  # fmt: skip
SLOW = 2.0  # times as fast as one listens
FAULTS = {
    None: Faults(),
    "refuses": Faults(http_status=401),
    "hangs": Faults(hang_upgrade=True),
    "garbage": Faults(garbage=("{", "[]", '{"type": 7}', b"\x00\x01", '{"serverContent": []}')),
    "expires": Faults(expires_in=50, go_away_after_ms=50),
    "deaf": Faults(stop_reading=True),
}


class Emulated(Counterpart):
    """The provider at work against an emulator. Every frame must satisfy the vendor's own types."""

    def __init__(self, vendor: Vendor, emulator: Any) -> None:
        super().__init__(vendor.provider(vendor.settings_for(emulator)), secret=KEY)
        self.emulator = emulator

    def heard_ms(self) -> float:
        return sum(talk.heard_ms for talk in self.emulator.conversations)

    def told(self) -> str:
        behind = getattr(self.emulator, "worker", None)  # a text model that does the work
        asked = [] if behind is None else behind.requests
        return json.dumps([*(talk.client_events for talk in self.emulator.conversations), asked])

    def truncated_ms(self) -> list[int]:
        return [
            event["audio_end_ms"]
            for talk in self.emulator.conversations
            for event in talk.client_events
            if event["type"] == "conversation.item.truncate"
        ]

    async def take_back(self) -> None:
        self.emulator.conversations[-1].take_back()

    async def drop(self) -> None:
        for talk in list(self.emulator.conversations):
            await talk.drop()


def turn(reply: Reply) -> Turn:
    """A reply of the kit as the emulators' scripts have it."""
    match reply:
        case Says(text):
            return Say(text)
        case Asks(calls, say):
            first, *more = (Call(name, dict(arguments)) for name, arguments in calls)
            return Call(first.tool, first.arguments, say, tuple(more))
        case Nothing():
            return Empty()


@asynccontextmanager
async def emulated(vendor: Vendor, scene: Scene) -> AsyncIterator[Emulated]:
    """A vendor that plays a scene."""
    emulator = vendor.emulate(
        script=[turn(reply) for reply in scene.replies], heard=scene.heard, faults=FAULTS[scene.fault],
        pace=SLOW if scene.slow else 50.0,
    )  # fmt: skip
    async with emulator:
        yield Emulated(vendor, emulator)
    assert emulator.oracle is not None
    assert emulator.oracle.problems == [], emulator.oracle.problems
