"""Levels, movements, lots and their upkeep over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.stock import api
from nervio.modules.stock.contracts import Level
from nervio.modules.stock.schemas.documents import REQUEST_NAMES
from nervio.modules.stock.schemas.levels import (
    LEVEL_SHEET,
    MOVEMENT_SHEET,
    CriticalLevelBody,
    CriticalLevelOut,
    InvariantReportOut,
    LevelOut,
    LevelQuery,
    LotOut,
    MovementOut,
    MovementQuery,
    RepairBody,
    RepairedOut,
)
from nervio.web.access import needs
from nervio.web.bodies import in_terms_of
from nervio.web.lists import CSV_RESPONSE, listed, page_of, position_of
from nervio.web.pages import Page, encode_cursor
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import NO_NUL, Code

router = APIRouter(prefix="/api/stock", tags=["stock"])


@router.get(
    "/levels",
    operation_id="list_levels",
    summary="List stock levels",
    response_model=Page[LevelOut],
    responses={**CSV_RESPONSE, **refusals()},
    **needs("stock.read"),
)
async def list_levels(
    request: Request, ctx: CurrentCtx, query: Annotated[LevelQuery, Query()]
) -> Page[LevelOut] | Response:
    """Levels by product name and location, or with `critical=true` the scarcest first. The filters narrow together.

    A page may be short, even empty, and still have a next one. `format=csv` answers the whole list, in units.
    """

    async def read(cursor: str | None, limit: int) -> Page[LevelOut]:
        levels: list[Level]
        position: tuple[str | int, ...] | None
        if query.critical:
            found = position_of(cursor, "int", "id", "id")
            scarcest = None if found is None else (found[0], found[1], found[2])
            levels, position = await api.page_critical_levels(ctx, query.search, query.location_id, scarcest, limit)
        else:
            found = position_of(cursor, "text", "id", "text")
            after = None if found is None else (found[0], found[1], found[2])
            levels, position = await api.page_levels(
                ctx, query.search, query.location_id, after, limit, descending=query.sort == "-name"
            )
        following = None if position is None else encode_cursor(*position)
        return Page(items=[LevelOut.of(level) for level in levels], next_cursor=following)

    return await listed(request, query, LEVEL_SHEET, read)


@router.get(
    "/levels/{product:path}",
    operation_id="get_levels",
    summary="Get the levels of one product",
    response_model=Page[LevelOut],
    responses=refusals(Kind.NOT_FOUND),
    **needs("stock.read"),
)
async def get_levels(
    ctx: CurrentCtx,
    product: Annotated[str, Path(min_length=1, max_length=64, pattern=NO_NUL, description="SKU, barcode or id.")],
) -> Page[LevelOut]:
    """The levels of one product by location, in one page."""
    return Page(items=[LevelOut.of(level) for level in await api.get_levels(ctx, product)], next_cursor=None)


@router.get(
    "/movements",
    operation_id="list_movements",
    summary="List the movements of a product",
    response_model=Page[MovementOut],
    responses={**CSV_RESPONSE, **refusals(Kind.NOT_FOUND)},
    **needs("stock.read"),
)
async def list_movements(
    request: Request, ctx: CurrentCtx, query: Annotated[MovementQuery, Query()]
) -> Page[MovementOut] | Response:
    """Movements of a product as the journal has them, the newest first. `format=csv` answers all of them, in units."""
    product = await catalog.get_product(ctx, query.product)

    async def read(cursor: str | None, limit: int) -> Page[MovementOut]:
        found = position_of(cursor, "id", "int", "bool")
        before = None if found is None else (found[0], found[1], found[2])
        movements = await api.list_movements(ctx, product.id, query.location_id, before, limit + 1)
        return page_of(movements, limit, MovementOut.of, lambda m: (m.entry_id, m.n, m.quantity > 0))

    return await listed(request, query, MOVEMENT_SHEET, read)


@router.get(
    "/lots",
    operation_id="list_lots",
    summary="List the lots of a product",
    response_model=Page[LotOut],
    responses=refusals(Kind.NOT_FOUND),
    **needs("stock.read"),
)
async def list_lots(
    ctx: CurrentCtx, product: Annotated[Code, Query(description="SKU, barcode or id.", examples=["LEC-1L"])]
) -> Page[LotOut]:
    """The lots of a product that hold units, the first to expire first, in one page."""
    found = await catalog.get_product(ctx, product)
    return Page(items=[LotOut.of(lot) for lot in await api.list_lots(ctx, found.id)], next_cursor=None)


@router.put(
    "/critical-levels",
    operation_id="set_critical_level",
    summary="Set a critical level",
    response_model=CriticalLevelOut,
    responses=refusals(Kind.NOT_FOUND, Kind.CONFLICT, Kind.TOO_MANY),
    **needs("stock.write"),
)
async def set_critical_level(ctx: CurrentCtx, key: IdempotencyKey, body: CriticalLevelBody) -> CriticalLevelOut:
    """Sets or, with null, takes away the critical level of a product at a location. Reaching it raises an event."""
    try:
        level = await api.set_critical_level(ctx, body.to_input(), key)
    except NervioError as error:
        raise in_terms_of(error, REQUEST_NAMES) from None
    return CriticalLevelOut(
        product_id=level.product_id,
        sku=level.sku,
        location_id=level.location_id,
        on_hand_milli=level.on_hand,
        reserved_milli=level.reserved,
        critical_level_milli=body.critical_level_milli,
    )


@router.get(
    "/check",
    operation_id="check_stock",
    summary="Audit the stock books",
    response_model=InvariantReportOut,
    responses=refusals(),
    **needs("stock.read"),
)
async def check_stock(ctx: CurrentCtx) -> InvariantReportOut:
    """Compares every level with the journal, the lots and the holds, in one consistent read. Walks the whole journal."""
    return InvariantReportOut.of(await api.check_invariants(ctx))


@router.post(
    "/repair",
    operation_id="repair_stock",
    summary="Bring the stock books back to the journal",
    response_model=RepairedOut,
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs("stock.repair"),
)
async def repair_stock(ctx: CurrentCtx, key: IdempotencyKey, body: RepairBody) -> RepairedOut:
    """Corrects what the check finds and books each correction with its reason. Changes nothing where the books are sound."""
    return RepairedOut(corrected=(await api.repair(ctx, body.reason, key)).corrected)
