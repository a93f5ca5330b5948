"""How the product's statements reach the simulated server: SQLAlchemy's side of it, and the product's own dialect."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Delete, Engine, Select, Table, Update, event, func, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError, IntegrityError

from nervio.db import dialects, writes
from nervio.db.dialects import SQLiteDialect
from nervio.db.driver import compiled, run_many_on_sqlite, run_on_sqlite
from nervio.db.statements import sqlite_sql
from nervio.db.tables import commits
from nervio.db.writes import Insert, KeysRaced, Row, Write
from tests.simulation.locking import FENCE
from tests.simulation.server import Session

_MARK = "/*locks "
_RETRYABLE = {"40001", "40P01", "55P03"}


class SimulatedSQLAlchemy(SQLiteDialect_pysqlite):
    """SQLite's SQL, under a name of its own; transactions are the session's business."""

    name = "simulated"
    supports_statement_cache = True

    def do_commit(self, dbapi_connection: Any) -> None:
        return

    def do_rollback(self, dbapi_connection: Any) -> None:
        return


class SimulatedDialect(SQLiteDialect):
    """What the product's write path says on the simulated server."""

    name = "simulated"
    driver = "simulated"
    locks_rows = True

    def __init__(self) -> None:
        self._locking: list[tuple[Select[Any], Table]] = []

    def lock(self, statement: Select[Any], table: Table) -> Select[Any]:
        keys = statement.with_only_columns(*table.primary_key.columns)
        self._locking.append((keys, table))
        return statement.prefix_with(f"{_MARK}{len(self._locking) - 1} */")

    def run(self, connection: Connection, sql: str, arguments: Sequence[Any]) -> list[Row]:
        session = session_of(connection)
        locking = self._locks_of(sql)
        if locking is None:
            session.step(_short(sql))
            return run_on_sqlite(connection, sql, arguments)
        keys, table = locking
        session.step(f"lock {table.name}")
        of_keys = compiled(connection, keys).sql
        wanted = run_on_sqlite(connection, of_keys, arguments)
        waited = session.lock_rows(table.name, wanted)
        rows = run_on_sqlite(connection, sql, arguments)
        if not waited and len(wanted) < 2:
            return rows
        # Who waited sees the rows as they are by then, and none that came while one was locked after the other.
        mine = set(wanted)
        now = run_on_sqlite(connection, of_keys, arguments)
        return [row for key, row in zip(now, rows, strict=True) if key in mine]

    @contextmanager
    def fenced(self, connection: Connection, exclusive: bool) -> Iterator[None]:
        session = session_of(connection)
        with connection.begin():
            try:
                session.step("BEGIN, stop" if exclusive else "BEGIN")
                session.lock(FENCE, exclusive=exclusive)
                yield
            except BaseException:
                session.rollback()
                raise
            try:
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def take_fence(self, connection: Connection, exclusive: bool) -> None:
        session_of(connection).lock(FENCE, exclusive=exclusive)

    def apply(self, connection: Connection, writes: Sequence[Write]) -> None:
        session = session_of(connection)
        session.step(f"flush {' '.join(write.table.name for write in writes if write.rows)}")
        for write in writes:
            if isinstance(write, writes_update):
                for row in write.rows:
                    session.lock((write.table.name, *row[: len(write.key)]))
        session.begin_to_write()
        if session.commit_row is not None:
            super().insert_commit(connection, session.commit_row)
        for write in writes:
            if isinstance(write, Insert) and write.may_race:
                _insert_racing(connection, write)
            elif write.rows:
                run_many_on_sqlite(connection, sqlite_sql(write), write.rows)
        session.writes.extend(writes)

    def insert_missing(self, connection: Connection, write: Insert) -> None:
        # Committed at once, so that nobody has to wait for the rest of this transaction to write another row. Empty rows
        # may stay behind where PostgreSQL would take them back; whoever wants one finds it and locks it.
        session = session_of(connection)
        session.step(f"insert missing {write.table.name}")
        sql = f"{sqlite_sql(write)} ON CONFLICT DO NOTHING"
        session.write_at_once(lambda raw: raw.executemany(sql, write.rows))

    def clock(self) -> ColumnElement[int]:
        return func.server_now(type_=BigInteger)

    def insert_commit(self, connection: Connection, row: Row) -> list[Write]:
        session_of(connection).commit_row = row
        return []

    def is_retryable(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in _RETRYABLE

    def is_collision(self, error: DBAPIError) -> bool:
        return isinstance(error, IntegrityError) and "UNIQUE" in str(error.orig)

    def _locks_of(self, sql: str) -> tuple[Select[Any], Table] | None:
        at = sql.find(_MARK, 0, 40)
        return None if at < 0 else self._locking[int(sql[at + len(_MARK) :].split(maxsplit=1)[0])]


writes_update = writes.Update
DIALECT = SimulatedDialect()


def learn() -> None:
    """Teaches the product the simulated server's name. Idempotent."""
    dialects._DIALECTS["simulated"] = DIALECT


def session_of(connection: Connection) -> Session:
    """The session behind a connection."""
    session: Session = connection.info["session"]
    return session


def listen(engine: Engine) -> None:
    """Sends what goes through SQLAlchemy itself (small direct statements, bookkeeping, reads) the same way."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def before(
        connection: Connection, _cursor: object, sql: str, parameters: Any, context: Any, _many: bool
    ) -> tuple[str, Any]:
        if connection.info.get("looking"):
            return sql, parameters
        session = session_of(connection)
        session.step(_short(sql))
        statement = getattr(context, "invoked_statement", None)
        if isinstance(statement, Select) and (statement._for_update_arg is not None or _MARK in sql):
            table = _locked_table(statement)
            if statement._for_update_arg is not None and statement._for_update_arg.skip_locked:
                left_out = _lock_free_rows(session, statement, table, context)
                return sql, tuple(_without(given, left_out) for given in parameters)
            _lock_rows(session, statement, table, context)
        elif isinstance(statement, Update | Delete):
            changed = statement.table
            assert isinstance(changed, Table)
            keys = select(*changed.primary_key.columns).where(*statement._where_criteria)
            _lock_rows(session, keys, changed, context)
        if context.isinsert or context.isupdate or context.isdelete or _writes(sql):
            session.begin_to_write()
        return sql, parameters

    @event.listens_for(engine, "savepoint")
    def savepoint(connection: Connection, _name: object) -> None:
        session_of(connection).begin_to_write()


def _lock_rows(session: Session, statement: Select[Any], table: Table, context: Any) -> None:
    """Locks what the statement finds. It sees what has come while others went on, where PostgreSQL would leave that out; so
    these rows are locked too."""
    locked: set[Any] = set()
    while new := [key for key in _keys_of(session, statement, table, context) if key not in locked]:
        waited = session.lock_rows(table.name, new)
        locked.update(new)
        if not waited and len(new) < 2:
            return


def _lock_free_rows(session: Session, statement: Select[Any], table: Table, context: Any) -> set[Any]:
    """Locks what nobody has; returns the keys of the others (SKIP LOCKED)."""
    keys = _keys_of(session, statement, table, context)
    return {key for key in keys if not session.try_lock((table.name, *key))}


def _without(given: Any, left_out: set[Any]) -> Any:
    """A list of keys as the product hands it to SQLite, without some."""
    if not left_out or not isinstance(given, str) or not given.startswith("["):
        return given
    return json.dumps([key for key in json.loads(given) if tuple(key) not in left_out])


def _keys_of(session: Session, statement: Select[Any], table: Table, context: Any) -> list[Any]:
    keys = statement.with_only_columns(*table.primary_key.columns, maintain_column_froms=True)
    text = keys.compile(dialect=session.connection.dialect)
    given = context.compiled_parameters[0] if context.compiled_parameters else {}
    missing = {name: given[name] for name, bind in text.binds.items() if bind.required and name in given}
    session.connection.info["looking"] = True
    try:
        return [tuple(row) for row in session.connection.execute(keys, missing)]
    finally:
        session.connection.info["looking"] = False


def _locked_table(statement: Select[Any]) -> Table:
    of = statement._for_update_arg.of if statement._for_update_arg is not None else None
    tables = [one for one in of or statement.get_final_froms() if isinstance(one, Table)]
    assert len(tables) == 1, "which table's rows are locked?"
    return tables[0]


def _insert_racing(connection: Connection, write: Insert) -> None:
    raw: Any = connection.connection.dbapi_connection
    before = raw.total_changes
    try:
        raw.executemany(f"{sqlite_sql(write)} ON CONFLICT DO NOTHING", write.rows)
    except sqlite3.Error as error:
        raise DBAPIError("", None, error) from error
    if raw.total_changes - before != len(write.rows):
        raise KeysRaced


def _writes(sql: str) -> bool:
    return sql.lstrip()[:6].upper() in {"INSERT", "UPDATE", "DELETE"}


def _short(sql: str) -> str:
    words = sql.split()
    source = next((words[n + 1] for n, word in enumerate(words[:-1]) if word in {"FROM", "INTO", "UPDATE"}), "")
    return f"{words[0].lower()} {source[:24]}"


__all__ = ["DIALECT", "SimulatedDialect", "SimulatedSQLAlchemy", "commits", "learn", "listen", "session_of"]
