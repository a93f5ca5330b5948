"""What AI work cost: a row a tenant, day, kind and currency, and a meter over all days for the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, or_, select

from nervio.db.dialects import Dialect
from nervio.db.sums import lock_sums
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Row
from nervio.modules.fleet.contracts import Spend
from nervio.modules.fleet.models import fleet_costs, fleet_meters

_C = fleet_costs.c

COST_KEY = ("tenant_id", "day", "kind", "currency")
COST_SUMS = ("tasks", "input_tokens", "output_tokens", "cost_micros", "saved_micros")
METER_KEY = ("tenant_id", "kind", "currency")
METER_SUMS = ("cost_micros", "posted")


def lock_costs(
    connection: Connection, dialect: Dialect, wanted: Sequence[Row], *, rows_first: bool
) -> dict[Row, list[int]]:
    """Costs by (tenant, day, kind, currency), locked."""
    return lock_sums(connection, dialect, fleet_costs, COST_KEY, COST_SUMS, wanted, rows_first=rows_first)


def lock_meters(
    connection: Connection, dialect: Dialect, wanted: Sequence[Row], *, rows_first: bool
) -> dict[Row, list[int]]:
    """Meters by (tenant, kind, currency), locked."""
    return lock_sums(connection, dialect, fleet_meters, METER_KEY, METER_SUMS, wanted, rows_first=rows_first)


def read_spend(connection: TenantConnection, since: str, until: str) -> list[Spend]:
    """Costs a kind and currency over days from `since` to `until`, both included; those too of what only saved something."""
    statement = (
        select(_C.kind, _C.currency, *(func.sum(_C[name]) for name in COST_SUMS))
        .where(
            _C.tenant_id == connection.tenant_id,
            _C.day >= since,
            _C.day <= until,
            or_(_C.cost_micros > 0, _C.saved_micros > 0),
        )
        .group_by(_C.kind, _C.currency)
        .order_by(_C.kind, _C.currency)
    )
    return [Spend(row[0], row[1], *(int(value) for value in row[2:])) for row in connection.execute(statement)]
