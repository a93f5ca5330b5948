"""Every query of the stock module."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, FromClause, Select, and_, case, func, select, tuple_

from nervio.db.dialects import Dialect, dialect_of, look_up
from nervio.db.keyset import read_page
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert, RowsFirst
from nervio.kernel.time import Instant
from nervio.modules.stock.contracts import HoldState, Lot
from nervio.modules.stock.domain import HoldKey, HoldRecord, LevelKey, LevelState, LotState
from nervio.modules.stock.models import stock_hold_lines, stock_holds, stock_levels, stock_lots

_L = stock_levels.c
_LEVEL_KEY = [_L.tenant_id, _L.location_id, _L.product_id]


# -- locking reads of a batch: keys carry their tenant ---------------------------------------------------------------


def lock_levels(
    connection: Connection, dialect: Dialect, wanted: Sequence[tuple[str, str, str, bool]], *, rows_first: bool
) -> dict[LevelKey, LevelState]:
    """Locks levels in key order, creating empty ones first where there are none yet.

    `wanted`: (tenant, location, product, whether the location may go negative), sorted. Whoever makes a row holds it, so
    that two who each make what the other has locked would wait for ever: all are made before any is locked. That some are
    missing shows only when the others are locked, and then `RowsFirst` is raised; with `rows_first` it is not.
    """
    if rows_first:
        dialect.insert_missing(connection, _empty_levels(wanted))
    found = _read_levels(connection, dialect, [row[:3] for row in wanted])
    missing = [row for row in wanted if row[:3] not in found]
    if missing:
        if found and dialect.locks_rows:
            raise RowsFirst
        dialect.insert_missing(connection, _empty_levels(missing))
        # Read again, not assumed: another process may have created and filled them meanwhile.
        found.update(_read_levels(connection, dialect, [row[:3] for row in missing]))
    return found


def _empty_levels(wanted: Sequence[tuple[str, str, str, bool]]) -> Insert:
    columns = ("tenant_id", "location_id", "product_id", "on_hand", "reserved", "allow_negative")
    return Insert(stock_levels, columns, [(*row[:3], 0, 0, row[3]) for row in wanted])


def lock_lots(connection: Connection, dialect: Dialect, keys: Sequence[LevelKey]) -> list[tuple[LevelKey, LotState]]:
    """Locks the lots of the levels, empty ones too: a lot that comes back keeps its expiry date."""
    rows = look_up(connection, _locked_lots(dialect), dialect.rows_parameters("k", _LEVEL_KEY, keys))
    return [((row[0], row[1], row[2]), LotState(row[3], row[4], row[5])) for row in rows]


def read_lot_dates(
    connection: Connection, dialect: Dialect, keys: Sequence[LevelKey]
) -> dict[tuple[str, str, str, str], str | None]:
    """(tenant, location, product, lot) → expiry date, of every lot there ever was at the levels. Locks nothing."""
    rows = look_up(connection, _lots_statement(dialect), dialect.rows_parameters("k", _LEVEL_KEY, keys))
    return {(row[0], row[1], row[2], row[3]): row[4] for row in rows}


def read_holds(
    connection: Connection, dialect: Dialect, keys: Sequence[HoldKey], *, lock: bool = False
) -> dict[HoldKey, HoldRecord]:
    """Holds and their lines. With `lock` locked in key order; without it only what never changes is to be relied on."""
    if not keys:
        return {}
    columns = [stock_holds.c.tenant_id, stock_holds.c.id]
    parameters = dialect.rows_parameters("k", columns, keys)
    statement = _locked_holds(dialect) if lock else _holds_statement(dialect)
    found = {
        (row[0], row[1]): HoldRecord(row[2], HoldState(row[3]), row[4], row[5], row[6])
        for row in look_up(connection, statement, parameters)
    }
    for tenant_id, hold_id, product_id, quantity in look_up(connection, _hold_lines_statement(dialect), parameters):
        found[tenant_id, hold_id].lines[product_id] = quantity
    return found


def find_holds_on(connection: Connection, dialect: Dialect, keys: Sequence[LevelKey]) -> list[HoldKey]:
    """The active holds that promise some of the levels. Locks nothing."""
    h, lines = stock_holds.c, stock_hold_lines.c
    k = dialect.rows_table("k", _LEVEL_KEY)
    rows = connection.execute(
        select(h.tenant_id, h.id)
        .distinct()
        .join_from(k, stock_hold_lines, and_(lines.tenant_id == k.c.tenant_id, lines.product_id == k.c.product_id))
        .join(
            stock_holds,
            and_(
                h.tenant_id == lines.tenant_id,
                h.id == lines.hold_id,
                h.location_id == k.c.location_id,
                h.state == HoldState.ACTIVE.value,
            ),
        ),
        dialect.rows_parameters("k", _LEVEL_KEY, keys),
    )
    return [(row[0], row[1]) for row in rows]


def _read_levels(connection: Connection, dialect: Dialect, keys: Sequence[LevelKey]) -> dict[LevelKey, LevelState]:
    rows = look_up(connection, _levels_statement(dialect), dialect.rows_parameters("k", _LEVEL_KEY, keys))
    return {(r[0], r[1], r[2]): LevelState(r[3], r[4], r[5], r[6]) for r in rows}


def _same_level(k: FromClause, table_columns: Any) -> Any:
    return and_(
        table_columns.tenant_id == k.c.tenant_id,
        table_columns.location_id == k.c.location_id,
        table_columns.product_id == k.c.product_id,
    )


@cache
def _levels_statement(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", _LEVEL_KEY)
    statement = (
        select(*_LEVEL_KEY, _L.on_hand, _L.reserved, _L.allow_negative, _L.critical_level)
        .join_from(k, stock_levels, _same_level(k, _L))
        .order_by(*_LEVEL_KEY)
    )
    return dialect.lock(statement, stock_levels)


@cache
def _lots_statement(dialect: Dialect) -> Select[Any]:
    c = stock_lots.c
    k = dialect.rows_table("k", _LEVEL_KEY)
    return (
        select(c.tenant_id, c.location_id, c.product_id, c.lot, c.expires_on, c.on_hand)
        .join_from(k, stock_lots, _same_level(k, c))
        .order_by(c.tenant_id, c.location_id, c.product_id, c.lot)
    )


@cache
def _locked_lots(dialect: Dialect) -> Select[Any]:
    return dialect.lock(_lots_statement(dialect), stock_lots)


@cache
def _holds_statement(dialect: Dialect) -> Select[Any]:
    c = stock_holds.c
    k = dialect.rows_table("k", [c.tenant_id, c.id])
    return (
        select(c.tenant_id, c.id, c.location_id, c.state, c.reference, c.created_at, c.expires_at)
        .join_from(k, stock_holds, and_(c.tenant_id == k.c.tenant_id, c.id == k.c.id))
        .order_by(c.tenant_id, c.id)
    )


@cache
def _locked_holds(dialect: Dialect) -> Select[Any]:
    return dialect.lock(_holds_statement(dialect), stock_holds)


@cache
def _hold_lines_statement(dialect: Dialect) -> Select[Any]:
    c = stock_hold_lines.c
    k = dialect.rows_table("k", [stock_holds.c.tenant_id, stock_holds.c.id])
    return select(c.tenant_id, c.hold_id, c.product_id, c.quantity).join_from(
        k, stock_hold_lines, and_(c.tenant_id == k.c.tenant_id, c.hold_id == k.c.id)
    )


def read_due_holds(connection: Connection, now: Instant, limit: int) -> list[HoldKey]:
    """Active holds of any tenant whose time is over, the longest overdue first."""
    c = stock_holds.c
    rows = connection.execute(
        select(c.tenant_id, c.id)
        .where(c.state == HoldState.ACTIVE.value, c.expires_at <= now)
        .order_by(c.expires_at)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


# -- reads of one tenant ---------------------------------------------------------------------------------------------


def list_levels(
    connection: TenantConnection,
    product_ids: Sequence[str] | None,
    location_id: str | None,
    critical_only: bool,
    limit: int,
) -> list[tuple[str, str, int, int, int | None]]:
    """(location, product, on hand, reserved, critical level), the scarcest first when only critical ones are asked."""
    statement = select(_L.location_id, _L.product_id, _L.on_hand, _L.reserved, _L.critical_level).where(
        _L.tenant_id == connection.tenant_id
    )
    if product_ids is not None:
        statement = statement.where(_L.product_id.in_(product_ids))
    if location_id is not None:
        statement = statement.where(_L.location_id == location_id)
    if critical_only:
        statement = statement.where(_L.on_hand - _L.reserved <= _L.critical_level).order_by(
            _L.on_hand - _L.reserved - _L.critical_level
        )
    rows = connection.execute(statement.order_by(_L.location_id, _L.product_id).limit(limit))
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def list_critical_levels(
    connection: TenantConnection,
    location_id: str | None,
    after: tuple[int, str, str] | None,
    limit: int,
    *,
    backwards: bool = False,
) -> list[tuple[str, str, int, int, int | None]]:
    """(location, product, on hand, reserved, critical level) of levels at or below their critical level, the scarcest
    first, after the given (available less critical level, location, product) or before it."""
    spare = _L.on_hand - _L.reserved - _L.critical_level
    statement = select(_L.location_id, _L.product_id, _L.on_hand, _L.reserved, _L.critical_level).where(
        _L.tenant_id == connection.tenant_id, spare <= 0
    )
    if location_id is not None:
        statement = statement.where(_L.location_id == location_id)
    order = (spare, _L.location_id, _L.product_id)
    rows = read_page(connection, statement, order, after, limit, backwards=backwards)
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def count_levels(connection: TenantConnection) -> tuple[int, int]:
    """(levels, levels at or below their critical level)."""
    critical = func.sum(case((_L.on_hand - _L.reserved <= _L.critical_level, 1), else_=0))
    row = connection.execute(select(func.count(), critical).where(_L.tenant_id == connection.tenant_id)).one()
    return int(row[0]), int(row[1] or 0)


def list_levels_up_to(
    connection: TenantConnection, percent: int, known: Collection[tuple[str, str]], most: int
) -> list[tuple[str, str, int, int]]:
    """(location, product, available, critical level) of levels at or below so many percent of their critical level, the
    scarcest first, and of the `known` (location, product), wherever they stand. At least `most` that are not known are among
    them, where there are so many."""
    available = _L.on_hand - _L.reserved
    columns = (_L.location_id, _L.product_id, available, _L.critical_level)
    has_one = _L.critical_level.is_not(None)
    near = (
        select(*columns)
        .where(_L.tenant_id == connection.tenant_id, has_one, 100 * available <= percent * _L.critical_level)
        .order_by(available - _L.critical_level, _L.location_id, _L.product_id)
        .limit(len(known) + most)
    )
    found = [(row[0], row[1], row[2], row[3]) for row in connection.execute(near)]
    missing = sorted(set(known) - {row[:2] for row in found})
    if missing:
        dialect = dialect_of(connection.untenanted())
        k = dialect.rows_table("k", [_L.location_id, _L.product_id])
        # IN, not a join: with the tenant given, SQLite would go through all of its levels and look each up in the rows.
        named = select(k.c.location_id, k.c.product_id)
        above = select(*columns).where(
            _L.tenant_id == connection.tenant_id, has_one, tuple_(_L.location_id, _L.product_id).in_(named)
        )
        parameters = dialect.rows_parameters("k", [_L.location_id, _L.product_id], missing)
        found += [(row[0], row[1], row[2], row[3]) for row in connection.execute(above, parameters)]
    return found


def read_available(connection: TenantConnection, product_ids: Sequence[str]) -> dict[str, int]:
    """product id → what is available of it in all locations together."""
    dialect = dialect_of(connection.untenanted())
    k = dialect.rows_table("k", [_L.product_id])
    statement = (
        select(_L.product_id, func.sum(_L.on_hand - _L.reserved))
        .where(_L.tenant_id == connection.tenant_id, _L.product_id.in_(select(k.c.product_id)))
        .group_by(_L.product_id)
    )
    rows = connection.execute(statement, dialect.rows_parameters("k", [_L.product_id], [(p,) for p in product_ids]))
    return {row[0]: int(row[1]) for row in rows}


def list_products_after(connection: TenantConnection, after: str, limit: int) -> list[str]:
    """The products that have a level, by id, after the one given; those of one location after the other would come twice."""
    statement = select(_L.product_id).distinct().where(_L.tenant_id == connection.tenant_id)
    if after:
        statement = statement.where(_L.product_id > after)
    return [row[0] for row in connection.execute(statement.order_by(_L.product_id).limit(limit))]


def read_levels_of(
    connection: TenantConnection, product_ids: Sequence[str]
) -> dict[tuple[str, str], tuple[int, int, bool]]:
    """(location, product) → (on hand, reserved, whether it may go negative) of some products."""
    statement = select(_L.location_id, _L.product_id, _L.on_hand, _L.reserved, _L.allow_negative).where(
        _L.tenant_id == connection.tenant_id, _L.product_id.in_(product_ids)
    )
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in connection.execute(statement)}


def list_lots(connection: TenantConnection, product_id: str) -> list[Lot]:
    """The lots of a product that still hold units, in the order they would be picked."""
    c = stock_lots.c
    rows = connection.execute(
        select(c.product_id, c.location_id, c.lot, c.expires_on, c.on_hand)
        .where(c.tenant_id == connection.tenant_id, c.product_id == product_id, c.on_hand > 0)
        .order_by(c.expires_on.is_(None), c.expires_on, c.lot)
    )
    return [Lot(*row) for row in rows]


def read_lot_units(connection: TenantConnection) -> dict[tuple[str, str, str], int]:
    """(location, product, lot) → units in it."""
    c = stock_lots.c
    rows = connection.execute(
        select(c.location_id, c.product_id, c.lot, c.on_hand).where(c.tenant_id == connection.tenant_id)
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def read_hold_sums(connection: TenantConnection) -> dict[tuple[str, str], int]:
    """(location, product) → units promised by active holds."""
    h, lines = stock_holds.c, stock_hold_lines.c
    rows = connection.execute(
        select(h.location_id, lines.product_id, func.sum(lines.quantity))
        .join_from(stock_holds, stock_hold_lines, and_(lines.tenant_id == h.tenant_id, lines.hold_id == h.id))
        .where(h.tenant_id == connection.tenant_id, h.state == HoldState.ACTIVE.value)
        .group_by(h.location_id, lines.product_id)
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def read_all_levels(connection: TenantConnection) -> dict[tuple[str, str], LevelState]:
    """Every level of the tenant, by (location, product)."""
    rows = connection.execute(
        select(_L.location_id, _L.product_id, _L.on_hand, _L.reserved, _L.allow_negative, _L.critical_level).where(
            _L.tenant_id == connection.tenant_id
        )
    )
    return {(r[0], r[1]): LevelState(r[2], r[3], r[4], r[5]) for r in rows}


def list_holds(
    connection: TenantConnection,
    state: HoldState | None,
    product_id: str | None,
    before: str | None,
    limit: int,
    hold_id: str | None = None,
) -> list[tuple[str, str, str, str, Instant, Instant]]:
    """Rows of holds, the newest first, below the id `before`."""
    c = stock_holds.c
    statement = select(c.id, c.location_id, c.state, c.reference, c.created_at, c.expires_at).where(
        c.tenant_id == connection.tenant_id
    )
    if state is not None:
        statement = statement.where(c.state == state.value)
    if hold_id is not None:
        statement = statement.where(c.id == hold_id)
    if before is not None:
        statement = statement.where(c.id < before)
    if product_id is not None:
        lines = stock_hold_lines.c
        statement = statement.where(
            select(lines.hold_id)
            .where(lines.tenant_id == connection.tenant_id, lines.hold_id == c.id, lines.product_id == product_id)
            .exists()
        )
    rows = connection.execute(statement.order_by(c.id.desc()).limit(limit))
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def read_hold_lines(connection: TenantConnection, hold_ids: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    """hold id → (product, quantity) of its lines."""
    c = stock_hold_lines.c
    found: dict[str, list[tuple[str, int]]] = {hold_id: [] for hold_id in hold_ids}
    for hold_id, product_id, quantity in connection.execute(
        select(c.hold_id, c.product_id, c.quantity)
        .where(c.tenant_id == connection.tenant_id, c.hold_id.in_(hold_ids))
        .order_by(c.hold_id, c.product_id)
    ):
        found[hold_id].append((product_id, quantity))
    return found
