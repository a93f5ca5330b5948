"""A backup holds one state of everything, comes back whole or not at all, and may change databases on the way."""

import os
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, MetaData, select, text

from nervio.db import maintenance, migrate
from nervio.db.archive import ArchiveReader
from nervio.db.backup import Backup, create_backup, delete_old_backups, list_backups, restore_backup, verify_backup
from nervio.db.maintenance import Access
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.sqlite import SQLiteDatabase
from nervio.db.tables import metadata
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.runtime.manifests import MANIFESTS
from tests.builders import NOON, Store, a_hold, a_sale, a_stocked_product, assert_sound, level_of
from tests.modules.conftest import DATABASES
from tests.modules.db.conftest import an_empty_postgres, on
from tests.modules.db.samples import sample_of

assert MANIFESTS, "importing the manifests makes every module's tables known"

Everything = dict[str, list[bytes]]


@pytest.fixture(params=DATABASES)
async def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty place to restore into."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path / 'elsewhere' / 'nervio.db'}"
        else:
            yield await stack.enter_async_context(an_empty_postgres())


def url_of(store: Store) -> str:
    return store.address if "://" in store.address else f"sqlite:///{store.address}"


def read_everything(connection: Connection) -> Everything:
    """Every row of every table, told the same way by every database."""
    found = MetaData()
    found.reflect(connection)
    return {
        str(table.name): sorted(msgspec.json.encode(tuple(row)) for row in connection.execute(select(table)))
        for table in found.sorted_tables
        if table.name != migrate.VERSION_TABLE
    }


async def everything_in(url: str) -> Everything:
    return await maintenance.run(url, read_everything, Access.SNAPSHOT)


@asynccontextmanager
async def an_open(url: str, like: Store) -> AsyncIterator[Store]:
    """The store at an address, opened, seen by the same tenant as another."""
    path = maintenance.file_of(url)
    database = (
        PostgreSQLDatabase(str(url), like.clock, 1000) if path is None else SQLiteDatabase(path, like.clock, 1000)
    )
    await database.start()
    try:
        yield replace(like, database=database, address=url, ctx=replace(like.ctx, database=database))
    finally:
        await database.close()


def rewritten(path: Path, **changes: str | int) -> Path:
    """A copy of a backup with another manifest."""
    copy = path.with_name("rewritten.nervio")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = msgspec.json.encode({**msgspec.json.decode(content), **changes})
            new.writestr(name, content)
    return copy


async def fill_with_samples(url: str) -> None:
    def fill(connection: Connection) -> None:
        for table in metadata.sorted_tables:
            connection.execute(table.insert().values(sample_of(table)))

    await on(url, fill)


async def save(url: str, folder: Path, *, after: int = 0) -> Backup:
    return await create_backup(url, folder, NOON + after * 1_000_000)


async def test_every_table_comes_back_on_either_database(url: str, other_url: str, tmp_path: Path) -> None:
    await fill_with_samples(url)
    made = await save(url, tmp_path / "backups")
    assert made.path.name == "backup_20260301_120000.nervio"
    assert set(made.manifest.tables) == set(metadata.tables)
    assert {table.rows for table in made.manifest.tables.values()} == {1}
    restored = await restore_backup(other_url, made.path)
    assert restored.revision == migrate.newest()
    assert restored.replaced is None
    assert await everything_in(other_url) == await everything_in(url)
    assert await migrate.upgrade(other_url) == migrate.newest()


async def test_a_shop_goes_on_where_it_was_restored(store: Store, other_url: str, tmp_path: Path) -> None:
    product = await a_stocked_product(store, 10)
    await a_hold(store, product, 2)
    await a_sale(store, lines=3)
    made = await save(url_of(store), tmp_path / "backups")
    await restore_backup(other_url, made.path)
    async with an_open(other_url, store) as moved:
        assert await level_of(moved, product) == (10, 2)
        again = await a_sale(moved, lines=2)
        assert again.total > 0
        await assert_sound(moved)


async def test_commits_without_a_number_get_one_when_they_are_restored(
    url: str, other_url: str, tmp_path: Path
) -> None:
    """PostgreSQL numbers commits after the fact; a database with one writer would never come back to them."""
    rows = [(new_id(), 1, 1), (new_id(), 2, None), (new_id(), 3, None)]

    def insert(connection: Connection) -> None:
        for commit_id, seq, position in rows:
            row = {"id": commit_id, "seq": seq, "position": position, "recorded_at": NOON, "entries": 0, "digest": b""}
            connection.execute(metadata.tables["commits"].insert().values(row))

    await on(url, insert)
    made = await save(url, tmp_path / "backups")
    await restore_backup(other_url, made.path)
    c = metadata.tables["commits"].c
    numbered = await on(
        other_url, lambda connection: connection.execute(select(c.id, c.position).order_by(c.position)).all()
    )
    assert [tuple(row) for row in numbered] == [(row[0], n) for n, row in enumerate(rows, 1)]


async def test_files_travel_with_the_rows(url: str, tmp_path: Path) -> None:
    made = await create_backup(
        url,
        tmp_path / "backups",
        NOON,
        files={"settings.json": b"{}", "keys/seal.pem": b"secret"},
        snapshot_files=lambda connection: {"revision": str(migrate.current_on(connection)).encode()},
        keys_included=True,
    )
    assert made.manifest.keys_included
    restored = await restore_backup(f"sqlite:///{tmp_path / 'new.db'}", made.path)
    assert restored.files == {"settings.json": b"{}", "keys/seal.pem": b"secret", "revision": migrate.newest().encode()}
    assert made.path.stat().st_mode & 0o077 == 0, "a backup holds everything there is: nobody else may read it"


async def test_what_is_there_is_replaced_only_when_asked(url: str, other_url: str, tmp_path: Path) -> None:
    await fill_with_samples(url)
    first = await save(url, tmp_path / "backups")
    await restore_backup(other_url, first.path)
    await on(other_url, lambda connection: connection.execute(text("UPDATE products SET name = 'changed since'")))
    changed = await everything_in(other_url)
    with pytest.raises(NervioError, match="--force") as refusal:
        await restore_backup(other_url, first.path)
    assert (refusal.value.kind, refusal.value.code) == (Kind.CONFLICT, "not_empty")
    assert await everything_in(other_url) == changed
    restored = await restore_backup(other_url, first.path, force=True)
    assert await everything_in(other_url) == await everything_in(url)
    if restored.replaced is not None:
        assert await everything_in(f"sqlite:///{restored.replaced}") == changed


async def test_a_migrated_but_empty_database_needs_no_force(url: str, other_url: str, tmp_path: Path) -> None:
    await fill_with_samples(url)
    made = await save(url, tmp_path / "backups")
    if "sqlite" in other_url:
        (tmp_path / "elsewhere").mkdir()
    await migrate.upgrade(other_url)
    await restore_backup(other_url, made.path)
    assert await everything_in(other_url) == await everything_in(url)


async def test_nothing_is_restored_under_a_running_server(store: Store, tmp_path: Path) -> None:
    product = await a_stocked_product(store, 10)
    made = await save(url_of(store), tmp_path / "backups")
    with pytest.raises(NervioError, match="Stop Nervio") as refusal:
        await restore_backup(url_of(store), made.path, force=True)
    assert refusal.value.code == "in_use"
    assert await level_of(store, product) == (10, 0)


async def test_a_backup_of_an_older_schema_is_upgraded(empty_url: str, other_url: str, tmp_path: Path) -> None:
    first = migrate.revisions()[0]

    def old(connection: Connection) -> None:
        migrate.upgrade_connection(connection, first)
        found = MetaData()
        found.reflect(connection, only=["halts", "commits"])
        for table in found.sorted_tables:
            connection.execute(table.insert().values(sample_of(table)))

    await on(empty_url, old)
    made = await save(empty_url, tmp_path / "backups")
    assert made.manifest.revision == first
    restored = await restore_backup(other_url, made.path)
    assert restored.revision == migrate.newest()
    there = await everything_in(other_url)
    assert len(there["halts"]) == len(there["commits"]) == 1
    assert set(there) == set(metadata.tables)


async def test_a_backup_of_a_newer_schema_is_refused(url: str, tmp_path: Path) -> None:
    made = await save(url, tmp_path / "backups")
    newer = rewritten(made.path, revision="9999", nervio="77.0")
    target = tmp_path / "new.db"
    with pytest.raises(NervioError, match=r"9999.*77\.0") as refusal:
        await restore_backup(f"sqlite:///{target}", newer)
    assert refusal.value.code == "schema_newer"
    assert not target.exists()


async def test_a_database_without_tables_has_nothing_to_save(empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(NervioError) as refusal:
        await save(empty_url, tmp_path / "backups")
    assert refusal.value.code == "nothing_to_save"
    assert list((tmp_path / "backups").iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_named(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NervioError, match="give another folder") as refusal:
        await save(url, tmp_path / "file" / "backups")
    assert refusal.value.code == "backup_not_written"


async def test_a_second_backup_of_the_same_second_does_not_replace_the_first(url: str, tmp_path: Path) -> None:
    made = await save(url, tmp_path)
    before = made.path.read_bytes()
    with pytest.raises(NervioError) as refusal:
        await save(url, tmp_path)
    assert refusal.value.code == "backup_exists"
    assert made.path.read_bytes() == before
    assert list_backups(tmp_path) == [made.path]


async def test_what_a_killed_backup_left_is_removed_a_day_later(url: str, tmp_path: Path) -> None:
    old, young = (tmp_path / f".backup_2026030{n}_020000.nervio.1.partial" for n in (1, 2))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    await save(url, tmp_path)
    assert not old.exists()
    assert young.exists()


def test_old_backups_go_but_one_a_day_stays(tmp_path: Path) -> None:
    names = [f"backup_2026030{day}_{hour:02}0000.nervio" for day in (1, 2, 3, 4) for hour in (2, 14)]
    for name in [*names, "backup_20260301_020000.nervio.partial", "notes.txt"]:
        (tmp_path / name).write_bytes(b"")
    deleted = delete_old_backups(tmp_path, keep_days=3)
    assert [path.name for path in list_backups(tmp_path)] == [
        "backup_20260304_140000.nervio",
        "backup_20260304_020000.nervio",
        "backup_20260303_140000.nervio",
        "backup_20260302_140000.nervio",
    ]
    assert len(deleted) == 4
    assert (tmp_path / "notes.txt").exists()


async def test_verification_finds_rows_that_break_a_rule_although_their_checksums_are_right(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nervio.db'}"
    await migrate.upgrade(url)
    # Foreign keys are not enforced on maintenance connections: a barcode of a product that is not there.
    barcode = metadata.tables["barcodes"]
    await on(url, lambda connection: connection.execute(barcode.insert().values(sample_of(barcode))))
    with pytest.raises(NervioError, match="foreign keys that point nowhere") as refusal:
        await save(url, tmp_path / "backups")
    assert refusal.value.code == "backup_damaged"
    assert list_backups(tmp_path / "backups") == []


async def test_verification_reads_everything_back(url: str, tmp_path: Path) -> None:
    await fill_with_samples(url)
    made = await save(url, tmp_path)
    assert verify_backup(made.path) == made.manifest
    with ArchiveReader(made.path) as archive:
        archive.check()


@pytest.mark.sockets
async def test_a_database_that_does_not_answer_is_not_taken_for_a_full_disk(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(NervioError, match=f"127.0.0.1:{free_port} cannot be reached") as refusal:
        await save(f"postgresql://postgres@127.0.0.1:{free_port}/nervio", tmp_path)
    assert refusal.value.code == "database_unreachable"
