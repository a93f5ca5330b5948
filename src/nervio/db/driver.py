"""The write path's short way to the driver: SQLAlchemy writes a statement once, the driver runs it ever after.

A batch asks a dozen small questions. Executing one through SQLAlchemy costs several times what the database needs to answer
it; what is skipped here is that cost and nothing else: same connection, same transaction, same errors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Connection, Select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from nervio.db.writes import Row

_ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


def run_on_sqlite(connection: Connection, sql: str, arguments: Sequence[Any]) -> list[Row]:
    """The rows of a statement. Raises DBAPIError."""
    raw: Any = connection.connection.dbapi_connection
    try:
        rows: list[Row] = raw.execute(sql, arguments).fetchall()
    except sqlite3.Error as error:
        raise _as_sqlalchemy_would(connection, sql, error) from error
    return rows


def run_many_on_sqlite(connection: Connection, sql: str, rows: Sequence[Row]) -> None:
    """A statement for each row. Raises DBAPIError."""
    raw: Any = connection.connection.dbapi_connection
    try:
        raw.executemany(sql, rows)
    except sqlite3.Error as error:
        raise _as_sqlalchemy_would(connection, sql, error) from error


def run_on_asyncpg(connection: Connection, sql: str, arguments: Sequence[Any]) -> list[Row]:
    """The rows of a statement, inside a transaction that has begun on the server (SQLAlchemy's own begins with the first
    statement of its own). Raises DBAPIError, with `connection_invalidated` when the connection broke."""
    adapter: Any = connection.connection.dbapi_connection
    try:
        rows: list[Row] = adapter.run_async(lambda raw: raw.fetch(sql, *arguments))
    except _ASYNCPG_ERRORS as error:
        raise _lost_or_refused(connection, sql, error) from error
    return rows


def run_script_on_asyncpg(connection: Connection, script: str) -> str:
    """Statements without arguments, in one round trip; returns the last one's tag. Raises as `run_on_asyncpg`."""
    adapter: Any = connection.connection.dbapi_connection
    try:
        tag: str = adapter.run_async(lambda raw: raw.execute(script))
    except _ASYNCPG_ERRORS as error:
        raise _lost_or_refused(connection, script, error) from error
    return tag


def _lost_or_refused(connection: Connection, sql: str, error: BaseException) -> DBAPIError:
    adapter: Any = connection.connection.dbapi_connection
    lost = isinstance(error, OSError) or adapter.driver_connection.is_closed()
    if lost:
        connection.invalidate(error)
    kind = DBAPIError
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        kind = IntegrityError
    elif isinstance(error, asyncpg.DataError):
        kind = DataError
    return kind(sql, None, error, connection_invalidated=lost)


def _as_sqlalchemy_would(connection: Connection, sql: str, error: sqlite3.Error) -> BaseException:
    return DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=connection.dialect)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A SELECT as the driver takes it: its text, where each argument comes from, and what is done to each column."""

    sql: str
    arguments: Sequence[tuple[str, Any]]
    converters: Sequence[Callable[[Any], Any] | None]

    def fill(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The arguments in the order of the text; what the statement fixed itself stays as it is."""
        return [parameters.get(name, fixed) for name, fixed in self.arguments]

    def convert(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in Python's types, as SQLAlchemy would give them."""
        if not any(self.converters):
            return [tuple(row) for row in rows]
        each = self.converters
        return [
            tuple([value if to is None or value is None else to(value) for to, value in zip(each, row, strict=True)])
            for row in rows
        ]


_compiled: dict[tuple[str, int], tuple[Select[Any], Compiled]] = {}


def compiled(connection: Connection, statement: Select[Any]) -> Compiled:
    """The statement compiled for the connection's database, once. It must be one that lives as long as the program."""
    name = (connection.dialect.name, id(statement))
    found = _compiled.get(name)
    if found is None:
        text = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        fixed = text.construct_params(_check=False)
        arguments = [(parameter, fixed.get(parameter)) for parameter in text.positiontup or ()]
        converters = [
            column.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
            for column in statement.selected_columns
        ]
        # The statement is kept with it: its identity is the key.
        found = _compiled[name] = (statement, Compiled(str(text), arguments, converters))
    return found[1]
