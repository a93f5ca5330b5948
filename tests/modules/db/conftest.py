"""Databases for tests of mechanics: each test runs on SQLite and, where there is one, on real PostgreSQL."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from nervio.db import maintenance, migrate
from tests import services
from tests.builders import Store, a_postgres_store, a_store, create_sqlite_file
from tests.modules.conftest import DATABASES

T = TypeVar("T")


@asynccontextmanager
async def an_empty_postgres() -> AsyncIterator[str]:
    """The URL of a new PostgreSQL database without any table; dropped afterwards."""
    server, name = services.url("postgres"), f"nervio_test_{secrets.token_hex(6)}"
    await _administer(server, f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=DATABASES)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database that was never migrated."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path / 'empty.db'}"
        else:
            yield await stack.enter_async_context(an_empty_postgres())


@pytest.fixture(params=DATABASES)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database with every table and no row."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            await create_sqlite_file(tmp_path / "migrated.db")
            yield f"sqlite:///{tmp_path / 'migrated.db'}"
        else:
            address = await stack.enter_async_context(an_empty_postgres())
            await migrate.upgrade(address)
            yield address


@pytest.fixture(params=DATABASES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of the test's own: its tables of mechanics belong to no tenant that would keep tests apart."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield await stack.enter_async_context(a_store(tmp_path))
        else:
            yield await stack.enter_async_context(a_postgres_store(services.url("postgres")))


async def on(url: str, work: Callable[[Connection], T]) -> T:
    """Runs work in one transaction of its own."""
    return await maintenance.run(url, work)


async def _administer(server: str, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
