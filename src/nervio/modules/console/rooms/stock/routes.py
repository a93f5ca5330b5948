"""Levels, and one product's stock: what there is, why, and counting, adjusting and moving it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product
from nervio.modules.console import lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame, redirect, text_of
from nervio.modules.console.rooms.stock.product import product_page
from nervio.modules.console.tables import Choice, Column, Filter, Table
from nervio.modules.console.typed import read_quantity
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import Level, StockDocument, StockLine

STOCK = "/console/stock"
CRITICAL = "critical"
REASONS = ("damage", "theft", "expired", "internal", "found")

COLUMNS = (
    Column("name", "col.product", sortable=True, fixed=True),
    Column("location", "col.location", phone=False),
    Column("on_hand", "col.on_hand", numeric=True),
    Column("reserved", "col.reserved", numeric=True, phone=False),
    Column("available", "col.available", numeric=True),
    Column("critical", "col.critical", numeric=True, phone=False),
)

UNSORTED = tuple(replace(column, sortable=False) for column in COLUMNS)

router = page_router()


@router.get(STOCK)
async def show_levels(request: Request) -> Response:
    """Levels by product name, or those at their critical level, the scarcest first."""
    frame = await open_frame(request, "stock.read")
    search, place, level = frame.query("q"), frame.query("location"), frame.query("level")
    place = place if place in dict(frame.places) else ""
    is_critical = level == CRITICAL
    # The scarcest first is an order of its own, which no column turns.
    columns = UNSORTED if is_critical else COLUMNS
    sort, descending = lists.sort_of(frame, columns)
    if lists.wants_csv(frame):
        critical, turned = "true" if is_critical else None, "-name" if descending else None
        return lists.to_csv("/api/stock/levels", search=search, location_id=place, critical=critical, sort=turned)
    cut = await (
        _critical(frame, search, place or None) if is_critical else _named(frame, search, place or None, descending)
    )
    count, critical_count = await stock.count_levels(frame.ctx)
    filters = [Filter("level", "stock.any_level", (Choice(CRITICAL, frame.t("stock.level_critical")),))]
    if len(frame.places) > 1:
        filters.insert(0, Filter("location", "stock.any_location", tuple(Choice(*each) for each in frame.places)))
    table = Table(
        path=STOCK,
        columns=columns,
        name="stock",
        search=search,
        sort=sort,
        descending=descending,
        usual="" if is_critical else "name",
        chosen={"location": place, "level": level},
        hidden=lists.hidden_of(frame, COLUMNS),
        filters=tuple(filters),
        views=await lists.views_of(frame, "stock"),
        shown=len(cut.rows),
        total=None if search or place else critical_count if is_critical else count,
        previous_cursor=cut.previous,
        next_cursor=cut.following,
    )
    return frame.page("stock", {"table": table, "rows": [_row(frame, each) for each in cut.rows]})


@router.get(STOCK + "/{sku:path}")
async def show_product(request: Request, sku: str) -> Response:
    """One product's stock."""
    frame = await open_frame(request, "stock.read")
    product = await catalog.get_product(frame.ctx, sku)
    if lists.wants_csv(frame):
        return lists.to_csv("/api/stock/movements", product=product.id)
    return await product_page(frame, product)


@router.post(STOCK + "/{sku:path}/count")
async def count_product(request: Request, sku: str) -> Response:
    """Books what was counted; the difference becomes a movement."""
    frame, form, product = await _asked(request, sku)
    counted = read_quantity(text_of(form, "counted", 40), frame.formats)
    if counted is None or counted < 0:
        return await product_page(frame, product, "count", {"counted": frame.t("js.count_bad")})
    note = text_of(form, "note", 200)
    document = StockDocument(text_of(form, "location_id", 64), (StockLine(product.sku, counted),), reason=note)
    return await _book(frame, product, "count", document, "count", "counted")


@router.post(STOCK + "/{sku:path}/adjust")
async def adjust_product(request: Request, sku: str) -> Response:
    """Books a change with its reason."""
    frame, form, product = await _asked(request, sku)
    change, reason = read_quantity(text_of(form, "change", 40), frame.formats), text_of(form, "reason", 40)
    if not change:
        return await product_page(frame, product, "adjust", {"change": frame.t("js.count_bad")})
    if reason not in REASONS:
        return await product_page(frame, product, "adjust", {"reason": frame.t("problem.missing")})
    document = StockDocument(
        text_of(form, "location_id", 64), (StockLine(product.sku, change),), reason=frame.t(f"stock.reason_{reason}")
    )
    return await _book(frame, product, "adjustment", document, "adjust", "change")


@router.post(STOCK + "/{sku:path}/transfer")
async def transfer_product(request: Request, sku: str) -> Response:
    """Moves units from one location to another."""
    frame, form, product = await _asked(request, sku)
    quantity = read_quantity(text_of(form, "quantity", 40), frame.formats)
    origin, goal = text_of(form, "from_id", 64), text_of(form, "to_id", 64)
    if quantity is None or quantity <= 0:
        return await product_page(frame, product, "transfer", {"quantity": frame.t("js.count_bad")})
    if origin == goal:
        return await product_page(frame, product, "transfer", {"to_id": frame.t("problem.same_location")})
    document = StockDocument(origin, (StockLine(product.sku, quantity),), to_location=goal)
    return await _book(frame, product, "transfer", document, "transfer", "quantity")


async def _asked(request: Request, sku: str) -> tuple[Frame, FormData, Product]:
    frame = await open_frame(request, "stock.write")
    return frame, await frame.form(), await catalog.get_product(frame.ctx, sku)


async def _book(
    frame: Frame, product: Product, kind: str, document: StockDocument, action: str, field: str
) -> Response:
    try:
        await stock.record_document(frame.ctx, kind, document)
    except NervioError as error:
        return await product_page(frame, product, action, {field: frame.explain(error)})
    return redirect(frame.request.url.path.rpartition("/")[0])


async def _named(frame: Frame, search: str, place: str | None, descending: bool) -> lists.Cut[Level]:
    async def read(at: lists.Positions | None, backwards: bool) -> tuple[list[Level], lists.Positions | None]:
        after = None if at is None else (at[0], at[1], at[2])
        return await stock.page_levels(
            frame.ctx, search, place, after, lists.PAGE, descending=descending, backwards=backwards
        )

    start = lists.start_of(frame, "text", "id", "text")
    return await lists.walk(start, read, lambda level: (level.name, level.product_id, level.location_code))


async def _critical(frame: Frame, search: str, place: str | None) -> lists.Cut[Level]:
    async def read(at: lists.Positions | None, backwards: bool) -> tuple[list[Level], lists.Positions | None]:
        after = None if at is None else (at[0], at[1], at[2])
        return await stock.page_critical_levels(frame.ctx, search, place, after, lists.PAGE, backwards=backwards)

    def stands(level: Level) -> lists.Positions:
        return level.available - (level.critical_level or 0), level.location_id, level.product_id

    return await lists.walk(lists.start_of(frame, "int", "id", "id"), read, stands)


def _row(frame: Frame, level: Level) -> dict[str, Any]:
    return {
        "sku": level.sku,
        "name": level.name,
        "location": frame.place_name(level.location_id),
        "on_hand_milli": level.on_hand,
        "reserved_milli": level.reserved,
        "available_milli": level.available,
        "critical_milli": level.critical_level,
    }
