"""The catalog over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api
from nervio.modules.catalog.contracts import ProductFilter
from nervio.modules.catalog.metrics import PRODUCTS_SAVED
from nervio.modules.catalog.schemas import (
    PRODUCT_SHEET,
    REQUEST_NAMES,
    LocationBody,
    LocationOut,
    ProductOut,
    ProductQuery,
    ProductsBody,
    ProductsSavedOut,
)
from nervio.web.access import needs
from nervio.web.bodies import in_terms_of
from nervio.web.lists import CSV_RESPONSE, listed, page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import NO_NUL

router = APIRouter(prefix="/api", tags=["catalog"])

Reference = Annotated[
    str,
    Path(min_length=1, max_length=64, pattern=NO_NUL, description="SKU, barcode or id.", examples=["YER-500"]),
]


@router.get(
    "/products",
    operation_id="list_products",
    summary="List products",
    response_model=Page[ProductOut],
    responses={**CSV_RESPONSE, **refusals()},
    **needs("catalog.read"),
)
async def list_products(
    request: Request, ctx: CurrentCtx, query: Annotated[ProductQuery, Query()]
) -> Page[ProductOut] | Response:
    """Products, by name unless asked otherwise. The filters narrow together.

    `format=csv` answers the whole list, prices as decimals.
    """
    wanted, order = ProductFilter(query.search, query.category, query.active), query.order

    async def read(cursor: str | None, limit: int) -> Page[ProductOut]:
        found = await api.list_products(ctx, wanted, position_of(cursor, *order.kinds), limit + 1, order)
        return page_of(found, limit, ProductOut.of, order.position)

    return await listed(request, query, PRODUCT_SHEET, read)


@router.post(
    "/products",
    operation_id="save_products",
    summary="Create or change products",
    response_model=ProductsSavedOut,
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs("catalog.write"),
)
async def save_products(ctx: CurrentCtx, key: IdempotencyKey, body: ProductsBody) -> ProductsSavedOut:
    """Saves up to 1,000 products, all or none: a SKU that is new is created, one that exists is changed.

    A barcode that belongs to another product, or a change of how a product is kept in stock, is a conflict.
    """
    try:
        saved = await api.save_products(ctx, [product.to_input() for product in body.products], key)
    except NervioError as error:
        raise in_terms_of(error, REQUEST_NAMES) from None
    PRODUCTS_SAVED.labels("created").inc(saved.created)
    PRODUCTS_SAVED.labels("updated").inc(saved.updated)
    return ProductsSavedOut.of(saved)


@router.get(
    "/products/{reference:path}",
    operation_id="get_product",
    summary="Get one product",
    response_model=ProductOut,
    responses=refusals(Kind.NOT_FOUND),
    **needs("catalog.read"),
)
async def get_product(ctx: CurrentCtx, reference: Reference) -> ProductOut:
    """The product that a SKU, a barcode or an id names, looked for in this order."""
    return ProductOut.of(await api.get_product(ctx, reference))


@router.get(
    "/locations",
    operation_id="list_locations",
    summary="List locations",
    response_model=Page[LocationOut],
    responses=refusals(),
    **needs("catalog.read"),
)
async def list_locations(ctx: CurrentCtx) -> Page[LocationOut]:
    """All locations by code, in one page."""
    return Page(items=[LocationOut.of(location) for location in await api.list_locations(ctx)], next_cursor=None)


@router.post(
    "/locations",
    operation_id="save_location",
    summary="Create or change a location",
    response_model=LocationOut,
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs("catalog.write"),
)
async def save_location(ctx: CurrentCtx, key: IdempotencyKey, body: LocationBody) -> LocationOut:
    """Saves a location by its code. Whether stock may go below zero there is fixed when it is created."""
    return LocationOut.of(await api.save_location(ctx, body.to_input(), key))


@router.get(
    "/categories",
    operation_id="list_categories",
    summary="List categories",
    response_model=Page[str],
    responses=refusals(),
    **needs("catalog.read"),
)
async def list_categories(ctx: CurrentCtx) -> Page[str]:
    """The categories in use, sorted, in one page."""
    return Page(items=await api.list_categories(ctx), next_cursor=None)
