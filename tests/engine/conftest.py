"""The databases that call records are tested on: an SQLite file, and a PostgreSQL that the tests start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres as server
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, started once for each worker that needs it; tests may stop it with `down`, but not leave it so."""
    with server.running() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of `sqlite`, not made yet, nor its folder."""
    return tmp_path / "deep" / "er" / "calls.db"


@pytest.fixture
def sqlite(file: Path) -> str:
    """The URL of an SQLite database that there is not yet."""
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
def postgresql(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database on PostgreSQL."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: a test that takes it runs on each kind."""
    return str(request.getfixturevalue(request.param))
