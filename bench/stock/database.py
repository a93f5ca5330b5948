"""A PostgreSQL database of one's own on the server of NERVIO_TEST_POSTGRES_URL, dropped afterwards."""

import os
import secrets
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.stock.contender import UnavailableError

_DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/postgres"


def server_url() -> str:
    """Return the URL of the server's maintenance database, in the form that asyncpg reads."""
    parts = urlsplit(os.environ.get("NERVIO_TEST_POSTGRES_URL", _DEFAULT_URL))
    return urlunsplit(parts._replace(scheme="postgresql"))


async def _connect(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise UnavailableError(
            f"PostgreSQL does not answer ({type(error).__name__}); set NERVIO_TEST_POSTGRES_URL"
        ) from error


async def describe() -> dict[str, str]:
    """Return version and durability settings of the server; raises UnavailableError."""
    connection = await _connect(server_url())
    try:
        names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
        values = {name: str(await connection.fetchval("SELECT current_setting($1)", name)) for name in names}
    finally:
        await connection.close()
    settings = ", ".join(f"{name} {values[name]}" for name in names[1:])
    return {"postgresql": f"{values['server_version'].split()[0]} ({settings})"}


async def create(label: str) -> str:
    """Create an empty database and return its URL (`postgresql://…`); raises UnavailableError."""
    url = server_url()
    connection = await _connect(url)
    name = f"nervio_bench_{label}_{os.getpid()}_{secrets.token_hex(3)}"
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def settle(url: str) -> None:
    """Write out what earlier work left dirty and refresh the planner's statistics, so that no contender pays for another."""
    connection = await _connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def read(url: str, query: str) -> list[asyncpg.Record]:
    """Return the rows of a query."""
    connection = await _connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()


async def drop(url: str) -> None:
    """Drop a database made by `create`, with whatever connections are left on it."""
    connection = await _connect(server_url())
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')
    finally:
        await connection.close()
