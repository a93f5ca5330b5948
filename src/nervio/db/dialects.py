"""Everything that differs between SQLite and PostgreSQL. No other file asks which database it is talking to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Table,
    UnaryExpression,
    bindparam,
    cast,
    column,
    extract,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.operators import custom_op

from nervio.db.driver import compiled, run_many_on_sqlite, run_on_asyncpg, run_on_sqlite, run_script_on_asyncpg
from nervio.db.statements import OFTEN_SHARED, Shape, postgresql_sql, rows_of, sqlite_sql
from nervio.db.tables import Id, commits
from nervio.db.writes import Insert, KeysRaced, Row, Update, Write

T = TypeVar("T")

# One number for the whole database: advisory locks are per database, and a stop is too.
FENCE_KEY = 0x4E45_5256_494F
SEQUENCER_KEY = FENCE_KEY + 1
STOP_CHANNEL = "nervio_stop"
QUEUE_CHANNEL = "nervio_queue"
SCHEMA_KEY = FENCE_KEY + 2

_UNIQUE_VIOLATION = "23505"
_RETRYABLE = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available


class Dialect(ABC):
    """What the database layer needs said differently on each database."""

    name: str
    driver: str
    numbers_commits_inline: bool
    """Whether a commit gets its dense position in its own transaction (one writer) or from the sequencer."""
    locks_rows: bool
    """Whether writers go on side by side and wait for each other's rows, so that the order of locks matters."""

    @abstractmethod
    def rows_table(self, alias: str, columns: Sequence[Column[Any]]) -> FromClause:
        """A table of rows that travel as one parameter a column (or one in all), to join against."""

    @abstractmethod
    def rows_parameters(self, alias: str, columns: Sequence[Column[Any]], rows: Sequence[Row]) -> dict[str, Any]:
        """The parameters that fill `rows_table(alias, columns)`."""

    @abstractmethod
    def lock(self, statement: Select[Any], table: Table) -> Select[Any]:
        """The statement, taking row locks of `table` where the database has such a thing."""

    @abstractmethod
    def not_by_index(self, c: ColumnElement[T]) -> ColumnElement[T]:
        """The column, for a condition that is to be checked on rows found otherwise. SQLite guesses without statistics which
        table of a join to begin with, and a condition on the larger one tempts it."""

    @abstractmethod
    def run(self, connection: Connection, sql: str, arguments: Sequence[Any]) -> list[Row]:
        """The rows of a statement in the driver's own words, run without SQLAlchemy's work. Raises DBAPIError."""

    @abstractmethod
    def read(self, connection: Connection, statement: Select[Any], parameters: Mapping[str, Any]) -> list[Row]:
        """The rows of a pooled read's SELECT that lives as long as the program, inside its transaction."""

    @abstractmethod
    def fenced(self, connection: Connection, exclusive: bool) -> AbstractContextManager[None]:
        """A write transaction that holds the halt fence from its first moment: commits when the block ends, rolls back
        when it raises."""

    @abstractmethod
    def take_fence(self, connection: Connection, exclusive: bool) -> None:
        """Takes the halt fence for the rest of the transaction; shared by writers, exclusive for a stop."""

    @abstractmethod
    def apply(self, connection: Connection, writes: Sequence[Write]) -> None:
        """Flushes the writes; a row is touched by at most one of them. Raises KeysRaced (see `Insert.may_race`)."""

    @abstractmethod
    def insert_missing(self, connection: Connection, write: Insert) -> None:
        """Inserts the rows that are not there yet, judged by any unique key."""

    @abstractmethod
    def insert_commit(self, connection: Connection, row: Row) -> list[Write]:
        """Adds the commit row (id, recorded_at, entries, digest); may return it as a write to flush with the rest."""

    @abstractmethod
    def tell_of_work(self, connection: Connection, queue: str) -> None:
        """Tells all processes, once the transaction commits, that there may be work in the queue."""

    @abstractmethod
    def clock(self) -> ColumnElement[int]:
        """The time by which halts run out, in microseconds: one clock for all processes that share the database. Where the
        database has none of its own it is the parameter `now`."""

    @abstractmethod
    def lock_schema(self, connection: Connection) -> None:
        """Lets one process at a time change the schema, for the rest of the transaction."""

    @abstractmethod
    def without_foreign_keys(self, connection: Connection) -> AbstractContextManager[None]:
        """Lets rows come in any order; every foreign key is checked when the block ends."""

    @abstractmethod
    def count_users(self, connection: Connection) -> int:
        """How many connections of running servers the database has; a file answers for itself when it is opened."""

    @abstractmethod
    def check_foreign_keys(self, connection: Connection) -> None:
        """Finds what a database that did not enforce foreign keys meanwhile let in; raises AssertionError."""

    @abstractmethod
    def is_retryable(self, error: DBAPIError) -> bool:
        """Whether the whole transaction may simply be run again."""

    @abstractmethod
    def is_collision(self, error: DBAPIError) -> bool:
        """Whether another process inserted a row that this one had found to be free."""


class SQLiteDialect(Dialect):
    """One writer, so most locks are nothing at all."""

    name = "sqlite"
    driver = "sqlite"
    numbers_commits_inline = True
    locks_rows = False

    def rows_table(self, alias: str, columns: Sequence[Column[Any]]) -> FromClause:
        each = func.json_each(bindparam(f"{alias}_rows", type_=String)).table_valued("value", name=f"{alias}_each")
        return select(
            *(
                func.json_extract(each.c.value, literal_column(f"'$[{n}]'"), type_=c.type).label(c.name)
                for n, c in enumerate(columns)
            )
        ).subquery(alias)

    def rows_parameters(self, alias: str, columns: Sequence[Column[Any]], rows: Sequence[Row]) -> dict[str, Any]:
        return {f"{alias}_rows": msgspec.json.encode(rows).decode()}

    def lock(self, statement: Select[Any], table: Table) -> Select[Any]:
        return statement

    def not_by_index(self, c: ColumnElement[T]) -> ColumnElement[T]:
        # A unary plus: https://sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_
        return UnaryExpression(c, operator=custom_op("+"), type_=c.type)

    def run(self, connection: Connection, sql: str, arguments: Sequence[Any]) -> list[Row]:
        return run_on_sqlite(connection, sql, arguments)

    def read(self, connection: Connection, statement: Select[Any], parameters: Mapping[str, Any]) -> list[Row]:
        return look_up(connection, statement, parameters)  # begun already, see `create_sqlite_engine`

    @contextmanager
    def fenced(self, connection: Connection, exclusive: bool) -> Iterator[None]:
        with connection.begin():
            yield

    def take_fence(self, connection: Connection, exclusive: bool) -> None:
        # BEGIN IMMEDIATE already holds the database's only write lock, which is the fence.
        return

    def apply(self, connection: Connection, writes: Sequence[Write]) -> None:
        for write in writes:
            if write.rows:
                run_many_on_sqlite(connection, sqlite_sql(write), write.rows)

    def insert_missing(self, connection: Connection, write: Insert) -> None:
        connection.exec_driver_sql(f"{sqlite_sql(write)} ON CONFLICT DO NOTHING", list(write.rows))

    def insert_commit(self, connection: Connection, row: Row) -> list[Write]:
        next_position = "SELECT coalesce(max(position), 0) + 1 AS next FROM commits"
        names = "id, recorded_at, entries, digest, seq, position"
        added = f"INSERT INTO commits ({names}) SELECT ?, ?, ?, ?, p.next, p.next FROM ({next_position}) AS p"
        self.run(connection, added, row)
        return []

    def tell_of_work(self, connection: Connection, queue: str) -> None:
        return  # the process that left it there is the one that works it off

    def clock(self) -> ColumnElement[int]:
        return bindparam("now", type_=BigInteger)  # a file is shared by processes of one machine, which has one clock

    def lock_schema(self, connection: Connection) -> None:
        return  # BEGIN IMMEDIATE holds the only write lock

    @contextmanager
    def without_foreign_keys(self, connection: Connection) -> Iterator[None]:
        yield  # maintenance connections do not enforce them
        self.check_foreign_keys(connection)

    def count_users(self, connection: Connection) -> int:
        return 0

    def check_foreign_keys(self, connection: Connection) -> None:
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
        assert not broken, f"foreign keys that point nowhere: {broken}"

    def is_retryable(self, error: DBAPIError) -> bool:
        return "database is locked" in str(error.orig)

    def is_collision(self, error: DBAPIError) -> bool:
        return False  # one writer at a time: what it found to be free stays free until it commits


class PostgreSQLDialect(Dialect):
    """Many writers, rows locked in key order; arrays travel as arrays."""

    name = "postgresql"
    driver = "postgresql+asyncpg"
    numbers_commits_inline = False
    locks_rows = True

    def rows_table(self, alias: str, columns: Sequence[Column[Any]]) -> FromClause:
        arrays = [bindparam(f"{alias}_{c.name}", type_=ARRAY(_array_type(c))) for c in columns]
        return (
            func.unnest(*arrays)
            .table_valued(*(column(c.name, c.type) for c in columns), name=alias)
            .render_derived(name=alias)
        )

    def rows_parameters(self, alias: str, columns: Sequence[Column[Any]], rows: Sequence[Row]) -> dict[str, Any]:
        return {f"{alias}_{c.name}": [row[n] for row in rows] for n, c in enumerate(columns)}

    def lock(self, statement: Select[Any], table: Table) -> Select[Any]:
        return statement.with_for_update(of=table)

    def not_by_index(self, c: ColumnElement[T]) -> ColumnElement[T]:
        return c  # it keeps statistics

    def run(self, connection: Connection, sql: str, arguments: Sequence[Any]) -> list[Row]:
        return run_on_asyncpg(connection, sql, arguments)

    def read(self, connection: Connection, statement: Select[Any], parameters: Mapping[str, Any]) -> list[Row]:
        return [tuple(row) for row in connection.execute(statement, parameters)]  # which begins the transaction

    @contextmanager
    def fenced(self, connection: Connection, exclusive: bool) -> Iterator[None]:
        # One round trip instead of SQLAlchemy's two, which is why the connection must leave transactions to us.
        assert connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        with connection.begin():
            try:
                run_script_on_asyncpg(connection, f"BEGIN; {';'.join(_fence(exclusive))}")
            except BaseException as error:
                # Timed out behind a stop, cancelled, or lost: no command's fault, and what state the session is in is not
                # worth finding out. On a new one the same batch may be tried again.
                connection.invalidate(error if isinstance(error, Exception) else None)
                if isinstance(error, DBAPIError):
                    error.connection_invalidated = True
                raise
            try:
                yield
            except BaseException:
                if not connection.invalidated:
                    run_script_on_asyncpg(connection, "ROLLBACK")
                raise
            tag = run_script_on_asyncpg(connection, "COMMIT")
            # The server answers the COMMIT of a transaction in which a statement failed with ROLLBACK, and no error.
            assert tag == "COMMIT", tag

    def take_fence(self, connection: Connection, exclusive: bool) -> None:
        for statement in _fence(exclusive):
            connection.exec_driver_sql(statement)

    def apply(self, connection: Connection, writes: Sequence[Write]) -> None:
        # Data-modifying CTEs: every table of the batch in one statement, one round trip. They run on one snapshot and
        # in no promised order, which is right because no row is touched twice.
        full = [write for write in writes if write.rows]
        if not full:
            return
        parameters: list[Any] = []
        shape: list[Shape] = []
        for write in full:
            key, may_race = (write.key, False) if isinstance(write, Update) else ((), write.may_race)
            shared: list[str] = []
            names = (*key, *write.columns)
            for name, values in zip(names, zip(*write.rows, strict=True), strict=True):
                # One column at least stays an array: it tells how many rows there are.
                may_share = name in OFTEN_SHARED and len(shared) < len(names) - 1
                is_shared = may_share and values.count(values[0]) == len(values)
                parameters.append(values[0] if is_shared else list(values))
                shared += [name] if is_shared else []
            shape.append((type(write), write.table.name, key, write.columns, tuple(shared), may_race))
        racing = sum(len(write.rows) for write in full if isinstance(write, Insert) and write.may_race)
        statement = postgresql_sql(tuple(shape), tuple(write.table for write in full))
        if self.run(connection, statement, parameters)[0][0] != racing:
            raise KeysRaced

    def insert_missing(self, connection: Connection, write: Insert) -> None:
        source = rows_of(write.table, write.columns, 1)
        connection.exec_driver_sql(
            f"INSERT INTO {write.table.name} ({', '.join(write.columns)}) {source} ON CONFLICT DO NOTHING",
            tuple([list(values) for values in zip(*write.rows, strict=True)]),
        )

    def insert_commit(self, connection: Connection, row: Row) -> list[Write]:
        # Its position is drawn from a sequence inside the flush, while every row lock is held.
        return [Insert(commits, ("id", "recorded_at", "entries", "digest"), [row])]

    def tell_of_work(self, connection: Connection, queue: str) -> None:
        self.run(connection, f"SELECT pg_notify('{QUEUE_CHANNEL}', $1)", (queue,))

    def clock(self) -> ColumnElement[int]:
        return cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)

    def lock_schema(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_KEY})")

    @contextmanager
    def without_foreign_keys(self, connection: Connection) -> Iterator[None]:
        keys = connection.exec_driver_sql(
            "SELECT conrelid::regclass, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY 1, 2"
        ).fetchall()
        for table, name, _ in keys:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        yield
        for table, name, definition in keys:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")

    def count_users(self, connection: Connection) -> int:
        users: int = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nervio'"
        ).scalar_one()
        return users

    def check_foreign_keys(self, connection: Connection) -> None:
        return  # always enforced

    def is_retryable(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in _RETRYABLE

    def is_collision(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) == _UNIQUE_VIOLATION


def _fence(exclusive: bool) -> Sequence[str]:
    if not exclusive:
        return (f"SELECT pg_advisory_xact_lock_shared({FENCE_KEY})",)
    # A stop counts once every synchronous standby has applied it (without standbys this is an ordinary commit), and wakes
    # the other processes when it commits.
    after = f"SELECT set_config('synchronous_commit', 'remote_apply', true), pg_notify('{STOP_CHANNEL}', '')"
    return (f"SELECT pg_advisory_xact_lock({FENCE_KEY})", after)


def look_up(connection: Connection, statement: Select[Any], parameters: Mapping[str, Any]) -> list[Row]:
    """The rows of a SELECT of the write path, which is made once and lives as long as the program (see `driver`).

    Not for pooled reads: SQLAlchemy begins their transaction, and so their snapshot, with a statement of its own.
    """
    ready = compiled(connection, statement)
    return ready.convert(dialect_of(connection).run(connection, ready.sql, ready.fill(parameters)))


def dialect_of(connection: Connection) -> Dialect:
    """The dialect a connection speaks."""
    return for_name(connection.dialect.name)


def for_name(name: str) -> Dialect:
    """The dialect of a SQLAlchemy dialect name; a database that is not supported is named in the error."""
    if name not in _DIALECTS:
        raise ValueError(f"Nervio runs on SQLite and PostgreSQL, not on {name!r}.")
    return _DIALECTS[name]


def execute_only_on(name: str, connection: Connection, *statements: str) -> None:
    """Runs statements that only one database has a use for (migrations do); on any other it does nothing."""
    if connection.dialect.name == name:
        for statement in statements:
            connection.exec_driver_sql(statement)


_DIALECTS: dict[str, Dialect] = {"sqlite": SQLiteDialect(), "postgresql": PostgreSQLDialect()}


def _array_type(c: Column[Any]) -> Any:
    return postgresql.UUID(as_uuid=False) if c.type is Id else c.type
