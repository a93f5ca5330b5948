"""One product's page: levels, movements with the balance each left, lots, holds, and the form that is open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from nervio.kernel.time import to_datetime
from nervio.modules.catalog.contracts import Product
from nervio.modules.console import lists
from nervio.modules.console.charts import sparkline
from nervio.modules.console.requests import Frame, name_of
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import HoldState, Level, Lot, StockMovement
from nervio.web.lists import position_of
from nervio.web.pages import encode_cursor

SOON = timedelta(days=7)
MOST_HOLDS = 50

_FIGURE = re.compile("-?[0-9]{1,19}")


async def product_page(
    frame: Frame, product: Product, action: str = "", errors: Mapping[str, str] | None = None
) -> Response:
    """The page; with `errors` the dialog of `action` is open and the answer is a refusal."""
    levels = await stock.get_levels(frame.ctx, product.id)
    movements, balances, following = await _movements(frame, product, levels)
    rows = await _movement_rows(frame, movements, balances)
    totals = _totals(movements, sum(balances.values()))
    lots = [lot for lot in await stock.list_lots(frame.ctx, product.id) if lot.on_hand]
    low, high = frame.formats.quantity(min(totals, default=0)), frame.formats.quantity(max(totals, default=0))
    context = {
        "product": {
            "sku": product.sku,
            "name": product.name,
            "barcode": ", ".join(product.barcodes),
            "price_minor": product.price_minor,
        },
        "levels": [_level_row(frame, level) for level in levels],
        "movements": rows,
        "lots": [_lot_row(frame, lot) for lot in lots],
        "holds": await _holds(frame, product),
        "action": action,
        "errors": dict(errors or {}),
        "locations": frame.places,
        "spark": sparkline(totals, frame.t("stock.spark", low=low, high=high)),
        "next_cursor": following,
    }
    return frame.page("stock_product", context, 422 if errors else 200)


async def _movements(
    frame: Frame, product: Product, levels: Sequence[Level]
) -> tuple[Sequence[StockMovement], dict[str, int], str | None]:
    """A page of movements, the balance of each location after its newest one, and the cursor of the next page.

    The cursor carries the balances on: they are counted back from what there is now.
    """
    cursor = frame.query("cursor", 2000) if frame.request.method == "GET" else ""
    after = position_of(cursor or None, "id", "int", "bool", "text")
    balances = {level.location_id: level.on_hand for level in levels}
    before = None
    if after is not None:
        before = (after[0], after[1], after[2])
        pairs = (pair.partition("=") for pair in after[3].split(",") if pair)
        balances = {place: int(figure) for place, _, figure in pairs if _FIGURE.fullmatch(figure)}
    found = await stock.list_movements(frame.ctx, product.id, None, before, lists.PAGE + 1)
    page = found[: lists.PAGE]
    if len(found) <= lists.PAGE:
        return page, balances, None
    rest = dict(balances)
    for movement in page:
        rest[movement.location_id] = rest.get(movement.location_id, 0) - movement.quantity
    last, carried = page[-1], ",".join(f"{place}={figure}" for place, figure in rest.items())
    return page, balances, encode_cursor(last.entry_id, last.n, last.quantity > 0, carried)


async def _movement_rows(
    frame: Frame, movements: Sequence[StockMovement], balances: Mapping[str, int]
) -> list[dict[str, Any]]:
    people, left, rows = await frame.people(), dict(balances), []
    for movement in movements:
        balance = left.get(movement.location_id, 0)
        rows.append(
            {
                "entry_id": movement.entry_id,
                "recorded_at": to_datetime(movement.recorded_at),
                "effective_at": to_datetime(movement.effective_at),
                "kind": _kind(movement),
                "location": frame.place_name(movement.location_id),
                "quantity_milli": movement.quantity,
                "balance_milli": balance,
                "lot": movement.lot,
                "note": movement.reference,
                "actor": name_of(people, movement.actor_id),
            }
        )
        left[movement.location_id] = balance - movement.quantity
    return rows


def _kind(movement: StockMovement) -> str:
    if movement.kind == "transfer":
        return "transfer_in" if movement.quantity > 0 else "transfer_out"
    return movement.kind


def _totals(movements: Sequence[StockMovement], now: int) -> list[int]:
    """What there was in all places together after each movement, the oldest first."""
    totals = [now]
    for movement in movements:
        totals.append(totals[-1] - movement.quantity)
    return totals[::-1]


def _level_row(frame: Frame, level: Level) -> dict[str, Any]:
    return {
        "location_id": level.location_id,
        "location": frame.place_name(level.location_id),
        "on_hand_milli": level.on_hand,
        "reserved_milli": level.reserved,
        "available_milli": level.available,
    }


def _lot_row(frame: Frame, lot: Lot) -> dict[str, Any]:
    expires = None
    if lot.expires_on is not None:
        day = datetime.fromisoformat(lot.expires_on).date()
        expires = datetime.combine(day, time(12), tzinfo=ZoneInfo(frame.formats.zone))
    today = to_datetime(frame.ctx.clock.now()).astimezone(ZoneInfo(frame.formats.zone)).date()
    state = "ok"
    if expires is not None:
        state = "expired" if expires.date() < today else "soon" if expires.date() <= today + SOON else "ok"
    return {
        "code": lot.lot,
        "location": frame.place_name(lot.location_id),
        "expires_on": None if expires is None else expires.astimezone(UTC),
        "quantity_milli": lot.on_hand,
        "state": state,
    }


async def _holds(frame: Frame, product: Product) -> list[dict[str, Any]]:
    return [
        {
            "reference": hold.reference or hold.id[:8],
            "location": frame.place_name(hold.location_id),
            "quantity_milli": sum(line.quantity for line in hold.lines if line.product_id == product.id),
            "expires_at": to_datetime(hold.expires_at),
        }
        for hold in await stock.list_holds(frame.ctx, HoldState.ACTIVE, product.id, limit=MOST_HOLDS)
    ]
