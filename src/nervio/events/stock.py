"""Facts about stock."""

from __future__ import annotations

from dataclasses import dataclass

STOCK_MOVED = "stock_moved.v1"
STOCK_BECAME_CRITICAL = "stock_became_critical.v1"
HOLD_SETTLED = "stock_hold_settled.v1"


@dataclass(frozen=True, slots=True)
class StockMoved:
    """A stock document was booked. `lines`: (product id, location id, signed milli-units)."""

    kind: str
    document_id: str
    reference: str
    lines: list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class StockBecameCritical:
    """Available stock fell to the critical level or below it. Milli-units."""

    product_id: str
    sku: str
    location_id: str
    available: int
    critical_level: int


@dataclass(frozen=True, slots=True)
class HoldSettled:
    """A hold was placed or reached its final state."""

    hold_id: str
    state: str
    lines: list[tuple[str, int]]
