"""Fixtures for telephony: an exchange on the shared pbx, and the world around it."""

from collections.abc import AsyncIterator

import pytest
from telephony import House, open_house

from asterisk.instance import Instance
from asterisk.world import World


@pytest.fixture
async def house(pbx: Instance, world: Instance) -> AsyncIterator[House]:
    """The shared pair, with an exchange of this test's own; fails when the test leaves anything behind."""
    async with open_house(pbx, world) as opened:
        yield opened


@pytest.fixture
async def outside(world: Instance) -> AsyncIterator[World]:
    """Callers who speak, press keys and know how their call ended."""
    async with World.open(world) as opened:
        yield opened
