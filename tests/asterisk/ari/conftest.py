"""Clients: of a web server that answers as ARI would, and of a real Asterisk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fake_ari import APP, PASSWORD, USER, FakeAri, serving

from asterisk import ari, sandbox
from asterisk.sandbox import Installation, Instance


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


DIALPLAN = """
[ari-test]
exten => wait,1,Answer()
 same => n,Wait(60)
exten => digits,1,Answer()
 same => n,Wait(0.3)
 same => n,SendDTMF(12#)
 same => n,Wait(60)
exten => tone,1,Answer()
 same => n,Playtones(1000)
 same => n,Wait(60)
exten => silent,1,Wait(60)
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asterisk(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    """A real Asterisk with a dialplan for Local channels, shared: leave no channel and no bridge behind."""
    folder = tmp_path_factory.mktemp("ari")
    async with sandbox.start("ari", folder, extra={"extensions.conf": DIALPLAN}, installation=installation) as one:
        yield one


@pytest.fixture
async def own_asterisk(installation: Installation, tmp_path: Path) -> AsyncIterator[Instance]:
    """A real Asterisk for one test alone, which may kill it."""
    extra = {"extensions.conf": DIALPLAN}
    async with sandbox.start("ari", tmp_path, extra=extra, installation=installation) as one:
        yield one


@pytest.fixture
async def real(asterisk: Instance) -> AsyncIterator[ari.Client]:
    """A client of the shared Asterisk. After the test no channel and no bridge may live there."""
    async with ari.Client(asterisk.ari_url, asterisk.ari_user, asterisk.ari_password, ari.app_name()) as client:
        yield client
        left = [channel.name for channel in await client.channels.list()]
        left += [bridge.key for bridge in await client.bridges.list()]
        assert not left, f"left behind: {left}"
