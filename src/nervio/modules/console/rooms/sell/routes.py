"""The page of the till. The sale itself goes to the API, so that it can wait in the browser for the line to come back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductFilter
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import PaymentKind
from nervio.modules.stock import api as stock

MOST_FAVOURITES = 12
TICKETS_LOOKED_AT = 100

router = page_router()


@router.get("/console/sell")
async def show_till(request: Request) -> Response:
    """The till, with what sold most of late within reach."""
    frame = await open_frame(request, "sales.write")
    context = {"kinds": [kind.value for kind in PaymentKind], "favourites": await _favourites(frame)}
    return frame.page("sell", context)


async def _favourites(frame: Frame) -> list[dict[str, Any]]:
    if not frame.may("sales.read") or not frame.may("catalog.read"):
        return []
    tickets = await sales.list_tickets(frame.ctx, kind="sale", limit=TICKETS_LOOKED_AT)
    sold = Counter(line.product_id for ticket in tickets for line in ticket.lines)
    best = tuple(product_id for product_id, _ in sold.most_common(2 * MOST_FAVOURITES))
    if best:
        found = await catalog.list_products(frame.ctx, ProductFilter(active=True, ids=best), limit=len(best))
        found.sort(key=lambda product: (-sold[product.id], product.name))
    else:
        found = await catalog.list_products(frame.ctx, ProductFilter(active=True), limit=MOST_FAVOURITES)
    return [
        {
            "sku": product.sku,
            "name": product.name,
            "unit_price_minor": product.price_minor,
            "available_milli": await _available(frame, product),
        }
        for product in found[:MOST_FAVOURITES]
    ]


async def _available(frame: Frame, product: Product) -> int | None:
    if not product.tracked or not frame.may("stock.read"):
        return None
    levels = await stock.get_levels(frame.ctx, product.id)
    return sum(level.available for level in levels if level.location_id == frame.shell.location_id)
