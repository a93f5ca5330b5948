"""The tree of revisions makes the tables of the code, keeps the rows it meets, and refuses what it does not know."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select, text

from nervio.db import maintenance, migrate
from nervio.db.tables import metadata
from nervio.kernel.errors import Kind, NervioError
from nervio.runtime.manifests import MANIFESTS
from tests.modules.db.conftest import on
from tests.modules.db.samples import sample_of
from tests.modules.db.schema import describe

assert MANIFESTS, "importing the manifests makes every module's tables known"


async def test_the_last_revision_has_the_tables_of_the_code(empty_url: str) -> None:
    assert await migrate.upgrade(empty_url) == migrate.newest()

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert await on(empty_url, differences) == []


async def test_upgraded_and_freshly_made_databases_are_the_same_in_everything(empty_url: str) -> None:
    """Checks, partial indexes, fill factors, tables without row ids and the sequence too, which Alembic does not compare."""

    def made_at_once(connection: Connection) -> dict[str, Any]:
        metadata.create_all(connection)
        made = describe(connection)
        metadata.drop_all(connection)
        assert inspect(connection).get_table_names() == []
        return made

    expected = await on(empty_url, made_at_once)
    await migrate.upgrade(empty_url)
    assert await on(empty_url, describe) == expected


async def test_upgrading_again_changes_nothing(url: str) -> None:
    before = await on(url, describe)
    assert await migrate.upgrade(url) == migrate.newest()
    assert await migrate.current(url) == migrate.newest()
    assert await on(url, describe) == before
    await migrate.require_newest(url)


async def test_every_revision_keeps_the_rows_it_meets(empty_url: str) -> None:
    """Walks the revisions one by one; a table gets a row as soon as it is there, and has it after all later ones."""
    seen: dict[str, dict[str, Any]] = {}
    for revision in migrate.revisions():
        await on(empty_url, lambda connection, to=revision: migrate.upgrade_connection(connection, to))  # type: ignore[misc]
        rows = await on(empty_url, _rows)
        for table, row in seen.items():
            assert table in rows, f"revision {revision} lost the table {table}"
            assert len(rows[table]) == 1, f"revision {revision} changed the number of rows of {table}"
            kept = {name: value for name, value in rows[table][0].items() if name in row}
            assert kept == {name: row[name] for name in kept}, f"revision {revision} changed a row of {table}"
        seen.update(await on(empty_url, lambda connection: _fill_new(connection, set(seen))))
    assert set(seen) == set(metadata.tables)


def _rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    found.reflect(connection)
    return {
        str(table.name): [dict(row._mapping) for row in connection.execute(select(table))]
        for table in found.sorted_tables
        if table.name != migrate.VERSION_TABLE
    }


def _fill_new(connection: Connection, known: set[str]) -> dict[str, dict[str, Any]]:
    found = MetaData()
    found.reflect(connection)
    filled = {}
    for table in found.sorted_tables:
        if table.name not in known and table.name != migrate.VERSION_TABLE:
            connection.execute(table.insert().values(sample_of(table)))
            filled[str(table.name)] = dict(connection.execute(select(table)).one()._mapping)
    return filled


async def test_a_newer_schema_is_refused_by_name(url: str) -> None:
    await on(url, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for refuse in (migrate.upgrade, migrate.require_newest):
        with pytest.raises(NervioError, match=r"9999.*newer Nervio") as refusal:
            await refuse(url)
        assert (refusal.value.kind, refusal.value.code) == (Kind.CONFLICT, "schema_newer")
        assert refusal.value.data["newest"] == migrate.newest()


async def test_an_older_schema_is_refused_by_who_does_not_migrate(empty_url: str) -> None:
    with pytest.raises(NervioError, match="at revision none") as refusal:
        await migrate.require_newest(empty_url)
    assert refusal.value.code == "schema_older"
    first = migrate.revisions()[0]
    await on(empty_url, lambda connection: migrate.upgrade_connection(connection, first))
    with pytest.raises(NervioError, match=f"at revision {first}"):
        await migrate.require_newest(empty_url)


async def test_tables_that_no_revision_made_are_refused(empty_url: str) -> None:
    await on(empty_url, metadata.create_all)
    with pytest.raises(NervioError, match="no schema revision") as refusal:
        await migrate.upgrade(empty_url)
    assert refusal.value.code == "schema_unmarked"


async def test_a_revision_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    # Somebody's view stands where a table is to be made.
    await on(empty_url, lambda connection: connection.execute(text("CREATE VIEW journal_entries AS SELECT 1 AS one")))
    before = await on(empty_url, describe)
    with pytest.raises(Exception, match="journal_entries"):
        await migrate.upgrade(empty_url)
    assert await migrate.current(empty_url) is None
    assert await on(empty_url, describe) == before


def test_there_is_one_line_of_revisions_and_no_way_back() -> None:
    scripts = ScriptDirectory.from_config(migrate._config())
    assert scripts.get_heads() == [migrate.newest()]
    for revision in scripts.walk_revisions():
        assert not revision.is_branch_point
        with pytest.raises(NotImplementedError, match="only go forward"):
            revision.module.downgrade()


def test_an_unknown_database_is_named() -> None:
    with pytest.raises(ValueError, match="not on 'mysql'"):
        maintenance.address_of("mysql://root@127.0.0.1/nervio")
