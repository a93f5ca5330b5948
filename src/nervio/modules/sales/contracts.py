"""Tickets and returns as other modules see them. Money in minor units, quantities in milli-units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from nervio.kernel.time import Instant


class PaymentKind(StrEnum):
    """How a ticket is paid; `account` puts it on the customer's tab."""

    CASH = "cash"
    CARD = "card"
    TRANSFER = "transfer"
    WALLET = "wallet"
    ACCOUNT = "account"


class Payment(msgspec.Struct, frozen=True, gc=False):
    """A part of what was paid, or paid back."""

    kind: PaymentKind
    amount: int


class SaleLine(msgspec.Struct, frozen=True, gc=False):
    """A line to sell or to take back. `sku` may be a SKU, a barcode or a product id; without a unit price the product's
    own counts. `lot` and `original_line` are only for taking back: the lot the units go to (without it they go back to the lots
    that the original ticket's units came from, the last picked first), and the line of the original ticket (from 0) they
    came from, where the caller knows it."""

    sku: str
    quantity: int
    unit_price: int | None = None
    lot: str = ""
    original_line: int | None = None


class RecordSale(msgspec.Struct, frozen=True):
    """A ticket. All or nothing, unless `partial`: then lines that are short are left out and payments are cut to what
    was sold. `tax_included` says whether unit prices contain the tax. `number` is given by the program when empty."""

    location: str
    lines: tuple[SaleLine, ...]
    payments: tuple[Payment, ...] = ()
    number: str = ""
    currency: str | None = None
    tax_included: bool = True
    partial: bool = False
    customer: str = ""
    effective_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class RecordReturn:
    """Goods taken back. With `original` (a ticket's number or id) at the price of that ticket and never more than it
    sold; without, at the price given. `payments` empty pays back in cash."""

    location: str
    lines: tuple[SaleLine, ...]
    original: str = ""
    payments: tuple[Payment, ...] = ()
    number: str = ""
    currency: str | None = None
    tax_included: bool = True
    customer: str = ""
    reason: str = ""
    effective_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class WriteOff:
    """An amount on customers' accounts that will not be paid. Positive minor units; negative takes one back."""

    amount: int
    currency: str
    reference: str
    reason: str
    effective_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class TicketLine:
    """A line as it was sold; `total` includes the tax."""

    n: int
    product_id: str
    sku: str
    name: str
    quantity: int
    unit_price: int
    tax_rate_bp: int
    tax: int
    total: int


class RefusedLine(msgspec.Struct, frozen=True, gc=False):
    """A line that a partial ticket left out."""

    n: int
    sku: str
    requested: int
    available: int


class TicketRecorded(msgspec.Struct, frozen=True):
    """The answer to a sale or a return."""

    ticket_id: str
    number: str
    location_id: str
    currency: str
    net: int
    tax: int
    total: int
    payments: tuple[Payment, ...]
    refused: tuple[RefusedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """The answer to a write-off."""

    document_id: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket or a return (`kind`), whole."""

    id: str
    number: str
    kind: str
    original_id: str | None
    location_id: str
    actor_id: str
    customer: str
    currency: str
    tax_included: bool
    net: int
    tax: int
    total: int
    effective_at: Instant
    recorded_at: Instant
    lines: tuple[TicketLine, ...]
    payments: tuple[Payment, ...]


@dataclass(frozen=True, slots=True)
class SalesSummary:
    """Sales of a span of time in one currency: tickets, returns and money, returns already taken off the total."""

    currency: str
    tickets: int
    returns: int
    total: int
    tax: int


@dataclass(frozen=True, slots=True)
class SalesPoint:
    """Sales of one interval, for a chart."""

    start: Instant
    tickets: int
    total: int
