"""A PostgreSQL database of one's own on the server of NERVIO_TEST_POSTGRES_URL, dropped afterwards."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


_added_to_flush = ContextVar("added_to_flush", default=0)


@contextmanager
def slower_flush(microseconds: int) -> Iterator[None]:
    """Databases made inside behave as on a disk that takes so much longer to flush the log.

    By `commit_delay`: whoever flushes waits that long first, holding the log's lock, and everybody who came meanwhile
    shares the flush, as with a disk. Takes a superuser.
    """
    token = _added_to_flush.set(microseconds)
    try:
        yield
    finally:
        _added_to_flush.reset(token)


async def create(label: str) -> str:
    """Create an empty database and return its URL (`postgresql://…`); raises UnavailableError."""
    url = server_url()
    connection = await _connect(url)
    name = f"nervio_bench_{label}_{os.getpid()}_{secrets.token_hex(3)}"
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        if _added_to_flush.get():
            await connection.execute(f'ALTER DATABASE "{name}" SET commit_delay = {_added_to_flush.get()}')
            await connection.execute(f'ALTER DATABASE "{name}" SET commit_siblings = 0')
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
