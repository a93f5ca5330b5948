"""The catalog's use cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Row
from nervio.kernel.errors import NervioError, conflict, invalid, not_found
from nervio.kernel.ids import new_id
from nervio.modules.catalog import store
from nervio.modules.catalog.contracts import (
    BY_NAME,
    Location,
    LocationInput,
    Product,
    ProductFigures,
    ProductFilter,
    ProductInput,
    ProductOrder,
    ProductRow,
    ProductsSaved,
    SaveProducts,
)
from nervio.modules.catalog.domain import check_code, check_name, check_product, search_text

MAX_PRODUCTS_A_COMMAND = 1000
LONGEST_PAGE = 500

PRODUCTS_CHANGED = "catalog_products_changed.v1"


async def save_products(
    ctx: Ctx, products: Iterable[ProductInput], key: str | None = None, *, default_currency: str = "ARS"
) -> ProductsSaved:
    """Creates or changes products by SKU, all or none, at most 1,000 at a time.

    Raises `invalid` naming the product and field, `conflict` when a barcode belongs to another product.
    """
    ctx.require("catalog.write")
    body = SaveProducts(tuple(replace(p, currency=p.currency or default_currency) for p in products))
    if not 1 <= len(body.products) <= MAX_PRODUCTS_A_COMMAND:
        raise invalid(
            "too_many_products", f"products must hold 1 to {MAX_PRODUCTS_A_COMMAND} entries.", field="products"
        )
    for n, product in enumerate(body.products):
        check_product(product, f"products[{n}]")
    return await ctx.submit(SAVE_PRODUCTS, body, key, weight=len(body.products))


def find_fault(product: ProductInput) -> NervioError | None:
    """What is wrong with a product as it stands, which nothing in the store can mend; None when nothing is."""
    try:
        check_product(product, "product")
    except NervioError as fault:
        return fault
    return None


async def save_location(ctx: Ctx, location: LocationInput, key: str | None = None) -> Location:
    """Creates or changes a location by its code.

    Whether stock may go below zero there is fixed when it is created: changing it later would change what the levels'
    constraint promises about the past.
    """
    ctx.require("catalog.write")
    check_code(location.code, "code")
    check_name(location.name, "name")
    return await ctx.submit(SAVE_LOCATION, location, key)


async def list_products(
    ctx: Ctx,
    wanted: ProductFilter,
    after: tuple[Any, ...] | None = None,
    limit: int = 50,
    order: ProductOrder = BY_NAME,
    *,
    backwards: bool = False,
) -> list[Product]:
    """A page of products; `after` is the position in that order of the last one seen, by name (name, id).

    With `backwards` the page before that position. Both are in the order of the list.
    """
    ctx.require("catalog.read")
    most = min(limit, LONGEST_PAGE)
    found = await ctx.read(lambda c: store.list_products(c, wanted, after, most, order, backwards=backwards))
    return found if _may_know_costs(ctx) else [replace(product, cost_minor=None) for product in found]


async def get_product(ctx: Ctx, reference: str) -> Product:
    """The product that a SKU, a barcode or an id names. Raises `not_found`."""
    ctx.require("catalog.read")

    def query(connection: TenantConnection) -> Product | None:
        product_id = store.find_product_id(connection, reference)
        if product_id is None:
            return None
        return store.list_products(connection, ProductFilter(ids=(product_id,)), None, 1)[0]

    product = await ctx.read(query)
    if product is None:
        raise not_found("product", reference)
    return product if _may_know_costs(ctx) else replace(product, cost_minor=None)


async def list_products_by_sku(ctx: Ctx, skus: Iterable[str]) -> dict[str, Product]:
    """The products of any number of SKUs, by SKU; those that do not exist are left out."""
    wanted, found = sorted({sku for sku in skus if "\x00" not in sku}), dict[str, Product]()
    for start in range(0, len(wanted), LONGEST_PAGE):
        part = ProductFilter(skus=tuple(wanted[start : start + LONGEST_PAGE]))
        found.update({p.sku: p for p in await list_products(ctx, part, limit=LONGEST_PAGE)})
    return found


async def list_barcode_owners(ctx: Ctx, codes: Iterable[str]) -> dict[str, str]:
    """The ids of the products that have any number of barcodes, by barcode."""
    ctx.require("catalog.read")
    wanted, found = sorted({code for code in codes if "\x00" not in code}), dict[str, str]()
    for start in range(0, len(wanted), LONGEST_PAGE):
        part = wanted[start : start + LONGEST_PAGE]
        found.update(await ctx.read(partial(store.read_barcode_owners, codes=part)))
    return found


async def list_locations(ctx: Ctx) -> list[Location]:
    """All locations by code."""
    ctx.require("catalog.read")
    return await ctx.read(store.list_locations)


async def list_categories(ctx: Ctx) -> list[str]:
    """The categories in use, sorted."""
    ctx.require("catalog.read")
    return await ctx.read(store.list_categories)


async def count_products(ctx: Ctx) -> int:
    """How many products there are."""
    ctx.require("catalog.read")
    return await ctx.read(store.count_products)


def find_products(batch: Batch, references: Iterable[tuple[str, str]]) -> dict[tuple[str, str], ProductRow]:
    """For commands of other modules while they resolve: (tenant, SKU, barcode or id) → product, where there is one."""
    return store.find_products(batch.connection, batch.dialect, references)


def find_locations(batch: Batch, references: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Location]:
    """For commands of other modules while they resolve: (tenant, code or id) → location, where there is one."""
    return store.find_locations(batch.connection, batch.dialect, references)


def read_products(connection: TenantConnection, product_ids: Iterable[str]) -> dict[str, Product]:
    """For reads of other modules: the products by id."""
    wanted = tuple(sorted(set(product_ids)))
    if not wanted:
        return {}
    return {p.id: p for p in store.list_products(connection, ProductFilter(ids=wanted), None, len(wanted))}


def read_figures(connection: TenantConnection, product_ids: Iterable[str]) -> dict[str, ProductFigures]:
    """For the program's own reckoning: today's price and cost of any number of products, by id. Not to be shown to whoever
    may not know what a product costs."""
    wanted = sorted(set(product_ids))
    return store.read_figures(connection, wanted) if wanted else {}


def read_locations(connection: TenantConnection) -> dict[str, Location]:
    """For reads of other modules: all locations by id."""
    return {location.id: location for location in store.list_locations(connection)}


def _may_know_costs(ctx: Ctx) -> bool:
    """What a product costs is for those who set its price."""
    return ctx.permissions is None or "catalog.write" in ctx.permissions


def _costs(tenant_id: str, ids: dict[str, str], given: Sequence[ProductInput]) -> list[Row]:
    return [(tenant_id, ids[p.sku], p.cost_minor) for p in given if p.cost_minor is not None]


def _save_products(batch: Batch, command: Command[SaveProducts, ProductsSaved]) -> ProductsSaved:
    tenant_id, given = command.tenant_id, command.body.products
    existing = store.find_by_sku(batch.connection, batch.dialect, [(tenant_id, p.sku) for p in given])
    owners = store.find_barcode_owners(
        batch.connection, batch.dialect, [(tenant_id, code) for p in given for code in p.barcodes]
    )
    ids: dict[str, str] = {}
    code_of: dict[str, str] = {}
    added: list[Row] = []
    changed: list[Row] = []
    replaced = []
    for n, p in enumerate(given):
        if p.sku in ids:
            path = f"products[{n}].sku"
            raise invalid("duplicate_sku", f"{path} repeats {p.sku!r}; send each SKU once.", field=path)
        known = existing.get((tenant_id, p.sku))
        if known is not None and (known.tracked, known.by_lot) != (p.tracked, p.by_lot):
            raise conflict(
                "stock_keeping_fixed",
                f"How {p.sku!r} is kept in stock (tracked, by lot) is fixed once it exists; create a new SKU.",
                field=f"products[{n}].tracked",
            )
        product_id = ids[p.sku] = known.id if known is not None else new_id()
        for code in p.barcodes:
            owner = owners.get((tenant_id, code), product_id)
            if code_of.setdefault(code, product_id) != product_id or owner != product_id:
                raise conflict(
                    "barcode_taken",
                    f"The barcode {code!r} belongs to another product.",
                    field=f"products[{n}].barcodes",
                )
        row = (
            tenant_id,
            product_id,
            p.sku,
            p.name,
            search_text(p),
            p.category,
            p.price_minor,
            p.currency,
            p.tax_rate_bp,
            p.tracked,
            p.by_lot,
            p.active,
            batch.now,
        )
        (added if known is None else changed).append(row)
        if known is not None:
            replaced.append((tenant_id, product_id))
    codes = [(tenant_id, code, product_id) for code, product_id in code_of.items()]
    costs = _costs(tenant_id, ids, given)
    store.write_products(batch.connection, batch.dialect, added, changed, codes, replaced, costs)
    batch.emit(tenant_id, PRODUCTS_CHANGED, tenant_id, {"ids": list(ids.values())})
    return ProductsSaved(tuple(ids[p.sku] for p in given), len(added), len(changed))


def _save_location(batch: Batch, command: Command[LocationInput, Location]) -> Location:
    given, tenant_id = command.body, command.tenant_id
    known = store.find_locations(batch.connection, batch.dialect, [(tenant_id, given.code)]).get(
        (tenant_id, given.code)
    )
    if known is not None and known.code == given.code and known.allow_negative != given.allow_negative:
        raise conflict(
            "negative_policy_fixed",
            "Whether a location may go below zero is fixed once it exists.",
            field="allow_negative",
        )
    exists = known is not None and known.code == given.code
    location_id = known.id if known is not None and exists else new_id()
    row = (tenant_id, location_id, given.code, given.name, given.allow_negative, given.active)
    store.write_location(batch.connection, batch.dialect, row, exists)
    return Location(location_id, given.code, given.name, given.allow_negative, given.active)


SAVE_PRODUCTS = Operation(
    "catalog.save_products", Effect.INCREASE, SaveProducts, ProductsSaved, _save_products, direct=True
)
SAVE_LOCATION = Operation(
    "catalog.save_location", Effect.INCREASE, LocationInput, Location, _save_location, direct=True
)
