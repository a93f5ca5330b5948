"""Backups: one consistent file of a database in use, read back before it counts, restored whole or not at all.

The dump is logical, so it does not depend on the database or its version, and a shop that outgrew SQLite is restored
into PostgreSQL. It takes longer than copying files would, and disturbs nobody meanwhile: it reads one snapshot.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError

from nervio import __version__
from nervio.db import maintenance, migrate
from nervio.db.archive import ROWS_A_CHUNK, SUFFIX, ArchiveReader, ArchiveWriter, Manifest
from nervio.db.dialects import dialect_of, execute_only_on
from nervio.db.maintenance import Access
from nervio.db.tables import metadata
from nervio.db.writes import Insert, Row
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import Instant, to_datetime, to_iso

STALE_SECONDS = 24 * 3600
"""What an earlier backup that was killed left behind is removed after this."""

_KINDS = (
    (Boolean, "bool"),
    (LargeBinary, "bytes"),
    (Integer, "int"),
    (Float, "number"),
    (String, "text"),
    (Uuid, "text"),
)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was written and read back."""

    path: Path
    manifest: Manifest
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought back. `files` are the small files of the backup (configuration, seal heads, keys);
    `replaced` is where the database that was there before has been put aside, if it was a file."""

    manifest: Manifest
    revision: str
    files: Mapping[str, bytes]
    replaced: Path | None
    seconds: float


async def create_backup(
    url: str,
    folder: Path,
    now: Instant,
    *,
    files: Mapping[str, bytes] | None = None,
    snapshot_files: Callable[[Connection], Mapping[str, bytes]] | None = None,
    keys_included: bool = False,
) -> Backup:
    """Writes `backup_YYYYMMDD_HHMMSS.nervio` (UTC) into the folder and returns it after reading it back.

    `files` go in as they are; `snapshot_files` makes more of the very state that is being saved. The file has its name
    only when it is whole, checked and durable. Raises NervioError when the database was never migrated, when the disk
    refuses, or when what was written does not read back.
    """
    started = time.monotonic()
    path = folder / f"backup_{to_datetime(now):%Y%m%d_%H%M%S}{SUFFIX}"
    partial = folder / f".{path.name}.{os.getpid()}.partial"
    with _written_to(folder, path, partial):
        archive = ArchiveWriter(partial)

        def dump(connection: Connection) -> Manifest:
            revision = migrate.current_on(connection)
            if revision is None:
                raise NervioError(Kind.CONFLICT, "nothing_to_save", "The database has no tables of Nervio to save yet.")
            for table in _tables_of(connection):
                archive.add_table(str(table.name), _kinds_of(table), _rows_of(connection, table))
            more = {} if snapshot_files is None else snapshot_files(connection)
            for name, content in {**(files or {}), **more}.items():
                archive.add_file(name, content)
            return archive.finish(
                nervio=__version__,
                revision=revision,
                created_at=to_iso(now),
                source=dialect_of(connection).name,
                keys_included=keys_included,
            )

        try:
            manifest = await maintenance.run(url, dump, Access.SNAPSHOT)
        except BaseException:
            archive.abandon()
            raise
        verify_backup(partial)
        if path.exists():
            raise NervioError(Kind.CONFLICT, "backup_exists", f"There is a backup {path.name} of this second already.")
        partial.replace(path)
        _make_durable(folder)
    return Backup(path, manifest, path.stat().st_size, time.monotonic() - started)


def verify_backup(path: Path) -> Manifest:
    """Reads everything back into a scratch database beside it, with every checksum, count, constraint and foreign key
    checked on the way. Raises NervioError `backup_damaged`."""
    with ArchiveReader(path) as archive, tempfile.TemporaryDirectory(prefix=".verify_", dir=path.parent) as scratch:
        for name in archive.manifest.files:
            archive.read_file(name)
        _fill_file(Path(scratch) / "scratch.db", archive)
        return archive.manifest


async def restore_backup(url: str, path: Path, *, force: bool = False) -> Restored:
    """Puts a backup into an empty database, or with `force` in the place of what is there, whole or not at all.

    A backup of an older schema is upgraded on the way. Raises NervioError: `backup_damaged` before anything is touched,
    `schema_newer`, `not_empty` without `force`, `in_use` while a server is running.
    """
    started = time.monotonic()
    with ArchiveReader(path) as archive:
        if archive.manifest.revision not in migrate.revisions():
            raise NervioError(
                Kind.CONFLICT,
                "schema_newer",
                f"{path.name} has schema revision {archive.manifest.revision}, which this Nervio does not know (its newest is "
                f"{migrate.newest()}). Restore it with the Nervio {archive.manifest.nervio} that wrote it, or a newer one.",
                revision=archive.manifest.revision,
                newest=migrate.newest(),
            )
        archive.check()
        file = maintenance.file_of(url)
        if file is None:
            replaced = None
            await maintenance.run(url, lambda connection: _fill_in_place(connection, archive, force=force))
        else:
            replaced = _replace_file(file, archive, force=force)
        files = {name: archive.read_file(name) for name in archive.manifest.files}
        return Restored(archive.manifest, migrate.newest(), files, replaced, time.monotonic() - started)


def list_backups(folder: Path) -> list[Path]:
    """The complete backups in a folder, the newest first."""
    return sorted(folder.glob(f"backup_????????_??????{SUFFIX}"), reverse=True)


def delete_old_backups(folder: Path, keep_days: int) -> list[Path]:
    """Keeps the newest backup of each of the last `keep_days` days that have one, and all of the newest day; deletes and
    returns the others. Days are those of the names (UTC)."""
    by_day: dict[str, list[Path]] = {}
    for path in list_backups(folder):
        by_day.setdefault(path.name[7:15], []).append(path)
    days = list(by_day.values())
    old = [path for day in days[1:] for path in day[1:]] + [day[0] for day in days[max(keep_days, 1) :]]
    for path in old:
        path.unlink()
    return sorted(old)


def _tables_of(connection: Connection) -> list[Table]:
    """The tables as they are in the database, which may be older than the code; those that others need come first."""
    reflected = MetaData()
    reflected.reflect(connection)
    return [table for table in reflected.sorted_tables if table.name != migrate.VERSION_TABLE]


def _kinds_of(table: Table) -> list[tuple[str, str]]:
    return [(str(column.name), _kind_of(column)) for column in table.columns]


def _kind_of(column: Column[object]) -> str:
    for type_, kind in _KINDS:
        if isinstance(column.type, type_):
            return kind
    raise AssertionError(f"{column} has a type that backups do not know: {column.type!r}")


def _rows_of(connection: Connection, table: Table) -> Iterator[list[Row]]:
    # In the order of the key: a restore fills its trees from left to right.
    statement = select(table).order_by(*table.primary_key.columns)
    result = connection.execute(statement.execution_options(stream_results=True, yield_per=ROWS_A_CHUNK))
    for part in result.partitions():
        yield [tuple(row) for row in part]


def _fill(connection: Connection, archive: ArchiveReader) -> None:
    """`_fill_tables`, where rows that the database itself refuses are damage of the backup."""
    try:
        _fill_tables(connection, archive)
    except (AssertionError, IntegrityError, DataError) as error:
        raise _damaged(archive, str(error)) from error


def _fill_tables(connection: Connection, archive: ArchiveReader) -> None:
    """Makes the tables of the backup's revision in an empty database, fills them, counts, and upgrades to the newest."""
    manifest, dialect = archive.manifest, dialect_of(connection)
    migrate.upgrade_connection(connection, to=manifest.revision)
    tables = {table.name: table for table in _tables_of(connection)}
    if tables.keys() != manifest.tables.keys():
        raise _damaged(archive, f"not the tables of its revision: {sorted(tables.keys() ^ manifest.tables.keys())}")
    with dialect.without_foreign_keys(connection):
        for name, entry in manifest.tables.items():
            columns = tuple(column for column, _ in entry.columns)
            if set(columns) != set(tables[name].columns.keys()):
                raise _damaged(archive, f"not the columns of {name} at its revision")
            for rows in archive.read_rows(name):
                dialect.apply(connection, [Insert(tables[name], columns, rows)])
        _number_the_rest(connection, tables["commits"])
    execute_only_on("postgresql", connection, "SELECT setval('commits_seq', coalesce(max(seq), 0) + 1) FROM commits")
    for name, entry in manifest.tables.items():
        count = connection.execute(select(func.count()).select_from(tables[name])).scalar_one()
        assert count == entry.rows, f"{name}: {count} rows restored of {entry.rows}"
    migrate.upgrade_connection(connection)


def _number_the_rest(connection: Connection, commits: Table) -> None:
    """Commits that were saved before the sequencer had got to them get their positions now: a database with one writer
    numbers only new ones."""
    c = commits.c
    last = connection.execute(select(func.max(c.position))).scalar() or 0
    waiting = connection.execute(select(c.id).where(c.position.is_(None)).order_by(c.seq)).scalars().all()
    for position, commit_id in enumerate(waiting, last + 1):
        connection.execute(update(commits).where(c.id == commit_id).values(position=position))


def _fill_file(path: Path, archive: ArchiveReader) -> None:
    """Fills a new file and audits it."""
    maintenance.run_on_file(path, lambda connection: _fill(connection, archive), Access.FILL)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise _damaged(archive, f"the restored file fails its integrity check: {found}")


def _replace_file(path: Path, archive: ArchiveReader, *, force: bool) -> Path | None:
    """Fills a file beside the one that is meant, and renames it over. The old one is put aside, not deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not force and path.exists():
        _refuse_rows(maintenance.run_on_file(path, _tables_with_rows, Access.SNAPSHOT))
    if path.exists():
        _close_file(path)
    new = path.with_name(f".{path.name}.restoring_{os.getpid()}")
    new.unlink(missing_ok=True)
    replaced = None
    try:
        _fill_file(new, archive)
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            _close_file(path)
            replaced = path.with_name(f"{path.name}.replaced_{archive.manifest.created_at[:19].replace(':', '')}")
            replaced = _unused(replaced)
            try:
                os.link(path, replaced)
            except OSError:  # a file system without links: for a moment there is no file of that name
                path.replace(replaced)
        new.replace(path)
        _make_durable(path.parent)
    finally:
        new.unlink(missing_ok=True)
    return replaced


def _close_file(path: Path) -> None:
    """Takes the write-ahead log into the file and removes it, which works only while nobody else has it open: a log
    left behind would be played into the file that takes its place."""
    with contextlib.closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise _in_use(str(error)) from error
        except sqlite3.DatabaseError:
            return  # no database, or a broken one: it has no log that could be played
    if mode != "delete":
        raise _in_use(f"its journal stays in mode {mode}")


def _fill_in_place(connection: Connection, archive: ArchiveReader, *, force: bool) -> None:
    """On a server: everything in the one transaction of the caller."""
    dialect = dialect_of(connection)
    dialect.lock_schema(connection)
    dialect.take_fence(connection, exclusive=True)
    if dialect.count_users(connection):
        raise _in_use("Nervio servers are connected to it")
    if not force:
        _refuse_rows(_tables_with_rows(connection))
    found = set(inspect(connection).get_table_names())
    known = {*archive.manifest.tables, *metadata.tables, migrate.VERSION_TABLE}
    if found - known:
        raise NervioError(
            Kind.CONFLICT,
            "foreign_tables",
            f"The database holds tables that are not in the backup: {', '.join(sorted(found - known))}. Restore into an empty one.",
            tables=sorted(found - known),
        )
    reflected = MetaData()
    reflected.reflect(connection)
    reflected.drop_all(connection)
    execute_only_on("postgresql", connection, "DROP SEQUENCE IF EXISTS commits_seq")
    _fill(connection, archive)
    execute_only_on("postgresql", connection, "ANALYZE")


def _tables_with_rows(connection: Connection) -> list[str]:
    return [
        table.name for table in _tables_of(connection) if connection.execute(select(table).limit(1)).first() is not None
    ]


def _refuse_rows(tables: list[str]) -> None:
    if tables:
        raise NervioError(
            Kind.CONFLICT,
            "not_empty",
            f"There is data already (in {', '.join(tables[:5])}). Use --force to replace it with the backup.",
            tables=tables,
        )


def _in_use(detail: str) -> NervioError:
    return NervioError(
        Kind.CONFLICT, "in_use", f"The database is in use ({detail}). Stop Nervio, then restore.", detail=detail
    )


def _damaged(archive: ArchiveReader, detail: str) -> NervioError:
    return NervioError(
        Kind.INVALID,
        "backup_damaged",
        f"{archive.path.name} cannot be restored: {detail[:500]}. Use another one; nothing was changed.",
        path=str(archive.path),
        detail=detail[:500],
    )


@contextlib.contextmanager
def _written_to(folder: Path, path: Path, partial: Path) -> Iterator[None]:
    """Room for a backup that is being written: nothing half done outlives the block, and what a killed one left goes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in [*folder.glob(f".backup_*{SUFFIX}.*.partial")]:
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink(missing_ok=True)
        yield
    except OSError as error:
        raise NervioError(
            Kind.UNAVAILABLE,
            "backup_not_written",
            f"{path} could not be written: {error.strerror or error}. Free some space or give another folder.",
            path=str(path),
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _make_durable(folder: Path) -> None:
    """Makes a renaming survive a power cut, where the system lets a folder be opened at all."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unused(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}_{number}")
    return free
