"""How the kit's tests are written: a scene, what it needs, and a talk between an owner and a voice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import pytest

from providers.conformance.owner import Owner, nothing_runs, owned
from providers.conformance.scene import Ability, Counterpart, Scene
from providers.voice import Capabilities, Session

INSTRUCTIONS = "You answer the telephone of Bella's."
BOUND = 30.0  # seconds for one test

Talk = Callable[[Any, Owner, Any], Awaitable[None]]


class Stage:
    """What a voice's author fills in: ``capabilities``, ``plays`` and ``counterpart``."""

    capabilities: ClassVar[Capabilities]
    plays: ClassVar[frozenset[Ability]] = frozenset()

    def counterpart(self, scene: Scene) -> AbstractAsyncContextManager[Counterpart]:
        """The provider under test and its scripted other side, for one test; closed in the end."""
        raise NotImplementedError("say how the voice and its other side are made: def counterpart(self, scene)")

    @classmethod
    def abilities(cls) -> frozenset[str]:
        """What a test may need: the names of capabilities that the voice has, and what its other side can play."""
        found = cls.capabilities
        has = {name for name in found.__dataclass_fields__ if getattr(found, name)}
        return frozenset(has) | cls.plays

    @asynccontextmanager
    async def staged(self, scene: Scene) -> AsyncIterator[Counterpart]:
        """The other side; afterwards no task is left. The provider is closed, twice."""
        before = asyncio.all_tasks()
        async with self.counterpart(scene) as other:
            try:
                yield other
            finally:
                await other.provider.close()
                await other.provider.close()
        await nothing_runs(before)

    def session(self, other: Counterpart, fields: Mapping[str, Any]) -> Session:
        """A session in a format that the voice takes."""
        usual = {"instructions": INSTRUCTIONS, "format": self.capabilities.formats[0], "options": other.options}
        return Session(**{**usual, **fields})

    @asynccontextmanager
    async def talking(self, other: Counterpart, **fields: Any) -> AsyncIterator[Owner]:
        """One conversation."""
        session = self.session(other, fields)
        async with owned(other.provider.voice(session), session) as owner:
            yield owner
            if other.secret:
                assert other.secret not in repr(owner.events), "the key stands in an event"


def played(
    scene: Scene | None = None, *, needs: tuple[str, ...] = (), **session: Any
) -> Callable[[Talk], Callable[[Stage], None]]:
    """Make ``async def test_…(self, owner, other)`` a test: it talks with a connected voice in this scene."""

    def make(talk: Talk) -> Callable[[Stage], None]:
        @acted(scene, needs=needs)
        async def test(self: Any, other: Counterpart) -> None:
            async with self.talking(other, **session) as owner:
                await talk(self, owner, other)

        test.__name__, test.__doc__ = talk.__name__, talk.__doc__
        return test

    return make


def acted(
    scene: Scene | None = None, *, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Any, Any], Awaitable[None]]], Callable[[Stage], None]]:
    """Make ``async def test_…(self, other)`` a test, which connects for itself."""
    chosen = scene or Scene()

    def make(act: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Stage], None]:
        async def run(self: Stage) -> None:
            async with asyncio.timeout(BOUND), self.staged(chosen) as other:
                await act(self, other)

        def test(self: Stage) -> None:
            asyncio.run(run(self))

        test.__name__, test.__doc__ = act.__name__, act.__doc__
        wanted = (*needs, *(("slow",) if chosen.slow else ()), *((chosen.fault,) if chosen.fault else ()))
        marked: Callable[[Stage], None] = pytest.mark.voice_needs(*wanted)(test)
        return marked

    return make
