"""What the tests of whole calls share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from company import Open, company

from asterisk.instance import Instance


@pytest.fixture
def open_company(pbx: Instance, world: Instance, tmp_path: Path) -> Open:
    """``async with open_company(flow, …) as house``: see `company.company`."""
    return partial(company, pbx, world, tmp_path)
