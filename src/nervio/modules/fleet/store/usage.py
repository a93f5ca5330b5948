"""What tenants used: one row a tenant, day and kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, literal_column, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.sums import find_or_make, zeros_of
from nervio.db.tenancy import TenantConnection
from nervio.modules.fleet.contracts import Usage
from nervio.modules.fleet.models import fleet_limits, fleet_usage

_U, _L = fleet_usage.c, fleet_limits.c

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
    "cached",
    "saved_input_tokens",
    "saved_output_tokens",
)


def lock_usage(
    connection: Connection, dialect: Dialect, wanted: Sequence[UsageKey], *, rows_first: bool
) -> tuple[dict[UsageKey, list[int]], set[str]]:
    """Locks rows in key order and returns their sums, making empty rows where there are none yet; and which of the tenants have
    limits."""
    limited: set[str] = set()

    def lock(keys: Sequence[UsageKey]) -> dict[UsageKey, list[int]]:
        parameters = dialect.rows_parameters("k", [_U.tenant_id, _U.day, _U.kind], keys)
        rows = look_up(connection, _locked(dialect), parameters)
        limited.update(row[3] for row in rows if row[3] is not None)
        return {(row[0], row[1], row[2]): list(row[4:]) for row in rows}

    zeros = zeros_of(fleet_usage, KEY, SUMS)
    return find_or_make(connection, dialect, wanted, lock, zeros, rows_first=rows_first), limited


def read_usage(connection: TenantConnection, since: str, until: str) -> list[Usage]:
    """Sums a kind over days from `since` to `until`, both included."""
    rows = connection.look_up(_sums(), {"since": since, "until": until})
    return [Usage(row[0], *(int(value) for value in row[1:])) for row in rows]


@cache
def _sums() -> Select[Any]:
    days = (_U.day >= bindparam("since"), _U.day <= bindparam("until"))
    sums = select(_U.kind, *(func.coalesce(func.sum(_U[name]), 0) for name in SUMS))
    return sums.where(_U.tenant_id == bindparam("tenant_id"), *days).group_by(_U.kind).order_by(_U.kind)


@cache
def _locked(dialect: Dialect) -> Select[Any]:
    keys = dialect.rows_table("k", [_U.tenant_id, _U.day, _U.kind])
    same = and_(_U.tenant_id == keys.c.tenant_id, _U.day == keys.c.day, _U.kind == keys.c.kind)
    # With the rows it is told whether the tenant has limits, so that those who have none pay no statement for them.
    has_limits = and_(_L.tenant_id == _U.tenant_id, _L.limits != literal_column("'{}'"))
    columns = (_U.tenant_id, _U.day, _U.kind, _L.tenant_id, *(_U[name] for name in SUMS))
    rows = select(*columns).join_from(keys, fleet_usage, same).outerjoin(fleet_limits, has_limits)
    return dialect.lock(rows.order_by(_U.tenant_id, _U.day, _U.kind), fleet_usage)
