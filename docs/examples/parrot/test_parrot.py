from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import parrot

from providers.conformance import Conformance, Counterpart, Scene


class TestParrot(Conformance):
    capabilities = parrot.CAPABILITIES

    @asynccontextmanager
    async def counterpart(self, scene: Scene) -> AsyncIterator[Counterpart]:
        yield Counterpart(parrot.provider({}))
