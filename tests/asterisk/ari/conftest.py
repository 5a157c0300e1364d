"""A client, and a web server that answers it as ARI would."""

from collections.abc import AsyncIterator

import pytest
from fake_ari import APP, PASSWORD, USER, FakeAri, serving

from asterisk import ari


@pytest.fixture
async def fake() -> AsyncIterator[FakeAri]:
    async with serving(FakeAri()) as server:
        yield server


@pytest.fixture
async def client(fake: FakeAri) -> AsyncIterator[ari.Client]:
    async with ari.Client(fake.url, USER, PASSWORD, APP, timeout=2) as opened:
        yield opened


@pytest.fixture
async def asking(fake: FakeAri) -> AsyncIterator[ari.Client]:
    """A client without an application: requests only."""
    async with ari.Client(fake.url, USER, PASSWORD, timeout=0.2) as opened:
        yield opened
