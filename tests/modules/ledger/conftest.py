"""Stores for the ledger's suites: the chain of seals belongs to the whole installation, so each test has one of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.builders import Store, a_postgres_store, a_store
from tests.modules.conftest import DATABASES


@pytest.fixture(params=DATABASES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store with one tenant and its MAIN location, shared with nobody."""
    if request.param == "sqlite":
        async with a_store(tmp_path) as opened:
            yield opened
        return
    async with a_postgres_store(request.getfixturevalue("postgres_url")) as opened:
        yield opened
