"""Every query of the sales module."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Select, Subquery, and_, case, func, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.tenancy import TenantConnection
from nervio.kernel.ids import is_id
from nervio.kernel.quantity import UNIT
from nervio.kernel.time import Instant
from nervio.modules.sales.contracts import Payment, PaymentKind, SalesPoint, SalesSummary
from nervio.modules.sales.domain import SoldLine
from nervio.modules.sales.models import payments, ticket_lines, tickets

_T = tickets.c
_L = ticket_lines.c

Reference = tuple[str, str]
"""(tenant, ticket number or id)"""

NUL = "\x00"
"""PostgreSQL cannot even be asked about it; no ticket has it in its number."""


# -- reads of a batch: references carry their tenant -----------------------------------------------------------------


def find_numbers(connection: Connection, dialect: Dialect, wanted: Sequence[Reference]) -> set[Reference]:
    """Which ticket numbers are taken already."""
    parameters = dialect.rows_parameters("k", [_T.tenant_id, _T.number], wanted)
    rows = look_up(connection, _tickets_by(dialect, _T.number), parameters)
    return {(row[0], row[1]) for row in rows}


def lock_tickets(
    connection: Connection, dialect: Dialect, wanted: Sequence[Reference]
) -> dict[Reference, tuple[str, str, str, str, bool, list[SoldLine]]]:
    """Locks tickets by number or id: reference → (id, kind, location, currency, tax included, lines with what has come
    back)."""
    heads: dict[Reference, Any] = {}
    for column in (_T.number, _T.id):
        left = [r for r in wanted if r not in heads and (is_id(r[1]) if column is _T.id else NUL not in r[1])]
        if left:
            parameters = dialect.rows_parameters("k", [_T.tenant_id, column], sorted(left))
            rows = look_up(connection, _locked_tickets_by(dialect, column), parameters)
            heads.update({(row[0], row[1]): row for row in rows})
    if not heads:
        return {}
    keys = sorted({(row[0], row[2]) for row in heads.values()})
    parameters = dialect.rows_parameters("k", [_T.tenant_id, _T.id], keys)
    sold: dict[tuple[str, str], dict[int, SoldLine]] = {key: {} for key in keys}
    for row in look_up(connection, _sold_lines(dialect), parameters):
        sold[row[0], row[1]][row[2]] = SoldLine(*row[2:])
    _add_returned(connection, dialect, parameters, sold)
    return {
        reference: (row[2], row[3], row[4], row[5], row[6], list(sold[row[0], row[2]].values()))
        for reference, row in heads.items()
    }


@cache
def _tickets_by(dialect: Dialect, column: Column[Any]) -> Select[Any]:
    k = dialect.rows_table("k", [_T.tenant_id, column])
    given = k.c[column.name]
    return select(_T.tenant_id, given, _T.id, _T.kind, _T.location_id, _T.currency, _T.tax_included).join_from(
        k, tickets, and_(_T.tenant_id == k.c.tenant_id, column == given)
    )


@cache
def _locked_tickets_by(dialect: Dialect, column: Column[Any]) -> Select[Any]:
    return dialect.lock(_tickets_by(dialect, column).order_by(_T.tenant_id, _T.id), tickets)


@cache
def _sold_lines(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_T.tenant_id, _T.id])
    columns = (_L.n, _L.product_id, _L.quantity, _L.unit_price, _L.tax_rate_bp, _L.tax, _L.total)
    return (
        select(_L.tenant_id, _L.ticket_id, *columns)
        .join_from(k, ticket_lines, and_(_L.tenant_id == k.c.tenant_id, _L.ticket_id == k.c.id))
        .order_by(_L.tenant_id, _L.ticket_id, _L.n)
    )


def _add_returned(
    connection: Connection,
    dialect: Dialect,
    originals: dict[str, Any],
    sold: dict[tuple[str, str], dict[int, SoldLine]],
) -> None:
    """Adds to the sold lines what has come back of them.

    In two steps, each by a key: left to join them itself, SQLite's planner goes through every line the tenant ever sold.
    """
    returns = _find_returns(connection, dialect, originals)
    if not returns:
        return
    parameters = dialect.rows_parameters("k", [_T.tenant_id, _T.id], sorted(returns))
    for row in look_up(connection, _back_lines(dialect), parameters):
        line = sold[row[0], returns[row[0], row[1]]][row[2]]
        line.returned += row[3]
        line.returned_tax += row[4]
        line.returned_total += row[5]


def find_returns(connection: Connection, dialect: Dialect, wanted: Sequence[Reference]) -> dict[Reference, str]:
    """(tenant, id of a return) → id of its original, of the returns made against the tickets of those ids."""
    return _find_returns(connection, dialect, dialect.rows_parameters("k", [_T.tenant_id, _T.id], wanted))


def _find_returns(connection: Connection, dialect: Dialect, originals: dict[str, Any]) -> dict[Reference, str]:
    return {(row[0], row[1]): row[2] for row in look_up(connection, _returns_of(dialect), originals)}


@cache
def _returns_of(dialect: Dialect) -> Select[Any]:
    """(tenant, id of a return, id of its original)."""
    k = dialect.rows_table("k", [_T.tenant_id, _T.id])
    return select(_T.tenant_id, _T.id, _T.original_id).join_from(
        k, tickets, and_(_T.tenant_id == k.c.tenant_id, _T.original_id == k.c.id)
    )


@cache
def _back_lines(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_T.tenant_id, _T.id])
    return (
        select(_L.tenant_id, _L.ticket_id, _L.original_n, _L.quantity, _L.tax, _L.total)
        .join_from(k, ticket_lines, and_(_L.tenant_id == k.c.tenant_id, _L.ticket_id == k.c.id))
        .where(_L.original_n.is_not(None))
    )


# -- reads of one tenant ---------------------------------------------------------------------------------------------


def list_tickets(
    connection: TenantConnection,
    *,
    kind: str | None,
    number: str | None,
    ticket_id: str | None,
    location_id: str | None,
    since: Instant | None,
    until: Instant | None,
    before: tuple[Instant, str] | None,
    limit: int,
) -> list[Any]:
    """Ticket rows, the newest effective time first, then id, below `before`."""
    statement = select(tickets).where(_T.tenant_id == connection.tenant_id)
    for column, value in ((_T.kind, kind), (_T.number, number), (_T.id, ticket_id), (_T.location_id, location_id)):
        if value is not None:
            statement = statement.where(column == value)
    if since is not None:
        statement = statement.where(_T.effective_at >= since)
    if until is not None:
        statement = statement.where(_T.effective_at < until)
    if before is not None:
        at, ticket = before
        statement = statement.where((_T.effective_at < at) | ((_T.effective_at == at) & (_T.id < ticket)))
    return list(connection.execute(statement.order_by(_T.effective_at.desc(), _T.id.desc()).limit(limit)))


def read_lines(connection: TenantConnection, ticket_ids: Sequence[str]) -> dict[str, list[Any]]:
    """ticket id → its line rows."""
    found: dict[str, list[Any]] = {ticket_id: [] for ticket_id in ticket_ids}
    for row in connection.execute(
        select(ticket_lines)
        .where(_L.tenant_id == connection.tenant_id, _L.ticket_id.in_(ticket_ids))
        .order_by(_L.ticket_id, _L.n)
    ):
        found[row.ticket_id].append(row)
    return found


def read_payments(connection: TenantConnection, ticket_ids: Sequence[str]) -> dict[str, list[Payment]]:
    """ticket id → its payments."""
    c = payments.c
    found: dict[str, list[Payment]] = {ticket_id: [] for ticket_id in ticket_ids}
    for row in connection.execute(
        select(c.ticket_id, c.kind, c.amount)
        .where(c.tenant_id == connection.tenant_id, c.ticket_id.in_(ticket_ids))
        .order_by(c.ticket_id, c.n)
    ):
        found[row.ticket_id].append(Payment(PaymentKind(row.kind), row.amount))
    return found


def summarize(connection: TenantConnection, since: Instant, until: Instant) -> list[SalesSummary]:
    """Tickets, returns and money of a span, per currency."""
    sale = _T.kind == "sale"
    rows = connection.execute(
        select(
            _T.currency,
            func.sum(case((sale, 1), else_=0)),
            func.sum(case((sale, 0), else_=1)),
            func.sum(case((sale, _T.total), else_=-_T.total)),
            func.sum(case((sale, _T.tax), else_=-_T.tax)),
        )
        .where(_T.tenant_id == connection.tenant_id, _T.effective_at >= since, _T.effective_at < until)
        .group_by(_T.currency)
        .order_by(_T.currency)
    )
    return [SalesSummary(row[0], int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows]


def list_points(
    connection: TenantConnection, since: Instant, until: Instant, interval: int, currency: str
) -> list[SalesPoint]:
    """Sales per interval of `interval` microseconds from `since`; intervals without a ticket are left out."""
    slot = ((_T.effective_at - since) // interval).label("slot")
    sale = _T.kind == "sale"
    rows = connection.execute(
        select(slot, func.sum(case((sale, 1), else_=0)), func.sum(case((sale, _T.total), else_=-_T.total)))
        .where(
            _T.tenant_id == connection.tenant_id,
            _T.effective_at >= since,
            _T.effective_at < until,
            _T.currency == currency,
        )
        .group_by(slot)
        .order_by(slot)
    )
    return [SalesPoint(since + int(row[0]) * interval, int(row[1]), int(row[2])) for row in rows]


# -- windows, for the rules of safety: the newest tickets of a span, so that none is ever too many to look at -------------


def _newest(connection: TenantConnection, since: Instant, until: Instant, most: int, kind: str | None) -> Subquery:
    statement = select(_T.id, _T.kind, _T.location_id, _T.currency, _T.total).where(
        _T.tenant_id == connection.tenant_id, _T.effective_at > since, _T.effective_at <= until
    )
    if kind is not None:
        statement = statement.where(_T.kind == kind)
    return statement.order_by(_T.effective_at.desc()).limit(most).subquery("newest")


def find_oldest(connection: TenantConnection, since: Instant, until: Instant, most: int) -> Instant | None:
    """The effective time of the oldest of the newest sales of a span; None where there are fewer than that."""
    statement = (
        select(_T.effective_at)
        .where(
            _T.tenant_id == connection.tenant_id,
            _T.kind == "sale",
            _T.effective_at > since,
            _T.effective_at <= until,
        )
        .order_by(_T.effective_at.desc())
        .limit(1)
        .offset(most - 1)
    )
    return connection.execute(statement).scalar()


def sum_sold(
    connection: TenantConnection, since: Instant, until: Instant, most: int
) -> list[tuple[str, str, int, int, int, int]]:
    """(product, currency, money without tax, milli-units, lines, the least money without tax a unit brought) of the newest
    sales of a span. The least is a whole number of minor units, rounded down."""
    newest = _newest(connection, since, until, most, "sale")
    net = _L.total - _L.tax
    statement = (
        select(
            _L.product_id,
            newest.c.currency,
            func.sum(net),
            func.sum(_L.quantity),
            func.count(),
            func.min(net * UNIT // _L.quantity),
        )
        .join_from(newest, ticket_lines, _L.ticket_id == newest.c.id)
        .where(_L.tenant_id == connection.tenant_id)
        .group_by(_L.product_id, newest.c.currency)
    )
    return [(r[0], r[1], int(r[2]), int(r[3]), int(r[4]), int(r[5])) for r in connection.execute(statement)]


def sum_prices(
    connection: TenantConnection, since: Instant, until: Instant, most: int
) -> list[tuple[str, str, str, int, int, int]]:
    """(location, product, currency, unit price, milli-units, lines) of the newest sales of a span."""
    newest = _newest(connection, since, until, most, "sale")
    keys = (newest.c.location_id, _L.product_id, newest.c.currency, _L.unit_price)
    statement = (
        select(*keys, func.sum(_L.quantity), func.count())
        .join_from(newest, ticket_lines, _L.ticket_id == newest.c.id)
        .where(_L.tenant_id == connection.tenant_id)
        .group_by(*keys)
    )
    return [(r[0], r[1], r[2], r[3], int(r[4]), int(r[5])) for r in connection.execute(statement)]


def sum_places(
    connection: TenantConnection, since: Instant, until: Instant, most: int
) -> list[tuple[str, str, int, int, int]]:
    """(location, currency, money taken, money given back, tickets and returns) of the newest of a span."""
    newest = _newest(connection, since, until, most, None)
    sale = newest.c.kind == "sale"
    keys = (newest.c.location_id, newest.c.currency)
    statement = select(
        *keys,
        func.sum(case((sale, newest.c.total), else_=0)),
        func.sum(case((sale, 0), else_=newest.c.total)),
        func.count(),
    ).group_by(*keys)
    return [(r[0], r[1], int(r[2]), int(r[3]), int(r[4])) for r in connection.execute(statement)]


def count_tickets(connection: TenantConnection) -> tuple[int, int]:
    """(tickets and returns, their lines)."""
    heads = connection.execute(select(func.count()).where(_T.tenant_id == connection.tenant_id)).scalar_one()
    lines = connection.execute(select(func.count()).where(_L.tenant_id == connection.tenant_id)).scalar_one()
    return int(heads), int(lines)
