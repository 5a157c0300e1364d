"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
from playwright.async_api import Browser

from asterisk.instance import Instance
from tests.calls.company import Open, company
from tests.console.browsing import chromium


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium. Where there is none this fails and says how to get it."""
    async with chromium() as found:
        yield found


@pytest.fixture
def open_company(pbx: Instance, world: Instance) -> Open:
    """``async with open_company(folder, flow, …) as house``: see `company.company`."""
    return partial(company, pbx, world)
