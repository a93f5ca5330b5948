"""Every test of this folder that asks for a house runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.builders import SetClock, a_postgres_database, a_sqlite_database
from tests.modules.identity.house import House, a_house


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A freshly installed Nervio."""
    clock = SetClock()
    if request.param == "sqlite":
        async with a_sqlite_database(tmp_path / "nervio.db", clock) as database, a_house(database, clock) as installed:
            yield installed
    else:
        url = request.getfixturevalue("postgres_url")
        async with a_postgres_database(url, clock) as (server, _), a_house(server, clock) as installed:
            yield installed
