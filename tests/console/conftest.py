"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.console.browsing import chromium


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium. Where there is none this fails and says how to get it."""
    async with chromium() as found:
        yield found
