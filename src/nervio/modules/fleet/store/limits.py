"""Limits of tenants, and what is used of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, case, func, select

from nervio.db.dialects import Dialect, dialect_of, look_up
from nervio.db.tables import queue_items
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert
from nervio.kernel.time import Instant
from nervio.modules.fleet.contracts import Limits, Period
from nervio.modules.fleet.domain.limits import Used, first_of_month, read_limits
from nervio.modules.fleet.models import fleet_costs, fleet_limits, fleet_usage

_L, _U, _C, _Q = fleet_limits.c, fleet_usage.c, fleet_costs.c, queue_items.c

NONE = "{}"
LIMITS_KEY = ("tenant_id",)
LIMITS_COLUMNS = ("limits", "changed_by", "changed_at")


def lock_limits(connection: Connection, dialect: Dialect, tenants: Sequence[str]) -> dict[str, Limits]:
    """Locks the rows of tenants that have one, in their order: whoever decides about a tenant's limits waits for its row, and
    what is read of its use after that holds until the commit."""
    parameters = dialect.rows_parameters("k", [_L.tenant_id], [(tenant_id,) for tenant_id in tenants])
    return {row[0]: read_limits(row[1]) for row in look_up(connection, _locked(dialect), parameters)}


def make_rows(connection: Connection, dialect: Dialect, tenants: Sequence[str]) -> None:
    """Makes rows without limits where there are none."""
    rows = [(tenant_id, NONE, "", 0) for tenant_id in tenants]
    dialect.insert_missing(connection, Insert(fleet_limits, (*LIMITS_KEY, *LIMITS_COLUMNS), rows))


@cache
def _locked(dialect: Dialect) -> Select[Any]:
    keys = dialect.rows_table("k", [_L.tenant_id])
    rows = select(_L.tenant_id, _L.limits).join_from(keys, fleet_limits, _L.tenant_id == keys.c.tenant_id)
    return dialect.lock(rows.order_by(_L.tenant_id), fleet_limits)


def read_used(connection: Connection, tenants: Collection[str], today: str) -> dict[str, Used]:
    """What tenants have used today and this month: at most a row a day and kind each are added up."""
    dialect = dialect_of(connection)
    parameters = dialect.rows_parameters("k", [_U.tenant_id], [(tenant_id,) for tenant_id in sorted(tenants)])
    parameters |= {"since": first_of_month(today), "today": today}
    uses, costs = _of_many(dialect)
    found = {tenant_id: Used() for tenant_id in tenants}
    for row in connection.execute(uses, parameters):
        _put_use(found[row[0]], row)
    for row in connection.execute(costs, parameters):
        _put_cost(found[row[0]], row)
    return found


def read_own_used(connection: TenantConnection, today: str) -> Used:
    """The same of the tenant that asks."""
    uses, costs = _uses(), _costs()
    parameters = {"since": first_of_month(today), "today": today}
    used, own = Used(), connection.tenant_id
    for row in connection.execute(
        uses.where(_U.tenant_id == own, _U.day >= bindparam("since")).group_by(_U.tenant_id), parameters
    ):
        _put_use(used, row)
    for row in connection.execute(
        costs.where(_C.tenant_id == own, _C.day >= bindparam("since")).group_by(_C.tenant_id, _C.currency), parameters
    ):
        _put_cost(used, row)
    return used


@cache
def _of_many(dialect: Dialect) -> tuple[Select[Any], Select[Any]]:
    keys = dialect.rows_table("k", [_U.tenant_id])
    uses = _uses().join_from(keys, fleet_usage, and_(_U.tenant_id == keys.c.tenant_id, _U.day >= bindparam("since")))
    costs = _costs().join_from(keys, fleet_costs, and_(_C.tenant_id == keys.c.tenant_id, _C.day >= bindparam("since")))
    return uses.group_by(_U.tenant_id), costs.group_by(_C.tenant_id, _C.currency)


def _uses() -> Select[Any]:
    is_today, tokens = _U.day == bindparam("today"), _U.input_tokens + _U.output_tokens
    return select(
        _U.tenant_id,
        func.sum(case((is_today, _U.submitted), else_=0)),
        func.sum(_U.submitted),
        func.sum(case((is_today, tokens), else_=0)),
        func.sum(tokens),
    )


def _costs() -> Select[Any]:
    today = func.sum(case((_C.day == bindparam("today"), _C.cost_micros), else_=0))
    return select(_C.tenant_id, _C.currency, today, func.sum(_C.cost_micros))


def _put_use(used: Used, row: Any) -> None:
    used.tasks = {Period.DAY: int(row[1]), Period.MONTH: int(row[2])}
    used.tokens = {Period.DAY: int(row[3]), Period.MONTH: int(row[4])}


def _put_cost(used: Used, row: Any) -> None:
    used.money[Period.DAY, row[1]] = int(row[2])
    used.money[Period.MONTH, row[1]] = int(row[3])


def list_limited(connection: Connection) -> dict[str, Limits]:
    """The limits of all tenants that have some."""
    rows = connection.execute(select(_L.tenant_id, _L.limits).where(_L.limits != NONE))
    return {row[0]: read_limits(row[1]) for row in rows}


def find_limits(connection: TenantConnection) -> tuple[Limits, str | None, Instant | None]:
    """(limits, who changed them last, when); of a tenant that never had some without a name."""
    wanted = _L.tenant_id == connection.tenant_id
    row = connection.execute(select(_L.limits, _L.changed_by, _L.changed_at).where(wanted)).first()
    return (Limits(), None, None) if row is None else (read_limits(row[0]), row[1], row[2])
