"""Rows of sums that a batch adds to: found and locked in order, or made where there are none yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, and_, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.writes import Insert, Row, RowsFirst

Names = tuple[str, ...]
K = TypeVar("K", bound=Row)
V = TypeVar("V")


def lock_sums(
    connection: Connection,
    dialect: Dialect,
    table: Table,
    key: Names,
    sums: Names,
    wanted: Sequence[Row],
    *,
    rows_first: bool,
) -> dict[Row, list[int]]:
    """Locks the rows with these keys, sorted, and returns their sums; rows that are missing are made with zeros."""

    def lock(rows: Sequence[Row]) -> dict[Row, list[int]]:
        parameters = dialect.rows_parameters("k", [table.c[name] for name in key], rows)
        found = look_up(connection, _locked(dialect, table, key, sums), parameters)
        return {tuple(row[: len(key)]): list(row[len(key) :]) for row in found}

    return find_or_make(connection, dialect, wanted, lock, zeros_of(table, key, sums), rows_first=rows_first)


def zeros_of(table: Table, key: Names, sums: Names) -> Callable[[Sequence[Row]], Insert]:
    """What makes rows with these keys, all of whose sums are 0."""
    return lambda rows: Insert(table, (*key, *sums), [(*row, *([0] * len(sums))) for row in rows])


def find_or_make(
    connection: Connection,
    dialect: Dialect,
    wanted: Sequence[K],
    lock: Callable[[Sequence[K]], dict[K, V]],
    make: Callable[[Sequence[K]], Insert],
    *,
    rows_first: bool,
) -> dict[K, V]:
    """What `lock` finds of the rows with these keys, sorted, after `make` has made those that are missing.

    Whoever makes a row holds it, so that rows are either all made before any is locked or the transaction begins again: see
    `RowsFirst`.
    """
    if rows_first:
        dialect.insert_missing(connection, make(wanted))
    found = lock(wanted)
    missing = [row for row in wanted if row not in found]
    if missing:
        if found and dialect.locks_rows:
            raise RowsFirst
        dialect.insert_missing(connection, make(missing))
        # Read again, not assumed: another process may have made and filled them meanwhile.
        found.update(lock(missing))
    return found


@lru_cache(maxsize=64)
def _locked(dialect: Dialect, table: Table, key: Names, sums: Names) -> Select[Any]:
    columns = [table.c[name] for name in key]
    keys = dialect.rows_table("k", columns)
    same = and_(*(column == keys.c[column.name] for column in columns))
    rows = select(*columns, *(table.c[name] for name in sums)).join_from(keys, table, same)
    return dialect.lock(rows.order_by(*columns), table)
