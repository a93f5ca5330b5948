"""Taking goods back, against a ticket or without one, and writing off what customers will not pay."""

from __future__ import annotations

from collections.abc import Sequence

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.writes import Row
from nervio.events.sales import RETURN_RECORDED
from nervio.events.sales import TicketRecorded as TicketFact
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.ids import new_id
from nervio.kernel.money import LARGEST, check_currency
from nervio.kernel.time import check_instant
from nervio.modules.catalog.contracts import ProductRow
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account, Posting, stock_account
from nervio.modules.sales.book import Original, SalesBook
from nervio.modules.sales.contracts import (
    Payment,
    PaymentKind,
    RecordReturn,
    SaleLine,
    TicketRecorded,
    WriteOff,
    WrittenOff,
)
from nervio.modules.sales.domain import allocate_return, line_money, money_postings
from nervio.modules.sales.usecases.selling import (
    check_form,
    check_paid,
    check_total,
    resolve_tickets,
    resolved_place,
    ticket_currency,
    ticket_number,
)
from nervio.modules.stock import api as stock

ReturnCommand = Command[RecordReturn, TicketRecorded]

LONGEST_REASON = 1000
LONGEST_REFERENCE = 200

LOT_OF_RETURNS = "returned"
"""Where units kept by lot go that come back without a ticket when their lot is not named either."""


def _resolve(batch: Batch, commands: Sequence[ReturnCommand]) -> None:
    resolve_tickets(batch, commands)
    for command in commands:
        body, prepared = command.body, command.prepared
        if body.original:
            lots = any(product is not None and product.by_lot for product in prepared.products)
            batch.book(SalesBook).want_original(command.tenant_id, body.original, lots=lots)


def _record_return(batch: Batch, command: ReturnCommand) -> TicketRecorded:
    body, tenant_id, book = command.body, command.tenant_id, batch.book(SalesBook)
    location, products = resolved_place(command)
    original = _original(book, command)
    ticket_id = batch.new_id()
    number = ticket_number(book, tenant_id, body.number, ticket_id)
    currency = original.currency if original else ticket_currency(body.currency, body.lines, products)
    tax_included = original.tax_included if original else body.tax_included
    parts = _parts_of(book, command, products, original)
    postings: list[Posting] = []
    here, levels = stock_account(location.id), stock.book(batch)
    lines: list[Row] = []
    for n, (product, lot, original_n, quantity, price, rate, tax, total) in enumerate(parts):
        lines.append((tenant_id, ticket_id, n, original_n, product.id, quantity, price, rate, tax, total))
        if product.tracked:
            for into, share in _lots_for(book, original, product, lot, quantity):
                expires_on = None
                if original is not None and into:
                    expires_on = levels.expiry_of((tenant_id, original.location_id, product.id), into)
                levels.put((tenant_id, location.id, product.id), share, into, expires_on)
                postings.append((here, Account.SOLD.value, product.id, into, share))
    tax_sum, total_sum = sum(part[6] for part in parts), sum(part[7] for part in parts)
    check_total(total_sum)
    paid = body.payments or ((Payment(PaymentKind.CASH, total_sum),) if total_sum else ())
    check_paid(paid, total_sum)
    if total_sum or tax_sum:
        postings += money_postings(paid, total_sum - tax_sum, tax_sum, currency, refund=True)
    effective_at = batch.now if body.effective_at is None else body.effective_at
    original_id = original.ticket_id if original else None
    ticket = (tenant_id, ticket_id, number, "return", original_id, location.id, command.actor_id, body.customer)
    money = (currency, tax_included, total_sum - tax_sum, tax_sum, total_sum, effective_at, batch.now)
    book.add((*ticket, *money), lines, [(tenant_id, ticket_id, n, p.kind.value, p.amount) for n, p in enumerate(paid)])
    details = {"reason": body.reason} if body.reason else None
    ledger.book(batch).post(tenant_id, command.actor_id, "return", ticket_id, number, effective_at, postings, details)
    back = [(part[0].id, part[3], part[7]) for part in parts]
    fact = TicketFact(ticket_id, number, location.id, currency, total_sum, tax_sum, effective_at, back)
    batch.emit(tenant_id, RETURN_RECORDED, location.id, fact)
    return TicketRecorded(
        ticket_id, number, location.id, currency, total_sum - tax_sum, tax_sum, total_sum, tuple(paid)
    )


def _lots_for(
    book: SalesBook, original: Original | None, product: ProductRow, named: str, quantity: int
) -> list[tuple[str, int]]:
    """(lot, units) of what comes back: the lot that is named, else those that the ticket's units came from."""
    if not product.by_lot:
        return [("", quantity)]
    if original is None:
        return [(named or LOT_OF_RETURNS, quantity)]
    if named:
        book.put_back(original, product.id, named, quantity)
        return [(named, quantity)]
    chosen = book.choose_lots(original, product.id, quantity)
    # Whether a product is kept by lot never changes, so the ticket's lots cover what its lines may still give back.
    assert sum(share for _, share in chosen) == quantity
    return chosen


Part = tuple[ProductRow, str, int | None, int, int, int, int, int]
"""(product, lot, line of the original, quantity, unit price, tax rate, tax, total) of one returned piece."""


def _parts_of(
    book: SalesBook, command: ReturnCommand, products: Sequence[ProductRow], original: Original | None
) -> list[Part]:
    parts: list[Part] = []
    for n, (line, product) in enumerate(zip(command.body.lines, products, strict=True)):
        if original is None:
            price = product.price_minor if line.unit_price is None else line.unit_price
            tax, total = line_money(price, line.quantity, product.tax_rate_bp, command.body.tax_included)
            parts.append((product, line.lot, None, line.quantity, price, product.tax_rate_bp, tax, total))
        else:
            parts.extend(_parts_against(book, original, line, product, n))
    return parts


def _parts_against(book: SalesBook, original: Original, line: SaleLine, product: ProductRow, n: int) -> list[Part]:
    named = [sold for sold in original.lines if line.original_line in (None, sold.n)]
    picked = list(allocate_return(named, product.id, line.quantity))
    returnable = sum(quantity for _, quantity in picked)
    if returnable < line.quantity:
        path = f"lines[{n}].quantity"
        raise conflict(
            "more_than_sold",
            f"{path}: only {returnable / 1000:g} of {product.sku!r} may still come back of this ticket.",
            field=path,
            returnable=returnable,
        )
    parts: list[Part] = []
    for sold, quantity in picked:
        tax, total = book.take_back(sold, quantity)
        parts.append((product, line.lot, sold.n, quantity, sold.unit_price, sold.tax_rate_bp, tax, total))
    return parts


def _original(book: SalesBook, command: ReturnCommand) -> Original | None:
    reference = command.body.original
    if not reference:
        return None
    original = book.find_original(command.tenant_id, reference)
    if original is None:
        raise not_found("ticket", reference, field="original")
    if original.kind != "sale":
        raise conflict("not_a_sale", "original is itself a return.", field="original")
    return original


def check_write_off(body: WriteOff) -> None:
    """Refuses a write-off that says nothing."""
    if body.amount == 0:
        raise invalid("zero_amount", "amount must not be zero.", field="amount")
    if not -LARGEST <= body.amount <= LARGEST:
        raise invalid("amount_out_of_range", "amount is larger than any ledger holds.", field="amount")
    check_currency(body.currency, "currency")
    if not body.reason.strip():
        raise invalid("reason_required", "reason must say why.", field="reason")
    stock.check_text(body.reason, LONGEST_REASON, "reason")
    stock.check_text(body.reference, LONGEST_REFERENCE, "reference")
    if body.effective_at is not None:
        check_instant(body.effective_at, "effective_at")


def check_return(body: RecordReturn) -> None:
    """Refuses a return whose form is wrong, naming the field."""
    check_form(body)
    stock.check_text(body.reason, LONGEST_REASON, "reason")
    for n, line in enumerate(body.lines):
        stock.check_lot(line.lot, f"lines[{n}].lot")


def _write_off(batch: Batch, command: Command[WriteOff, WrittenOff]) -> WrittenOff:
    body, document_id = command.body, new_id()
    effective_at = batch.now if body.effective_at is None else body.effective_at
    accounts = (Account.BAD_DEBT.value, Account.RECEIVABLE.value)
    debit, credit = accounts if body.amount > 0 else accounts[::-1]
    posting = (debit, credit, body.currency, "", abs(body.amount))
    details = {"reason": body.reason}
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "write_off", document_id, body.reference, effective_at, [posting], details
    )
    return WrittenOff(document_id)


RECORD_RETURN = Operation(
    "sales.record_return",
    Effect.REDUCE,
    RecordReturn,
    TicketRecorded,
    _record_return,
    _resolve,
    touches=("stock", "ledger"),
)
WRITE_OFF = Operation("sales.write_off", Effect.INCREASE, WriteOff, WrittenOff, _write_off, touches=("ledger",))
