"""Voices under test: an emulated provider whose every frame is judged, a voice beside its owner, a tiny synthesiser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from providers.openai import OpenAI
from providers.openai import provider as openai_provider
from providers.rehearsal import Rehearsal
from providers.rehearsal import provider as rehearsal_provider
from providers.voice import Session, Voice, VoiceEvent
from tests.emulators.openai_realtime import Emulator
from tests.emulators.synthesiser import synthesiser_in

KEY = "sk-test-1234567890"


class Owner:
    """What the engine is to a voice: it reads the events; a test waits for them."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.events: list[VoiceEvent] = []
        self.over = asyncio.Event()
        self._changed = asyncio.Condition()

    async def read(self) -> None:
        async for event in self.voice.events():
            self.events.append(event)
            async with self._changed:
                self._changed.notify_all()
        self.over.set()

    def of(self, kind: type | tuple[type, ...]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def next(self, kind: type, number: int = 0) -> Any:
        """The event of this kind (the first, the second, …), at most five seconds from now."""
        try:
            async with asyncio.timeout(5), self._changed:
                await self._changed.wait_for(lambda: len(self.of(kind)) > number)
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} (number {number}) came, only {self.events}") from None
        return self.of(kind)[number]

    async def hear(self, audio: bytes) -> None:
        """The caller's audio, in frames of 20 ms."""
        for start in range(0, len(audio), 160):
            await self.voice.send_audio(audio[start : start + 160])


@asynccontextmanager
async def owned(voice: Voice) -> AsyncIterator[Owner]:
    """A connected voice with somebody who reads it; closed in the end, and it must end then."""
    await voice.connect()
    owner = Owner(voice)
    async with asyncio.TaskGroup() as group:
        group.create_task(owner.read())
        try:
            yield owner
        finally:
            await voice.close()
        async with asyncio.timeout(5):
            await owner.over.wait()


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No test may leave a task behind; what is coming to its end (gRPC's calls do so by themselves) has a second."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=1)
    assert not left, f"still running: {left}"


@pytest.fixture
async def emulate() -> AsyncIterator[Callable[..., Any]]:
    """Start emulators; in the end every frame of theirs and of their clients must have satisfied the vendor's types."""
    async with AsyncExitStack() as stack:
        started: list[Emulator] = []

        async def start(**options: Any) -> Emulator:
            emulator = await stack.enter_async_context(Emulator(**options))
            started.append(emulator)
            return emulator

        yield start
        for emulator in started:
            assert emulator.oracle is not None
            assert emulator.oracle.problems == []


@pytest.fixture
async def openai() -> AsyncIterator[Callable[[Emulator], OpenAI]]:
    """The provider for an emulator, closed in the end."""
    made: list[OpenAI] = []

    def make(emulator: Emulator, **settings: str) -> OpenAI:
        made.append(openai_provider({"api_key": KEY, "base_url": emulator.url, **settings}))
        return made[-1]

    yield make
    for provider in made:
        await provider.close()


@pytest.fixture
def synthesiser(tmp_path: Path) -> list[str]:
    """A program that is called like flite and speaks half a second of tone, and counts how often it was called."""
    return synthesiser_in(tmp_path)


@pytest.fixture
def rehearse(synthesiser: Sequence[str]) -> Callable[..., Rehearsal]:
    """The rehearsal provider with that synthesiser."""

    def make(**settings: str) -> Rehearsal:
        return rehearsal_provider({"flite": json.dumps(list(synthesiser)), **settings})

    return make


def session(**fields: Any) -> Session:
    return Session(instructions="You answer the telephone.", **fields)
