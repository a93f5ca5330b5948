"""Brings a database to the schema this code knows, and refuses one that is ahead of it.

Everything happens in one transaction under a lock, so that any number of processes may start at once: one of them
migrates, the others wait and find nothing to do, and a failed revision leaves the database as it was.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from nervio.db import maintenance
from nervio.db.dialects import dialect_of
from nervio.db.maintenance import Access
from nervio.kernel.errors import Kind, NervioError

VERSION_TABLE = "alembic_version"


async def upgrade(url: str) -> str:
    """Upgrades the database to the newest revision and returns it. Raises NervioError for a schema that is newer than
    this code, or that no revision made."""
    return await maintenance.run(url, upgrade_connection)


async def current(url: str) -> str | None:
    """The revision a database is at; None for one that has never been migrated."""
    return await maintenance.run(url, current_on, Access.SNAPSHOT)


async def require_newest(url: str) -> None:
    """For processes that do not migrate: raises NervioError unless the database is at the newest revision."""
    found = await maintenance.run(url, current_on, Access.SNAPSHOT)
    if found is not None:
        _refuse_newer(found)
    if found != newest():
        raise NervioError(
            Kind.UNAVAILABLE,
            "schema_older",
            f"The database is at revision {found or 'none'}, this Nervio needs {newest()}. Run `nervio upgrade` first.",
            revision=found,
            needed=newest(),
        )


@cache
def revisions() -> tuple[str, ...]:
    """Every revision, the oldest first."""
    return tuple(revision.revision for revision in reversed(list(_scripts().walk_revisions())))


def newest() -> str:
    """The revision this code is written for."""
    return revisions()[-1]


def upgrade_connection(connection: Connection, to: str | None = None) -> str:
    """`upgrade` on a connection inside a transaction; `to` stops at an earlier revision (restoring an old backup)."""
    target = newest() if to is None else to
    dialect = dialect_of(connection)
    dialect.lock_schema(connection)
    found = current_on(connection)
    if found is None:
        _refuse_unmarked(connection)
    else:
        _refuse_newer(found)
        if revisions().index(found) >= revisions().index(target):
            return found
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)
    dialect.check_foreign_keys(connection)
    return target


def current_on(connection: Connection) -> str | None:
    """The revision of the database behind a connection."""
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(found: str) -> None:
    if found not in revisions():
        raise NervioError(
            Kind.CONFLICT,
            "schema_newer",
            f"The database is at schema revision {found}, which this Nervio does not know (its newest is {newest()}). A newer "
            "Nervio wrote it: start that one, or restore a backup made before the upgrade.",
            revision=found,
            newest=newest(),
        )


def _refuse_unmarked(connection: Connection) -> None:
    tables = set(inspect(connection).get_table_names()) - {VERSION_TABLE}
    if "commits" in tables:
        raise NervioError(
            Kind.CONFLICT,
            "schema_unmarked",
            "The database has tables of Nervio but no schema revision, so it cannot be upgraded. Restore a backup into an "
            "empty database.",
            tables=sorted(tables),
        )


def _config() -> Config:
    config = Config()
    # A percent sign would be taken for interpolation.
    config.set_main_option("script_location", str(files("nervio.db") / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
