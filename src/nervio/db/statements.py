"""The text of set-wise writes in each database's own words; `dialects` says which of them is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from nervio.db.writes import Insert, Update, Write


def sqlite_sql(write: Write) -> str:
    """The statement that SQLite runs for each row of a write."""
    key = write.key if isinstance(write, Update) else ()
    return _sqlite_sql_of(write.table.name, key, write.columns)


@cache
def _sqlite_sql_of(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    if not key:
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    # Numbered parameters, because the rows give the key first and UPDATE wants it last.
    sets = ", ".join(f"{name} = ?{len(key) + n}" for n, name in enumerate(columns, 1))
    where = " AND ".join(f"{name} = ?{n}" for n, name in enumerate(key, 1))
    return f"UPDATE {table} SET {sets} WHERE {where}"


Shape = tuple[type, str, tuple[str, ...], tuple[str, ...], tuple[str, ...], bool]
_statements: dict[tuple[Shape, ...], str] = {}

OFTEN_SHARED = frozenset({"tenant_id", "commit_id", "recorded_at"})
"""Columns that travel as one value where every row has the same: asyncpg takes its time over each element of an array.
Few names, since each combination makes a statement of its own."""


def rows_of(table: Table, columns: Sequence[str], first: int, shared: Sequence[str] = ()) -> str:
    """A SELECT of rows of some columns, a parameter each, numbered from `first`: one value if `shared`, else an array."""
    native = postgresql.dialect()  # type: ignore[no-untyped-call]
    kinds = {name: f"${n}::{table.c[name].type.compile(native)}" for n, name in enumerate(columns, first)}
    arrays = [name for name in columns if name not in shared]
    chosen = ", ".join(f"{kinds[name]} AS {name}" if name in shared else f"r.{name}" for name in columns)
    source = ", ".join(f"{kinds[name]}[]" for name in arrays)
    return f"SELECT {chosen} FROM unnest({source}) AS r({', '.join(arrays)})"


def postgresql_sql(shape: tuple[Shape, ...], tables: tuple[Table, ...]) -> str:
    """One statement for all writes of a shape; its one value is how many of the rows that may race were written."""
    if shape in _statements:
        return _statements[shape]
    number = 1
    parts, counted = [], []
    for n, ((kind, name, key, columns, shared, may_race), table) in enumerate(zip(shape, tables, strict=True)):
        rows = rows_of(table, (*key, *columns), number, shared)
        number += len(key) + len(columns)
        if kind is Insert:
            race = " ON CONFLICT DO NOTHING RETURNING 1" if may_race else ""
            parts.append(f"w{n} AS (INSERT INTO {name} ({', '.join(columns)}) {rows}{race})")
            if may_race:
                counted.append(f"(SELECT count(*) FROM w{n})")
        else:
            sets = ", ".join(f"{c} = u.{c}" for c in columns)
            where = " AND ".join(f"t.{c} = u.{c}" for c in key)
            parts.append(f"w{n} AS (UPDATE {name} AS t SET {sets} FROM ({rows}) AS u WHERE {where})")
    _statements[shape] = f"WITH {', '.join(parts)} SELECT {' + '.join(counted) or '0'}"
    return _statements[shape]
