"""Holds: place → claim or release, or expire by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.events.stock import HOLD_SETTLED
from nervio.events.stock import HoldSettled as HoldSettledFact
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.ids import new_id
from nervio.kernel.quantity import LARGEST
from nervio.kernel.time import SECOND
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Location, ProductRow
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account, Posting, stock_account
from nervio.modules.stock.book import Short, StockBook
from nervio.modules.stock.contracts import HoldSettled, HoldState, PlaceHold, SettleHold, Shortage
from nervio.modules.stock.domain import HoldRecord
from nervio.modules.stock.usecases.documents import (
    LONGEST_REFERENCE,
    announce_critical,
    check_text,
    insufficient,
    settle_hold_units,
    take_all,
)

LONGEST_HOLD_SECONDS = 30 * 86_400


def check_hold(body: PlaceHold) -> None:
    """Refuses a hold whose form is wrong, naming the field."""
    if not 1 <= len(body.lines) <= 500:
        raise invalid("invalid_lines", "lines must hold 1 to 500 entries.", field="lines")
    for n, line in enumerate(body.lines):
        path = f"lines[{n}].quantity"
        if line.quantity <= 0:
            raise invalid("negative_quantity", f"{path} must be positive.", field=path)
        if line.quantity > LARGEST:
            raise invalid("quantity_out_of_range", f"{path} is out of range.", field=path)
    check_text(body.reference, LONGEST_REFERENCE, "reference")
    if body.seconds is None or not 1 <= body.seconds <= LONGEST_HOLD_SECONDS:
        raise invalid("invalid_duration", f"seconds must be 1 to {LONGEST_HOLD_SECONDS}.", field="seconds")


def _resolve_place(batch: Batch, commands: Sequence[Command[PlaceHold, HoldSettled]]) -> None:
    locations = catalog.find_locations(batch, {(c.tenant_id, c.body.location) for c in commands})
    products = catalog.find_products(batch, {(c.tenant_id, line.sku) for c in commands for line in c.body.lines})
    book = batch.book(StockBook)
    for command in commands:
        location = locations.get((command.tenant_id, command.body.location))
        found = [products.get((command.tenant_id, line.sku)) for line in command.body.lines]
        command.prepared = (location, found)
        if location is None:
            continue
        command.location_id = location.id
        for product in found:
            if product is not None and product.tracked:
                key = (command.tenant_id, location.id, product.id)
                book.want_level(key, location.allow_negative, lots=product.by_lot)


def _place(batch: Batch, command: Command[PlaceHold, HoldSettled]) -> HoldSettled:
    location: Location | None
    found: list[ProductRow | None]
    location, found = command.prepared
    body, tenant_id, book = command.body, command.tenant_id, batch.book(StockBook)
    if location is None:
        raise not_found("location", body.location, field="location")
    wanted: dict[str, tuple[ProductRow, int]] = {}
    for n, (line, product) in enumerate(zip(body.lines, found, strict=True)):
        path = f"lines[{n}].sku"
        if product is None:
            raise not_found("product", line.sku, field=path)
        if not product.tracked:
            raise invalid("not_stocked", f"{line.sku!r} is a service and has no stock.", field=path)
        _, quantity = wanted.get(product.id, (product, 0))
        wanted[product.id] = (product, quantity + line.quantity)
    shortages = []
    for product, quantity in wanted.values():
        key = (tenant_id, location.id, product.id)
        before = book.levels[key].available
        try:
            book.reserve(key, quantity, product.by_lot, book.today_of(tenant_id))
        except Short as short:
            s = short.shortage
            shortages.append(Shortage(product.sku, quantity, s.available, s.expired))
        else:
            announce_critical(batch, book, key, product.sku, before)
    if shortages:
        raise insufficient(shortages)
    assert body.seconds is not None
    hold_id, expires_at = new_id(), batch.now + body.seconds * SECOND
    lines = {product_id: quantity for product_id, (_, quantity) in wanted.items()}
    hold = HoldRecord(location.id, HoldState.ACTIVE, body.reference, batch.now, expires_at, lines, is_new=True)
    book.add_hold((tenant_id, hold_id), hold)
    _post(batch, command, hold_id, hold, "hold_placed", [])
    return HoldSettled(hold_id, HoldState.ACTIVE, expires_at)


def _resolve_settle(batch: Batch, commands: Sequence[Command[SettleHold, HoldSettled]]) -> None:
    book = batch.book(StockBook)
    book.want_holds(batch, [(c.tenant_id, c.body.hold_id) for c in commands])
    held = {(key[0], product) for key, hold in book.holds.items() for product in hold.lines}
    products = catalog.find_products(batch, held)
    for command in commands:
        hold = book.holds.get((command.tenant_id, command.body.hold_id))
        if hold is None:
            continue
        command.location_id = hold.location_id
        command.prepared = {product: products[command.tenant_id, product] for product in hold.lines}
        for product_id in hold.lines:
            key = (command.tenant_id, hold.location_id, product_id)
            book.want_level(key, False, lots=command.prepared[product_id].by_lot)


def active_hold(batch: Batch, tenant_id: str, hold_id: str) -> HoldRecord:
    """The hold, if it may still be settled. Raises `not_found`, or `conflict` with the state it is in."""
    hold = batch.book(StockBook).holds.get((tenant_id, hold_id))
    if hold is None:
        raise not_found("hold", hold_id, field="hold_id")
    if hold.state is not HoldState.ACTIVE:
        raise conflict("hold_settled", f"This hold is {hold.state.value} already.", state=hold.state.value)
    return hold


def _claim(batch: Batch, command: Command[SettleHold, HoldSettled]) -> HoldSettled:
    tenant_id, hold_id, book = command.tenant_id, command.body.hold_id, batch.book(StockBook)
    hold = active_hold(batch, tenant_id, hold_id)
    if hold.expires_at <= batch.now:
        # The sweeper has not come by yet; the promise is over all the same.
        raise conflict("hold_expired", "This hold has expired; place a new one.", expires_at=hold.expires_at)
    products: dict[str, ProductRow] = command.prepared
    settle_hold_units(book, (tenant_id, hold_id), HoldState.CLAIMED)
    wanted = {
        ((tenant_id, hold.location_id, product_id), ""): (products[product_id], quantity)
        for product_id, quantity in hold.lines.items()
    }
    here = stock_account(hold.location_id)
    picks = take_all(book, wanted, book.today_of(tenant_id), promised=True)
    postings: list[Posting] = [(Account.SOLD.value, here, product.id, lot, share) for _, product, lot, share in picks]
    _post(batch, command, hold_id, hold, "hold_claimed", postings)
    return HoldSettled(hold_id, HoldState.CLAIMED, hold.expires_at)


def _release(batch: Batch, command: Command[SettleHold, HoldSettled]) -> HoldSettled:
    hold = active_hold(batch, command.tenant_id, command.body.hold_id)
    return _give_up(batch, command, hold, HoldState.RELEASED)


def _expire(batch: Batch, command: Command[SettleHold, HoldSettled]) -> HoldSettled:
    hold = active_hold(batch, command.tenant_id, command.body.hold_id)
    if hold.expires_at > batch.now:
        raise conflict("hold_not_due", "This hold has not expired yet.", expires_at=hold.expires_at)
    return _give_up(batch, command, hold, HoldState.EXPIRED)


def _give_up(
    batch: Batch, command: Command[SettleHold, HoldSettled], hold: HoldRecord, state: HoldState
) -> HoldSettled:
    hold_id = command.body.hold_id
    settle_hold_units(batch.book(StockBook), (command.tenant_id, hold_id), state)
    _post(batch, command, hold_id, hold, f"hold_{state.value}", [])
    return HoldSettled(hold_id, state, hold.expires_at)


def _post(
    batch: Batch,
    command: Command[PlaceHold, HoldSettled] | Command[SettleHold, HoldSettled],
    hold_id: str,
    hold: HoldRecord,
    kind: str,
    postings: list[Posting],
) -> None:
    details = {"lines": dict(sorted(hold.lines.items()))}
    reference = command.body.reference or hold.reference
    ledger.book(batch).post(command.tenant_id, command.actor_id, kind, hold_id, reference, batch.now, postings, details)
    fact = HoldSettledFact(hold_id, hold.state.value, list(hold.lines.items()))
    batch.emit(command.tenant_id, HOLD_SETTLED, hold_id, fact)


PLACE = Operation(
    "stock.place_hold", Effect.INCREASE, PlaceHold, HoldSettled, _place, _resolve_place, touches=("ledger",)
)
CLAIM = Operation(
    "stock.claim_hold", Effect.INCREASE, SettleHold, HoldSettled, _claim, _resolve_settle, touches=("ledger",)
)
RELEASE = Operation(
    "stock.release_hold", Effect.REDUCE, SettleHold, HoldSettled, _release, _resolve_settle, touches=("ledger",)
)
EXPIRE = Operation(
    "stock.expire_hold", Effect.REDUCE, SettleHold, HoldSettled, _expire, _resolve_settle, touches=("ledger",)
)
