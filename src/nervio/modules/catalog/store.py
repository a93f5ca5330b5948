"""Every query of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Select, and_, delete, func, select

from nervio.db.dialects import Dialect, dialect_of, look_up
from nervio.db.keyset import read_page
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert, Row, Update
from nervio.kernel.ids import is_id
from nervio.modules.catalog.contracts import (
    BY_NAME,
    Location,
    Product,
    ProductFigures,
    ProductFilter,
    ProductOrder,
    ProductRow,
    ProductSort,
)
from nervio.modules.catalog.domain import fold
from nervio.modules.catalog.models import barcodes, locations, products

_P = products.c
_ORDERS = {
    ProductSort.NAME: (_P.name, _P.id),
    ProductSort.SKU: (_P.sku,),
    ProductSort.PRICE: (_P.price_minor, _P.id),
}
_ROW = (_P.sku, _P.name, _P.price_minor, _P.currency, _P.tax_rate_bp, _P.tracked, _P.by_lot, _P.active)

Reference = tuple[str, str]
"""(tenant, code as a person or a scanner gave it: SKU, barcode or id)"""

NUL = "\x00"
"""The one character that PostgreSQL cannot even be asked about; nothing here is called by it."""


# -- reads of a batch: references carry their tenant -----------------------------------------------------------------


def find_products(connection: Connection, dialect: Dialect, wanted: Iterable[Reference]) -> dict[Reference, ProductRow]:
    """The products the references name, SKUs before barcodes before ids."""
    found: dict[Reference, ProductRow] = {}
    left = sorted(reference for reference in set(wanted) if NUL not in reference[1])
    for column in (_P.sku, barcodes.c.code, _P.id):
        if column is _P.id:
            left = [reference for reference in left if is_id(reference[1])]
        if not left:
            break
        parameters = dialect.rows_parameters("k", [_P.tenant_id, column], left)
        for row in look_up(connection, _products_by(dialect, column), parameters):
            found[row[0], row[1]] = ProductRow(*row[2:])
        left = [reference for reference in left if reference not in found]
    return found


def find_locations(connection: Connection, dialect: Dialect, wanted: Iterable[Reference]) -> dict[Reference, Location]:
    """The locations the references name, by code, then by id."""
    found: dict[Reference, Location] = {}
    left = sorted(reference for reference in set(wanted) if NUL not in reference[1])
    for column in (locations.c.code, locations.c.id):
        if column is locations.c.id:
            left = [reference for reference in left if is_id(reference[1])]
        if not left:
            break
        parameters = dialect.rows_parameters("k", [locations.c.tenant_id, column], left)
        for row in look_up(connection, _locations_by(dialect, column), parameters):
            found[row[0], row[1]] = Location(*row[2:])
        left = [reference for reference in left if reference not in found]
    return found


@cache
def _products_by(dialect: Dialect, column: Column[Any]) -> Select[Any]:
    k = dialect.rows_table("k", [_P.tenant_id, column])
    given = k.c[column.name]
    if column.table is products:
        return select(_P.tenant_id, given, _P.id, *_ROW).join_from(
            k, products, and_(_P.tenant_id == k.c.tenant_id, column == given)
        )
    b = barcodes.c
    return (
        select(_P.tenant_id, given, _P.id, *_ROW)
        .join_from(k, barcodes, and_(b.tenant_id == k.c.tenant_id, b.code == given))
        .join(products, and_(_P.tenant_id == b.tenant_id, _P.id == b.product_id))
    )


@cache
def _locations_by(dialect: Dialect, column: Column[Any]) -> Select[Any]:
    c = locations.c
    k = dialect.rows_table("k", [c.tenant_id, column])
    given = k.c[column.name]
    return select(c.tenant_id, given, c.id, c.code, c.name, c.allow_negative, c.active).join_from(
        k, locations, and_(c.tenant_id == k.c.tenant_id, column == given)
    )


# -- writes of a command ---------------------------------------------------------------------------------------------


def find_by_sku(connection: Connection, dialect: Dialect, wanted: Iterable[Reference]) -> dict[Reference, ProductRow]:
    """(tenant, SKU) → product, of those that exist."""
    parameters = dialect.rows_parameters("k", [_P.tenant_id, _P.sku], sorted(set(wanted)))
    rows = look_up(connection, _products_by(dialect, _P.sku), parameters)
    return {(row[0], row[1]): ProductRow(*row[2:]) for row in rows}


def find_barcode_owners(connection: Connection, dialect: Dialect, wanted: Iterable[Reference]) -> dict[Reference, str]:
    """(tenant, barcode) → id of the product that has it."""
    b = barcodes.c
    k = dialect.rows_table("k", [b.tenant_id, b.code])
    rows = connection.execute(
        select(b.tenant_id, b.code, b.product_id).join_from(
            k, barcodes, and_(b.tenant_id == k.c.tenant_id, b.code == k.c.code)
        ),
        dialect.rows_parameters("k", [b.tenant_id, b.code], sorted(set(wanted))),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def write_products(
    connection: Connection,
    dialect: Dialect,
    added: Sequence[Row],
    changed: Sequence[Row],
    codes: Sequence[Row],
    replaced: Sequence[Reference],
    costs: Sequence[Row] = (),
) -> None:
    """Inserts and updates products, replaces the barcodes of `replaced` (tenant, product id) and sets the costs that are
    given: (tenant, product id, cost)."""
    rest = (
        "sku",
        "name",
        "search_text",
        "category",
        "price_minor",
        "currency",
        "tax_rate_bp",
        "tracked",
        "by_lot",
        "active",
        "updated_at",
    )
    dialect.apply(connection, [Insert(products, ("tenant_id", "id", *rest), added)])
    dialect.apply(connection, [Update(products, ("tenant_id", "id"), rest, changed)])
    dialect.apply(connection, [Update(products, ("tenant_id", "id"), ("cost_minor",), costs)])
    if replaced:
        b = barcodes.c
        k = dialect.rows_table("k", [b.tenant_id, b.product_id])
        connection.execute(
            delete(barcodes).where(
                select(k.c.product_id)
                .where(k.c.tenant_id == b.tenant_id, k.c.product_id == b.product_id)
                .correlate(barcodes)
                .exists()
            ),
            dialect.rows_parameters("k", [b.tenant_id, b.product_id], replaced),
        )
    dialect.apply(connection, [Insert(barcodes, ("tenant_id", "code", "product_id"), codes)])


def write_location(connection: Connection, dialect: Dialect, row: Row, exists: bool) -> None:
    """Inserts or updates one location: (tenant, id, code, name, allow_negative, active)."""
    rest = ("code", "name", "allow_negative", "active")
    if exists:
        dialect.apply(connection, [Update(locations, ("tenant_id", "id"), rest, [row])])
    else:
        dialect.apply(connection, [Insert(locations, ("tenant_id", "id", *rest), [row])])


# -- reads of one tenant ---------------------------------------------------------------------------------------------


def list_products(
    connection: TenantConnection,
    wanted: ProductFilter,
    after: tuple[Any, ...] | None,
    limit: int,
    order: ProductOrder = BY_NAME,
    *,
    backwards: bool = False,
) -> list[Product]:
    """Products in the order given, after a position in it, or the ones just before it when `backwards`."""
    statement = select(_P.id, *_ROW[:2], _P.category, *_ROW[2:], _P.cost_minor).where(
        _P.tenant_id == connection.tenant_id
    )
    for word in fold(wanted.search).split():
        statement = statement.where(_P.search_text.contains(word, autoescape=True))
    if wanted.category:
        statement = statement.where(_P.category == wanted.category)
    if wanted.active is not None:
        statement = statement.where(_P.active.is_(wanted.active))
    if wanted.ids:
        statement = statement.where(_P.id.in_(wanted.ids))
    if wanted.skus:
        statement = statement.where(_P.sku.in_(wanted.skus))
    keys = _ORDERS[order.by]
    rows = read_page(connection, statement, keys, after, limit, descending=order.descending, backwards=backwards)
    codes = read_barcodes(connection, [row.id for row in rows])
    return [
        Product(
            id=r.id,
            sku=r.sku,
            name=r.name,
            category=r.category,
            barcodes=tuple(codes.get(r.id, ())),
            price_minor=r.price_minor,
            currency=r.currency,
            tax_rate_bp=r.tax_rate_bp,
            tracked=r.tracked,
            by_lot=r.by_lot,
            active=r.active,
            cost_minor=r.cost_minor,
        )
        for r in rows
    ]


def read_figures(connection: TenantConnection, product_ids: Sequence[str]) -> dict[str, ProductFigures]:
    """product id → what its margin is measured against, of any number of products."""
    dialect = dialect_of(connection.untenanted())
    k = dialect.rows_table("k", [_P.id])
    # IN, not a join: with the tenant given, SQLite would go through all of its products and look each up among the ids.
    statement = select(_P.id, _P.sku, _P.name, _P.price_minor, _P.currency, _P.cost_minor).where(
        _P.tenant_id == connection.tenant_id, _P.id.in_(select(k.c.id))
    )
    rows = connection.execute(statement, dialect.rows_parameters("k", [_P.id], [(one,) for one in product_ids]))
    return {row[0]: ProductFigures(*row[1:]) for row in rows}


def find_product_id(connection: TenantConnection, reference: str) -> str | None:
    """The id of the product that a SKU, a barcode or an id names."""
    by_sku = select(_P.id).where(_P.tenant_id == connection.tenant_id, _P.sku == reference)
    by_code = select(barcodes.c.product_id).where(
        barcodes.c.tenant_id == connection.tenant_id, barcodes.c.code == reference
    )
    by_id = select(_P.id).where(_P.tenant_id == connection.tenant_id, _P.id == reference)
    if NUL in reference:
        return None
    for statement in (by_sku, by_code, *((by_id,) if is_id(reference) else ())):
        found = connection.execute(statement).scalar()
        if found is not None:
            return str(found)
    return None


def read_barcodes(connection: TenantConnection, product_ids: Sequence[str]) -> dict[str, list[str]]:
    """product id → its barcodes."""
    b = barcodes.c
    found: dict[str, list[str]] = {}
    for product_id, code in connection.execute(
        select(b.product_id, b.code)
        .where(b.tenant_id == connection.tenant_id, b.product_id.in_(product_ids))
        .order_by(b.code)
    ):
        found.setdefault(product_id, []).append(code)
    return found


def read_barcode_owners(connection: TenantConnection, codes: Sequence[str]) -> dict[str, str]:
    """barcode → id of the product that has it."""
    b = barcodes.c
    rows = connection.execute(
        select(b.code, b.product_id).where(b.tenant_id == connection.tenant_id, b.code.in_(codes))
    )
    return {row[0]: row[1] for row in rows}


def count_products(connection: TenantConnection) -> int:
    """How many products the tenant has."""
    return int(connection.execute(select(func.count()).where(_P.tenant_id == connection.tenant_id)).scalar_one())


def list_categories(connection: TenantConnection) -> list[str]:
    """The categories in use."""
    rows = connection.execute(
        select(_P.category)
        .distinct()
        .where(_P.tenant_id == connection.tenant_id, _P.category != "")
        .order_by(_P.category)
    )
    return [row[0] for row in rows]


def list_locations(connection: TenantConnection) -> list[Location]:
    """All locations by code."""
    c = locations.c
    rows = connection.execute(
        select(c.id, c.code, c.name, c.allow_negative, c.active)
        .where(c.tenant_id == connection.tenant_id)
        .order_by(c.code)
    )
    return [Location(*row) for row in rows]
