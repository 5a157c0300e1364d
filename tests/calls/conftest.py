"""What the tests of whole calls share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from company import Open, company

from asterisk.instance import Instance
from tests.emulators.openai_realtime.oracle import Oracle


@pytest.fixture(scope="session", autouse=True)
def vendors_types() -> None:
    """The vendor's types take a second to build: not while a call waits for the emulator."""
    judge = Oracle()
    judge.server({"type": "unheard of"})
    judge.client({"type": "unheard of"})


@pytest.fixture
def open_company(pbx: Instance, world: Instance, tmp_path: Path) -> Open:
    """``async with open_company(flow, …) as house``: see `company.company`."""
    return partial(company, pbx, world, tmp_path)
