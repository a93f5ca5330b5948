"""What the demo shops are planned into: plain records in the order of events, and the figures they must lead to.

Money is whole minor units of the shop's currency, quantities are whole milli-units, instants are UTC. The `number` of
each record is unique in its shop and serves as its idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from nervio.kernel.time import Instant

RECEIPT_LINES = 500


class PlannedProduct(NamedTuple):
    """A product; `list_price` 0 means that the year never saw a price. Without `tracked` it has no stock (a service)."""

    sku: str
    description: str
    list_price: int
    tracked: bool


class ReceiptLine(NamedTuple):
    """So much of a product came in."""

    sku: str
    quantity: int


TicketLine: TypeAlias = tuple[str, int, int]
"""SKU, quantity, unit price: so much of a product was sold at a price, which may be 0 (a gift).

A plain tuple, because there are 447,625 of them: one is made in a fifth of the time of a named one, and the garbage
collector stops following it, which a named one it would follow for as long as the year is loaded.
"""


class ReturnLine(NamedTuple):
    """So much of a product came back, refunded at a unit price; both figures are positive.

    Where the sale is known, `original_ticket` is its number and `original_line` the place of the line in it, from 0: a
    line of the same customer, product and unit price. Otherwise both are None (a blind return).
    """

    sku: str
    quantity: int
    unit_price: int
    original_ticket: str | None
    original_line: int | None


@dataclass(frozen=True, slots=True)
class OpeningReceipt:
    """Stock that was there before the first ticket, at most `RECEIPT_LINES` products to a receipt."""

    number: str
    effective_at: Instant
    lines: tuple[ReceiptLine, ...]


@dataclass(frozen=True, slots=True)
class Ticket:
    """An invoice; `total` is the sum of quantity × unit price of its lines."""

    number: str
    effective_at: Instant
    customer: str | None
    country: str
    lines: tuple[TicketLine, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Return:
    """A cancellation; `total` is what was refunded, positive."""

    number: str
    effective_at: Instant
    customer: str | None
    country: str
    lines: tuple[ReturnLine, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A correction of stock without money: `quantity` is signed (in this year always negative)."""

    number: str
    effective_at: Instant
    sku: str
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True)
class MoneyAdjustment:
    """Money without goods: `amount` is signed, positive where the shop's claim grows."""

    number: str
    effective_at: Instant
    amount: int
    reason: str


Record: TypeAlias = OpeningReceipt | Ticket | Return | Adjustment | MoneyAdjustment


@dataclass(frozen=True, slots=True)
class RetailSummary:
    """What the loaded year must add up to, counted from the rows of the source and not from the records.

    Rows and lines are the same thing for tickets; a return may have more lines than rows, where one row takes back goods
    of several tickets. `net_total` = `gross_sales` - `refunds` + `money_adjusted`; in mills it misses `rounded_off_mills`
    of the source's sum, the only loss. `stock_change` holds, for each tracked product, what must be on hand at the end
    less its opening quantity.
    """

    source_rows: int
    source_mills: int
    tickets: int
    ticket_lines: int
    units_sold: int
    gross_sales: int
    returns: int
    return_rows: int
    units_returned: int
    refunds: int
    adjustments: int
    units_adjusted: int
    money_adjustments: int
    money_adjusted: int
    net_total: int
    rounded_off_mills: int
    stock_change: Mapping[str, int]


def opening_receipts(stock: Mapping[str, int], effective_at: Instant) -> tuple[OpeningReceipt, ...]:
    """Receipts that bring in each quantity above 0, in the order of `stock`."""
    lines = [ReceiptLine(sku, quantity) for sku, quantity in stock.items() if quantity]
    return tuple(
        OpeningReceipt(f"opening-{n:04d}", effective_at, tuple(lines[start : start + RECEIPT_LINES]))
        for n, start in enumerate(range(0, len(lines), RECEIPT_LINES), 1)
    )


@dataclass(frozen=True, slots=True)
class RetailPlan:
    """The year, ready to load: products by SKU, then the records in order, the opening receipts first.

    `opening_stock` holds every tracked product, those without opening stock with 0.
    """

    products: tuple[PlannedProduct, ...]
    records: tuple[Record, ...]
    opening_stock: Mapping[str, int]
    summary: RetailSummary
