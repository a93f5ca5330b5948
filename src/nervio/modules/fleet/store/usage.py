"""What tenants used: one row a tenant, day and kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert, RowsFirst
from nervio.modules.fleet.contracts import Usage
from nervio.modules.fleet.models import fleet_usage

_U = fleet_usage.c

UsageKey = tuple[str, str, str]
"""(tenant, day, kind)"""

KEY = ("tenant_id", "day", "kind")
SUMS = (
    "submitted",
    "done",
    "failed",
    "cancelled",
    "attempts_failed",
    "worked_ms",
    "input_tokens",
    "output_tokens",
)


def lock_usage(
    connection: Connection, dialect: Dialect, wanted: Sequence[UsageKey], *, rows_first: bool
) -> dict[UsageKey, list[int]]:
    """Locks rows in key order and returns their sums, making empty rows where there are none yet.

    Whoever makes a row holds it, so that rows are either all made before any is locked or the transaction begins again: see
    `RowsFirst`.
    """
    if rows_first:
        dialect.insert_missing(connection, _empty(wanted))
    found = _read(connection, dialect, wanted)
    missing = [key for key in wanted if key not in found]
    if missing:
        if found and dialect.locks_rows:
            raise RowsFirst
        dialect.insert_missing(connection, _empty(missing))
        # Read again, not assumed: another process may have made and filled them meanwhile.
        found.update(_read(connection, dialect, missing))
    return found


def read_usage(connection: TenantConnection, since: str, until: str) -> list[Usage]:
    """Sums a kind over days from `since` to `until`, both included."""
    rows = connection.look_up(_sums(), {"since": since, "until": until})
    return [Usage(row[0], *(int(value) for value in row[1:])) for row in rows]


@cache
def _sums() -> Select[Any]:
    days = (_U.day >= bindparam("since"), _U.day <= bindparam("until"))
    sums = select(_U.kind, *(func.coalesce(func.sum(_U[name]), 0) for name in SUMS))
    return sums.where(_U.tenant_id == bindparam("tenant_id"), *days).group_by(_U.kind).order_by(_U.kind)


def _empty(keys: Sequence[UsageKey]) -> Insert:
    return Insert(fleet_usage, (*KEY, *SUMS), [(*key, *([0] * len(SUMS))) for key in keys])


def _read(connection: Connection, dialect: Dialect, keys: Sequence[UsageKey]) -> dict[UsageKey, list[int]]:
    parameters = dialect.rows_parameters("k", [_U.tenant_id, _U.day, _U.kind], keys)
    rows = look_up(connection, _locked(dialect), parameters)
    return {(row[0], row[1], row[2]): list(row[3:]) for row in rows}


@cache
def _locked(dialect: Dialect) -> Select[Any]:
    keys = dialect.rows_table("k", [_U.tenant_id, _U.day, _U.kind])
    same = and_(_U.tenant_id == keys.c.tenant_id, _U.day == keys.c.day, _U.kind == keys.c.kind)
    rows = select(_U.tenant_id, _U.day, _U.kind, *(_U[name] for name in SUMS)).join_from(keys, fleet_usage, same)
    return dialect.lock(rows.order_by(_U.tenant_id, _U.day, _U.kind), fleet_usage)
