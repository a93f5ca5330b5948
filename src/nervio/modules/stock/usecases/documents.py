"""Stock documents: receipts, issues, adjustments, transfers and counts. One `decide` a kind, all in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.events.stock import (
    HOLD_SETTLED,
    STOCK_BECAME_CRITICAL,
    STOCK_MOVED,
    HoldSettled,
    StockBecameCritical,
    StockMoved,
)
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.quantity import LARGEST
from nervio.kernel.time import check_instant, parse_date
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Location, ProductRow
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import STOCK_PREFIX, Account, Posting, stock_account
from nervio.modules.stock.book import Short, StockBook
from nervio.modules.stock.contracts import HoldState, LevelAfter, Shortage, StockDocument, StockLine, StockRecorded
from nervio.modules.stock.domain import LevelKey, crossed_down, holds_to_break

MAX_LINES = 2000
SOLD = Account.SOLD.value
LONGEST_LOT = 64
LONGEST_REFERENCE = 200
LONGEST_REASON = 1000

DocumentCommand = Command[StockDocument, StockRecorded]


@dataclass(slots=True)
class ResolvedLine:
    """A line whose product is known."""

    line: StockLine
    product: ProductRow
    key: LevelKey


@dataclass(slots=True)
class ResolvedDocument:
    """What `decide` needs of a document; `problem` is raised there, where it is one command's verdict."""

    problem: Exception | None
    location: Location | None = None
    to_location: Location | None = None
    lines: Sequence[ResolvedLine] = ()


def resolve(batch: Batch, commands: Sequence[DocumentCommand]) -> None:
    """Finds the products and locations of all documents in a few queries and declares their levels."""
    places = {(c.tenant_id, c.body.location) for c in commands}
    places |= {(c.tenant_id, c.body.to_location) for c in commands if c.body.to_location is not None}
    locations = catalog.find_locations(batch, places)
    products = catalog.find_products(batch, {(c.tenant_id, line.sku) for c in commands for line in c.body.lines})
    book = batch.book(StockBook)
    for command in commands:
        command.prepared = _resolve_one(command, locations, products)
        document: ResolvedDocument = command.prepared
        if document.problem is not None or document.location is None:
            continue
        command.location_id = document.location.id
        command.to_location_id = document.to_location.id if document.to_location is not None else None
        counting = command.operation.name == "stock.count"
        for resolved in document.lines:
            by_lot = resolved.product.by_lot
            book.want_level(resolved.key, document.location.allow_negative, lots=by_lot, holds=counting)
            if document.to_location is not None:
                there = (command.tenant_id, document.to_location.id, resolved.product.id)
                book.want_level(there, document.to_location.allow_negative, lots=by_lot)


def _resolve_one(
    command: DocumentCommand,
    locations: dict[tuple[str, str], Location],
    products: dict[tuple[str, str], ProductRow],
) -> ResolvedDocument:
    tenant_id, body = command.tenant_id, command.body
    location = locations.get((tenant_id, body.location))
    if location is None:
        return ResolvedDocument(not_found("location", body.location, field="location"))
    to_location = None
    if body.to_location is not None:
        to_location = locations.get((tenant_id, body.to_location))
        if to_location is None:
            return ResolvedDocument(not_found("location", body.to_location, field="to_location"))
        if to_location.id == location.id:
            return ResolvedDocument(
                invalid("same_location", "to_location must be another place than location.", field="to_location")
            )
    lines = []
    for n, line in enumerate(body.lines):
        product = products.get((tenant_id, line.sku))
        if product is None:
            return ResolvedDocument(not_found("product", line.sku, field=f"lines[{n}].sku"))
        if not product.tracked:
            path = f"lines[{n}].sku"
            return ResolvedDocument(invalid("not_stocked", f"{line.sku!r} is a service and has no stock.", field=path))
        lines.append(ResolvedLine(line, product, (tenant_id, location.id, product.id)))
    return ResolvedDocument(None, location, to_location, lines)


def check_document(body: StockDocument, *, signed: bool = False, zero: bool = False) -> None:
    """Refuses a document whose form is wrong, naming the field; what it means is decided on the books."""
    if not 1 <= len(body.lines) <= MAX_LINES:
        raise invalid("invalid_lines", f"lines must hold 1 to {MAX_LINES} entries.", field="lines")
    for n, line in enumerate(body.lines):
        path = f"lines[{n}].quantity"
        if not -LARGEST <= line.quantity <= LARGEST:
            raise invalid("quantity_out_of_range", f"{path} is out of range.", field=path)
        if line.quantity < 0 and not signed:
            raise invalid("negative_quantity", f"{path} must be positive.", field=path)
        if line.quantity == 0 and not zero:
            raise invalid("zero_quantity", f"{path} must not be zero.", field=path)
        check_lot(line.lot, f"lines[{n}].lot")
        _check_expiry(line.expires_on, f"lines[{n}].expires_on")
    check_text(body.reference, LONGEST_REFERENCE, "reference")
    check_text(body.reason, LONGEST_REASON, "reason")
    if body.effective_at is not None:
        check_instant(body.effective_at, "effective_at")


def check_text(text: str, longest: int, field: str) -> None:
    """Refuses a text that is too long, or holds the one character that PostgreSQL cannot store."""
    if len(text) > longest or "\x00" in text:
        raise invalid("invalid_text", f"{field} must be text of at most {longest} characters.", field=field)


def check_lot(lot: str, field: str) -> None:
    """Refuses a lot's code that no label could carry."""
    if len(lot) > LONGEST_LOT or lot != lot.strip() or not lot.isprintable():
        raise invalid("invalid_lot", f"{field} must be at most {LONGEST_LOT} printable characters.", field=field)


def _check_expiry(expires_on: str | None, field: str) -> None:
    # Dates are compared as text, so there is one way to write them.
    if expires_on is not None and parse_date(expires_on, field) != expires_on:
        raise invalid("invalid_date", f"{field} must be written as 2026-03-01.", field=field)


def _opened(command: DocumentCommand) -> ResolvedDocument:
    document: ResolvedDocument = command.prepared
    if document.problem is not None:
        raise document.problem
    return document


def summed(lines: Sequence[ResolvedLine]) -> dict[tuple[LevelKey, str], tuple[ProductRow, int]]:
    """Lines of one product (and lot, where lots are kept) added up before anything is checked: two lines of 6 are a
    demand for 12."""
    sums: dict[tuple[LevelKey, str], tuple[ProductRow, int]] = {}
    for resolved in lines:
        name = (resolved.key, resolved.line.lot if resolved.product.by_lot else "")
        _, quantity = sums.get(name, (resolved.product, 0))
        sums[name] = (resolved.product, quantity + resolved.line.quantity)
    return sums


def take_all(
    book: StockBook, wanted: dict[tuple[LevelKey, str], tuple[ProductRow, int]], today: str, *, promised: bool = False
) -> list[tuple[LevelKey, ProductRow, str, int]]:
    """Takes everything or raises one error that lists every shortage; returns (level, product, lot, quantity) picks."""
    picks: list[tuple[LevelKey, ProductRow, str, int]] = []
    shortages = []
    for (key, named_lot), (product, quantity) in wanted.items():
        try:
            taken = book.take(key, quantity, product.by_lot, today, named_lot, promised=promised)
        except Short as short:
            s = short.shortage
            shortages.append(Shortage(product.sku, s.requested, s.available, s.expired))
        else:
            picks.extend((key, product, lot, share) for lot, share in taken)
    if shortages:
        raise insufficient(shortages)
    return picks


def insufficient(shortages: Sequence[Shortage]) -> Exception:
    """The refusal that tells a cashier what is short and by how much."""
    short = ", ".join(f"{s.sku}: {s.requested / 1000:g} asked, {s.available / 1000:g} available" for s in shortages[:3])
    listed = [
        {"sku": s.sku, "requested": s.requested, "available": s.available, "expired": s.expired} for s in shortages
    ]
    return conflict("insufficient_stock", f"Not enough stock ({short}).", field="lines", shortages=listed)


def announce_critical(batch: Batch, book: StockBook, key: LevelKey, sku: str, before: int) -> None:
    """Emits the event when a level just fell to its critical level; `before` is what was available."""
    level = book.levels[key]
    if crossed_down(before, level.available, level.critical_level):
        assert level.critical_level is not None
        fact = StockBecameCritical(key[2], sku, key[1], level.available, level.critical_level)
        batch.emit(key[0], STOCK_BECAME_CRITICAL, key[2], fact)


def _receive(batch: Batch, command: DocumentCommand) -> StockRecorded:
    document, book = _opened(command), batch.book(StockBook)
    assert document.location is not None
    here = stock_account(document.location.id)
    postings: list[Posting] = []
    for n, r in enumerate(document.lines):
        line = r.line
        if r.product.by_lot and not line.lot:
            path = f"lines[{n}].lot"
            raise invalid("lot_required", f"{r.product.sku!r} is kept by lot: give the lot's code.", field=path)
        lot = line.lot if r.product.by_lot else ""
        book.put(r.key, line.quantity, lot, line.expires_on)
        postings.append((here, Account.SUPPLIED, r.product.id, lot, line.quantity))
    return _book(batch, command, "receipt", document, postings)


def _issue(batch: Batch, command: DocumentCommand) -> StockRecorded:
    document, book = _opened(command), batch.book(StockBook)
    assert document.location is not None
    here = stock_account(document.location.id)
    picks = take_all(book, summed(document.lines), book.today_of(command.tenant_id))
    postings = [(SOLD, here, product.id, lot, share) for _, product, lot, share in picks]
    return _book(batch, command, "issue", document, postings)


def _transfer(batch: Batch, command: DocumentCommand) -> StockRecorded:
    document, book = _opened(command), batch.book(StockBook)
    assert document.location is not None
    if document.to_location is None:
        raise invalid("to_location_required", "to_location must name where the goods go.", field="to_location")
    here, there = stock_account(document.location.id), stock_account(document.to_location.id)
    postings: list[Posting] = []
    for key, product, lot, share in take_all(book, summed(document.lines), book.today_of(command.tenant_id)):
        expires_on = book.lots[key][lot].expires_on if lot else None
        book.put((key[0], document.to_location.id, product.id), share, lot, expires_on)
        postings.append((there, here, product.id, lot, share))
    return _book(batch, command, "transfer", document, postings)


def _adjust(batch: Batch, command: DocumentCommand) -> StockRecorded:
    document, book = _opened(command), batch.book(StockBook)
    assert document.location is not None
    here = stock_account(document.location.id)
    postings: list[Posting] = []
    down = [r for r in document.lines if r.line.quantity < 0]
    wanted = {name: (product, -quantity) for name, (product, quantity) in summed(down).items()}
    for r in document.lines:
        if r.line.quantity > 0:
            lot = r.line.lot or ("unknown" if r.product.by_lot else "")
            book.put(r.key, r.line.quantity, lot, r.line.expires_on)
            postings.append((here, Account.ADJUSTED, r.product.id, lot, r.line.quantity))
    # Written-off units may be expired: that is often why they are written off.
    for _, product, lot, share in take_all(book, wanted, today=""):
        postings.append((Account.ADJUSTED, here, product.id, lot, share))
    return _book(batch, command, "adjustment", document, postings)


def _count(batch: Batch, command: DocumentCommand) -> StockRecorded:
    document, book = _opened(command), batch.book(StockBook)
    assert document.location is not None
    here = stock_account(document.location.id)
    postings: list[Posting] = []
    broken: list[str] = []
    before = {r.key: book.levels[r.key].available for r in document.lines}
    dates = {(r.key, r.line.lot): r.line.expires_on for r in document.lines}
    for n, ((key, lot), (product, counted)) in enumerate(summed(document.lines).items()):
        if product.by_lot and not lot:
            path = f"lines[{n}].lot"
            raise invalid("lot_required", f"{product.sku!r} is kept by lot: count each lot.", field=path)
        if lot and lot not in book.lots.get(key, {}):
            book.put(key, 0, lot, dates[key, lot])
        recorded = book.lots[key][lot].on_hand if product.by_lot else book.levels[key].on_hand
        difference = counted - recorded
        level = book.levels[key]
        if not level.allow_negative:
            for hold_id in holds_to_break(level.reserved, level.on_hand + difference, book.active_holds_on(key)):
                _break_hold(batch, (command.tenant_id, hold_id))
                broken.append(hold_id)
        book.adjust(key, difference, lot)
        if difference > 0:
            postings.append((here, Account.COUNTED, product.id, lot, difference))
        elif difference < 0:
            postings.append((Account.COUNTED, here, product.id, lot, -difference))
    return _book(batch, command, "count", document, postings, broken, before)


def _break_hold(batch: Batch, hold_key: tuple[str, str]) -> None:
    book = batch.book(StockBook)
    settle_hold_units(book, hold_key, HoldState.BROKEN)
    fact = HoldSettled(hold_key[1], HoldState.BROKEN.value, list(book.holds[hold_key].lines.items()))
    batch.emit(hold_key[0], HOLD_SETTLED, hold_key[1], fact)


def settle_hold_units(book: StockBook, hold_key: tuple[str, str], state: HoldState) -> None:
    """Gives the units of an active hold back to everyone and marks it settled."""
    hold = book.holds[hold_key]
    for product_id, quantity in hold.lines.items():
        book.unreserve((hold_key[0], hold.location_id, product_id), quantity)
    book.settle_hold(hold_key, state)


def _book(
    batch: Batch,
    command: DocumentCommand,
    kind: str,
    document: ResolvedDocument,
    postings: list[Posting],
    broken: Sequence[str] = (),
    before: Mapping[LevelKey, int] | None = None,
) -> StockRecorded:
    """Posts the document, tells the world, and answers with the levels it left. `before`: what was available, where that
    is not what the document moved less than what there is now."""
    body, book, tenant_id = command.body, batch.book(StockBook), command.tenant_id
    document_id = batch.new_id()
    effective_at = batch.now if body.effective_at is None else body.effective_at
    details: dict[str, Any] = {}
    if body.reason:
        details["reason"] = body.reason
    if broken:
        details["broken_holds"] = list(broken)
    ledger.book(batch).post(
        tenant_id, command.actor_id, kind, document_id, body.reference, effective_at, postings, details or None
    )
    moved = _moved(tenant_id, document, postings)
    skus = {r.product.id: r.product.sku for r in document.lines}
    after = []
    for key, quantity in moved.items():
        level, sku = book.levels[key], skus[key[2]]
        after.append(LevelAfter(key[2], sku, key[1], quantity, level.on_hand, level.reserved))
        if level.critical_level is not None:
            was = before[key] if before is not None else level.available - quantity
            announce_critical(batch, book, key, sku, was)
    lines = [(key[2], key[1], quantity) for key, quantity in moved.items()]
    batch.emit(tenant_id, STOCK_MOVED, document_id, StockMoved(kind, document_id, body.reference, lines))
    return StockRecorded(document_id, body.reference, tuple(after), tuple(broken))


def _moved(tenant_id: str, document: ResolvedDocument, postings: Sequence[Posting]) -> dict[LevelKey, int]:
    """What the postings moved, signed, for every level of the document; counted ones may not have moved at all."""
    moved = {r.key: 0 for r in document.lines}
    for debit, credit, asset, _lot, amount in postings:
        if credit.startswith(STOCK_PREFIX):
            key = (tenant_id, credit[len(STOCK_PREFIX) :], asset)
            moved[key] = moved.get(key, 0) - amount
        if debit.startswith(STOCK_PREFIX):
            key = (tenant_id, debit[len(STOCK_PREFIX) :], asset)
            moved[key] = moved.get(key, 0) + amount
    return moved


RECEIVE = Operation(
    "stock.receive", Effect.INCREASE, StockDocument, StockRecorded, _receive, resolve, touches=("ledger",)
)
ISSUE = Operation("stock.issue", Effect.INCREASE, StockDocument, StockRecorded, _issue, resolve, touches=("ledger",))
TRANSFER = Operation(
    "stock.transfer", Effect.INCREASE, StockDocument, StockRecorded, _transfer, resolve, touches=("ledger",)
)
ADJUST = Operation("stock.adjust", Effect.INCREASE, StockDocument, StockRecorded, _adjust, resolve, touches=("ledger",))
COUNT = Operation("stock.count", Effect.INCREASE, StockDocument, StockRecorded, _count, resolve, touches=("ledger",))
