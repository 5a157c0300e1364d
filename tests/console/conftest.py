"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
from playwright.async_api import Browser

from asterisk.instance import Instance
from tests.calls.company import Open, company
from tests.console.browsing import chromium
from tests.emulators.openai_realtime.oracle import Oracle


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium. Where there is none this fails and says how to get it."""
    async with chromium() as found:
        yield found


@pytest.fixture
def vendors_types() -> None:
    """The vendor's types take a second to build: not while a call waits for the emulator."""
    judge = Oracle()
    judge.server({"type": "unheard of"})
    judge.client({"type": "unheard of"})


@pytest.fixture
def open_company(vendors_types: None, pbx: Instance, world: Instance) -> Open:
    """``async with open_company(folder, flow, …) as house``: see `company.company`."""
    return partial(company, pbx, world)
