"""Selling: one ticket, its stock, its money and its journal entry in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.writes import Row
from nervio.events.sales import SALE_RECORDED
from nervio.events.sales import TicketRecorded as TicketFact
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.money import LARGEST as LARGEST_AMOUNT
from nervio.kernel.money import check_currency
from nervio.kernel.quantity import LARGEST as LARGEST_QUANTITY
from nervio.kernel.time import check_instant
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Location, ProductRow
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account, Posting, stock_account
from nervio.modules.sales.book import SalesBook
from nervio.modules.sales.contracts import Payment, RecordReturn, RecordSale, RefusedLine, SaleLine, TicketRecorded
from nervio.modules.sales.domain import cut_payments, line_money, money_postings
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import Shortage

MAX_LINES = 2000
LONGEST_NUMBER = 64
LONGEST_CUSTOMER = 200
SOLD = Account.SOLD.value

SaleCommand = Command[RecordSale, TicketRecorded]
AnyTicketCommand = Command[RecordSale, TicketRecorded] | Command[RecordReturn, TicketRecorded]


@dataclass(slots=True)
class Resolved:
    """What a ticket's command needs once its names are known; `products` in the order of its lines."""

    location: Location | None
    products: list[ProductRow | None]


def check_form(body: RecordSale | RecordReturn) -> None:
    """Refuses a ticket whose form is wrong, naming the field; what it means is decided on the books."""
    if not 1 <= len(body.lines) <= MAX_LINES:
        raise invalid("invalid_lines", f"lines must hold 1 to {MAX_LINES} entries.", field="lines")
    for n, line in enumerate(body.lines):
        if not 0 < line.quantity <= LARGEST_QUANTITY:
            path = f"lines[{n}].quantity"
            raise invalid("invalid_quantity", f"{path} must be more than zero.", field=path)
        if line.unit_price is not None and not 0 <= line.unit_price <= LARGEST_AMOUNT:
            path = f"lines[{n}].unit_price"
            raise invalid("invalid_price", f"{path} must be zero or more.", field=path)
    for n, payment in enumerate(body.payments):
        if not 0 < payment.amount <= LARGEST_AMOUNT:
            path = f"payments[{n}].amount"
            raise invalid("invalid_amount", f"{path} must be more than zero.", field=path)
    if len(body.payments) > 20:
        raise invalid("too_many_payments", "payments must hold at most 20 entries.", field="payments")
    if len(body.number) > LONGEST_NUMBER or not (body.number.isprintable() or body.number == ""):
        raise invalid(
            "invalid_number", f"number must be at most {LONGEST_NUMBER} printable characters.", field="number"
        )
    stock.check_text(body.customer, LONGEST_CUSTOMER, "customer")
    if body.currency is not None:
        check_currency(body.currency, "currency")
    if body.effective_at is not None:
        check_instant(body.effective_at, "effective_at")


def resolve_tickets(batch: Batch, commands: Sequence[AnyTicketCommand]) -> None:
    """Finds products and locations of all tickets in a few queries and declares levels and numbers."""
    locations = catalog.find_locations(batch, {(c.tenant_id, c.body.location) for c in commands})
    products = catalog.find_products(batch, {(c.tenant_id, line.sku) for c in commands for line in c.body.lines})
    levels, numbers = stock.book(batch), batch.book(SalesBook)
    for command in commands:
        tenant_id, body = command.tenant_id, command.body
        location = locations.get((tenant_id, body.location))
        found = [products.get((tenant_id, line.sku)) for line in body.lines]
        command.prepared = Resolved(location, found)
        if body.number:
            numbers.want_number(tenant_id, body.number)
        if location is None:
            continue
        command.location_id = location.id
        for product in found:
            if product is not None and product.tracked:
                key = (tenant_id, location.id, product.id)
                levels.want_level(key, location.allow_negative, lots=product.by_lot)


def resolved_place(command: AnyTicketCommand) -> tuple[Location, list[ProductRow]]:
    """The location and products of a command, or the refusal that names what is unknown."""
    resolved: Resolved = command.prepared
    if resolved.location is None:
        raise not_found("location", command.body.location, field="location")
    products = []
    for n, (line, product) in enumerate(zip(command.body.lines, resolved.products, strict=True)):
        if product is None:
            raise not_found("product", line.sku, field=f"lines[{n}].sku")
        products.append(product)
    return resolved.location, products


def ticket_number(book: SalesBook, tenant_id: str, wanted: str, ticket_id: str) -> str:
    """The number of a new ticket: the caller's, if nobody has it, or one cut from the ticket's id: its millisecond, its
    count within that, and 40 of its random bits, which keep apart what two processes count alike."""
    if not wanted:
        return f"T{ticket_id[:8]}{ticket_id[9:13]}{ticket_id[15:18]}{ticket_id[-10:]}".upper()
    if book.is_taken(tenant_id, wanted):
        raise conflict("number_taken", f"There is a ticket {wanted!r} already.", field="number", number=wanted)
    return wanted


def ticket_currency(given: str | None, lines: Sequence[SaleLine], products: Sequence[ProductRow]) -> str:
    """The one currency of a ticket: the caller's, else that of its products. A price of the product's own never counts
    in another currency than the product's."""
    currency = given or products[0].currency
    for n, (line, product) in enumerate(zip(lines, products, strict=True)):
        if product.currency != currency and (line.unit_price is None or not given):
            raise invalid(
                "mixed_currencies",
                f"{product.sku!r} has its price in {product.currency}, the ticket is in {currency}: name the ticket's "
                "currency and give this line a unit_price in it.",
                field=f"lines[{n}].unit_price",
            )
    return currency


def _record_sale(batch: Batch, command: SaleCommand) -> TicketRecorded:
    body, tenant_id, book = command.body, command.tenant_id, batch.book(SalesBook)
    location, products = resolved_place(command)
    _check_on_sale(location, products)
    ticket_id = batch.new_id()
    number = ticket_number(book, tenant_id, body.number, ticket_id)
    currency = ticket_currency(body.currency, body.lines, products)
    postings, refused, skipped = _take_stock(batch, command, location.id, products)
    lines: list[Row] = []
    sold: list[tuple[str, int, int]] = []
    tax_sum = total_sum = 0
    for n, (line, product) in enumerate(zip(body.lines, products, strict=True)):
        if n in skipped:
            continue
        quantity, rate, product_id = line.quantity, product.tax_rate_bp, product.id
        price = product.price_minor if line.unit_price is None else line.unit_price
        tax, total = line_money(price, quantity, rate, body.tax_included)
        tax_sum += tax
        total_sum += total
        lines.append((tenant_id, ticket_id, n, None, product_id, quantity, price, rate, tax, total))
        sold.append((product_id, quantity, total))
    if not lines:
        raise stock.insufficient([Shortage(r.sku, r.requested, r.available) for r in refused])
    check_total(total_sum)
    paid = cut_payments(body.payments, total_sum) if refused else body.payments
    check_paid(paid, total_sum)
    if total_sum:
        postings += money_postings(paid, total_sum - tax_sum, tax_sum, currency, refund=False)
    effective_at = batch.now if body.effective_at is None else body.effective_at
    ticket = (tenant_id, ticket_id, number, "sale", None, location.id, command.actor_id, body.customer, currency)
    money = (body.tax_included, total_sum - tax_sum, tax_sum, total_sum, effective_at, batch.now)
    paid_rows = [(tenant_id, ticket_id, n, p.kind.value, p.amount) for n, p in enumerate(paid)]
    book.add((*ticket, *money), lines, paid_rows, postings)
    ledger.book(batch).post(tenant_id, command.actor_id, "sale", ticket_id, number, effective_at, postings)
    fact = TicketFact(ticket_id, number, location.id, currency, total_sum, tax_sum, effective_at, sold)
    batch.emit(tenant_id, SALE_RECORDED, location.id, fact)
    return TicketRecorded(
        ticket_id, number, location.id, currency, total_sum - tax_sum, tax_sum, total_sum, tuple(paid), tuple(refused)
    )


def _check_on_sale(location: Location, products: Sequence[ProductRow]) -> None:
    """Refuses what was taken off sale. Returns do not ask: what was sold may always come back."""
    if not location.active:
        raise conflict("location_closed", f"The location {location.code!r} is closed.", field="location")
    for n, product in enumerate(products):
        if not product.active:
            path = f"lines[{n}].sku"
            raise conflict("product_off_sale", f"{product.sku!r} is no longer on sale.", field=path, sku=product.sku)


def check_total(total: int) -> None:
    """Refuses a sum that no ledger column should hold."""
    if total > LARGEST_AMOUNT:
        raise invalid("amount_out_of_range", "The ticket's total is out of range.", field="lines")


def check_paid(paid: Sequence[Payment], total: int) -> None:
    """Payments must add up to the total exactly; change is the till's business, not the journal's."""
    given = sum(payment.amount for payment in paid)
    if given != total:
        raise invalid(
            "payments_do_not_add_up",
            f"payments add up to {given}, the ticket to {total} minor units; send the exact amount.",
            field="payments",
            given=given,
            total=total,
        )


def _take_stock(
    batch: Batch, command: SaleCommand, location_id: str, products: Sequence[ProductRow]
) -> tuple[list[Posting], list[RefusedLine], set[int]]:
    """Takes the units of every tracked line, lines of one product summed first.

    Returns the postings and, for a partial ticket, the lines left out. Raises one refusal that lists every shortage.
    """
    body, tenant_id, book = command.body, command.tenant_id, stock.book(batch)
    sums: dict[str, tuple[ProductRow, int]] = {}
    for line, product in zip(body.lines, products, strict=True):
        if product.tracked:
            known = sums.get(product.id)
            sums[product.id] = (product, line.quantity if known is None else known[1] + line.quantity)
    here, today = stock_account(location_id), book.today_of(tenant_id)
    postings: list[Posting] = []
    short: dict[str, Shortage] = {}
    for product_id, (product, quantity) in sums.items():
        key = (tenant_id, location_id, product_id)
        level = book.levels[key]
        before = level.on_hand - level.reserved
        try:
            picks = book.take(key, quantity, product.by_lot, today)
        except stock.Short as refusal:
            s = refusal.shortage
            short[product_id] = Shortage(product.sku, quantity, s.available, s.expired)
            continue
        for lot, share in picks:
            postings.append((SOLD, here, product_id, lot, share))
        if level.critical_level is not None:
            stock.announce_critical(batch, book, key, product.sku, before)
    if short and not body.partial:
        raise stock.insufficient(list(short.values()))
    skipped = {n for n, product in enumerate(products) if product.id in short}
    refused = [_refused(n, body.lines[n], products[n], short[products[n].id]) for n in sorted(skipped)]
    return postings, refused, skipped


def _refused(n: int, line: SaleLine, product: ProductRow, shortage: Shortage) -> RefusedLine:
    return RefusedLine(n, product.sku, line.quantity, shortage.available)


RECORD_SALE = Operation(
    "sales.record_sale",
    Effect.INCREASE,
    RecordSale,
    TicketRecorded,
    _record_sale,
    resolve_tickets,
    touches=("stock", "ledger"),
)
