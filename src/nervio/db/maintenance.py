"""One connection for work on a whole database: migrations, backup, restore. Needs no server and starts no writer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from enum import Enum
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from nervio.db.dialects import for_name
from nervio.kernel.errors import Kind, NervioError

T = TypeVar("T")


class Access(Enum):
    """What the work does to the database. The values are what a database file needs to be told for it.

    Foreign keys stay unenforced while tables are rebuilt or filled in any order; whoever does that checks them at the end.
    """

    SNAPSHOT = ("query_only = ON",)
    """Reads one state of everything, however long it takes and whatever others write meanwhile."""
    CHANGE = ("foreign_keys = OFF", "synchronous = FULL")
    FILL = (
        "foreign_keys = OFF",
        "journal_mode = OFF",
        "synchronous = OFF",
        "cache_size = -131072",
        "temp_store = MEMORY",
    )
    """Fills a new file that nobody else has open and that is thrown away when anything goes wrong."""


def address_of(url: str) -> URL:
    """The database's address with the driver we use. Raises ValueError for a database that is not supported."""
    address = make_url(url)
    return address.set(drivername=for_name(address.get_backend_name()).driver)


def file_of(url: str) -> Path | None:
    """The file of a database that is one; None where it lives on a server."""
    address = address_of(url)
    return None if address.get_dialect().is_async or not address.database else Path(address.database)


async def run(url: str, work: Callable[[Connection], T], access: Access = Access.CHANGE) -> T:
    """Runs `work` in one transaction on a connection of its own and commits what it did.

    Blocks the event loop where the driver blocks.
    """
    address = address_of(url)
    file = file_of(url)
    if file is not None:
        return run_on_file(file, work, access)
    engine = create_async_engine(address, poolclass=NullPool, connect_args={"timeout": 10})
    try:
        async with aclosing(await _connected(engine)) as connection:
            if access is Access.SNAPSHOT:
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                return await connection.run_sync(work)
    finally:
        await engine.dispose()


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except OSError as error:
        raise NervioError(
            Kind.UNAVAILABLE,
            "database_unreachable",
            f"The database at {engine.url.host}:{engine.url.port or 5432} cannot be reached: {error}",
        ) from error


def run_on_file(path: Path, work: Callable[[Connection], T], access: Access) -> T:
    """`run` for a database that is a file; blocks."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": 10.0})

    @event.listens_for(engine, "connect")
    def set_up(connection: object, _record: object) -> None:
        # The driver's own BEGIN would come too late and leave DDL outside the transaction.
        connection.isolation_level = None  # type: ignore[attr-defined]
        for pragma in access.value:
            connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if access is Access.SNAPSHOT else "BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            return work(connection)
    finally:
        engine.dispose()
