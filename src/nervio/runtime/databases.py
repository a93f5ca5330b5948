"""The databases there are, by URL scheme, in one literal table. Apart from the wiring, so that `stop` starts in a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import make_url

from nervio.db.database import Database
from nervio.ports.clock import Clock
from nervio.runtime.settings import Settings


class ClosedDatabase(Database, Protocol):
    """A store that is made but not started."""

    async def start(self) -> None:
        """Opens it."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """How a database of one kind is opened. `exclusive`: one process writes, so its directory is locked."""

    open: Callable[[str, Clock, int], ClosedDatabase]
    exclusive: bool


def _open_sqlite(url: str, clock: Clock, queue_capacity: int) -> ClosedDatabase:
    from nervio.db.sqlite import SQLiteDatabase

    return SQLiteDatabase(file_of(url), clock, queue_capacity)


def _open_postgresql(url: str, clock: Clock, queue_capacity: int) -> ClosedDatabase:
    from nervio.db.postgresql import PostgreSQLDatabase

    return PostgreSQLDatabase(url, clock, queue_capacity)


DATABASES: Mapping[str, Backend] = {
    "sqlite": Backend(_open_sqlite, exclusive=True),
    "postgresql+asyncpg": Backend(_open_postgresql, exclusive=False),
}
"""Backends by URL scheme."""


def open_database(settings: Settings, clock: Clock) -> ClosedDatabase:
    """The store of the settings, made but not started."""
    url = settings.database_address
    return DATABASES[url.partition(":")[0]].open(url, clock, settings.server.queue_capacity)


def file_of(url: str) -> Path:
    """The file of a SQLite address."""
    name = make_url(url).database
    assert name, "checked with the settings"
    return Path(name)
