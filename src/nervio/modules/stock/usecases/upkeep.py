"""Critical levels, the invariant checker and the repair that books what it corrects."""

from __future__ import annotations

from collections.abc import Sequence

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import STOCK_PREFIX
from nervio.modules.stock import store
from nervio.modules.stock.book import StockBook
from nervio.modules.stock.contracts import Discrepancy, InvariantReport, LevelAfter, LevelPolicy, Repair, Repaired
from nervio.modules.stock.usecases.documents import LONGEST_REASON, check_text


def check_policy(body: LevelPolicy) -> None:
    """Refuses a critical level that means nothing."""
    if body.critical_level is not None and not 0 <= body.critical_level <= 10**12:
        raise invalid("invalid_critical_level", "critical_level must be zero or more.", field="critical_level")


def _resolve_policy(batch: Batch, commands: Sequence[Command[LevelPolicy, LevelAfter]]) -> None:
    locations = catalog.find_locations(batch, {(c.tenant_id, c.body.location) for c in commands})
    products = catalog.find_products(batch, {(c.tenant_id, c.body.sku) for c in commands})
    for command in commands:
        location = locations.get((command.tenant_id, command.body.location))
        product = products.get((command.tenant_id, command.body.sku))
        command.prepared = (location, product)
        if location is not None and product is not None:
            command.location_id = location.id
            batch.book(StockBook).want_level((command.tenant_id, location.id, product.id), location.allow_negative)


def _set_policy(batch: Batch, command: Command[LevelPolicy, LevelAfter]) -> LevelAfter:
    location, product = command.prepared
    if location is None:
        raise not_found("location", command.body.location, field="location")
    if product is None:
        raise not_found("product", command.body.sku, field="sku")
    key, book = (command.tenant_id, location.id, product.id), batch.book(StockBook)
    book.set_critical_level(key, command.body.critical_level)
    details = {"product_id": product.id, "location_id": location.id, "critical_level": command.body.critical_level}
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "critical_level", product.id, product.sku, batch.now, [], details
    )
    level = book.levels[key]
    return LevelAfter(product.id, product.sku, location.id, 0, level.on_hand, level.reserved)


def check_invariants(connection: TenantConnection) -> InvariantReport:
    """Compares every level, lot and promise with the journal, in one read transaction.

    Levels and lots equal the journal's sums; reserved equals the active holds; and at no point of the journal's order did
    a location that may not go negative hold less than nothing (`oversold` adds up by how much it did).
    """
    levels = store.read_all_levels(connection)
    balances: dict[tuple[str, str], int] = {}
    lowest: dict[tuple[str, str], int] = {}
    in_lots: dict[tuple[str, str, str], int] = {}
    for account, product_id, lot, amount in ledger.iterate_stock(connection):
        key = (account[len(STOCK_PREFIX) :], product_id)
        balance = balances.get(key, 0) + amount
        balances[key] = balance
        if balance < lowest.get(key, 0):
            lowest[key] = balance
        if lot:
            in_lots[*key, lot] = in_lots.get((*key, lot), 0) + amount
    lots, held = store.read_lot_units(connection), store.read_hold_sums(connection)
    found = []
    for key in sorted(levels.keys() | balances.keys() | held.keys()):
        level = levels.get(key)
        on_hand, reserved = (0, 0) if level is None else (level.on_hand, level.reserved)
        if on_hand != balances.get(key, 0):
            found.append(Discrepancy("level_equals_journal", *key, on_hand, balances.get(key, 0)))
        if reserved != held.get(key, 0):
            found.append(Discrepancy("reserved_equals_holds", *key, reserved, held.get(key, 0)))
    for location_id, product_id, lot in sorted(lots.keys() | in_lots.keys()):
        recorded, expected = (units.get((location_id, product_id, lot), 0) for units in (lots, in_lots))
        if recorded != expected:
            found.append(Discrepancy("lot_equals_journal", location_id, product_id, recorded, expected, lot))
    may = {key for key, level in levels.items() if level.allow_negative}
    oversold = sum(-low for key, low in lowest.items() if key not in may)
    return InvariantReport(len(levels), oversold, tuple(found))


def check_repair(body: Repair) -> None:
    """Refuses a repair that does not say why."""
    if not body.reason.strip():
        raise invalid("reason_required", "reason must say why.", field="reason")
    check_text(body.reason, LONGEST_REASON, "reason")


def _resolve_repair(batch: Batch, commands: Sequence[Command[Repair, Repaired]]) -> None:
    """Declares, and so locks, what looks wrong at first sight."""
    book = batch.book(StockBook)
    for command in commands:
        found = check_invariants(TenantConnection(batch.connection, command.tenant_id)).discrepancies
        places = catalog.find_locations(batch, {(command.tenant_id, d.location_id) for d in found})
        command.prepared = {(d.location_id, d.product_id) for d in found}
        for d in found:
            allow_negative = places[command.tenant_id, d.location_id].allow_negative
            book.want_level((command.tenant_id, d.location_id, d.product_id), allow_negative, lots=True)


def _repair(batch: Batch, command: Command[Repair, Repaired]) -> Repaired:
    """Brings levels and lots back to the journal, and promises back to the holds, and books what was changed and why.

    Looks again now that the rows are locked: what others sold between the first look and the lock is no damage. The
    differences are applied to the book, which may hold sales of this very batch that neither side of them contains yet.
    """
    locked: set[tuple[str, str]] = command.prepared
    book, corrected = batch.book(StockBook), []
    for d in check_invariants(TenantConnection(batch.connection, command.tenant_id)).discrepancies:
        key, difference = (command.tenant_id, d.location_id, d.product_id), d.expected - d.recorded
        if key[1:] not in locked or not book.mark_corrected(key, d.invariant, d.lot):
            continue
        if d.invariant == "level_equals_journal":
            book.adjust(key, difference)
        elif d.invariant == "reserved_equals_holds":
            book.correct_reserved(key, difference)
        else:
            book.correct_lot(key, d.lot, difference)
        corrected.append(
            {
                "invariant": d.invariant,
                "location_id": d.location_id,
                "product_id": d.product_id,
                "lot": d.lot,
                "from": d.recorded,
                "to": d.expected,
            }
        )
    for location_id, product_id in sorted(locked):
        key = (command.tenant_id, location_id, product_id)
        if not book.levels[key].can_give(0) or any(lot.on_hand < 0 for lot in book.lots.get(key, {}).values()):
            # The damage was sold from, so that the journal itself went below what there was.
            raise conflict(
                "not_repairable",
                "More was sold or promised than the journal ever held; release its holds, receive or count it first.",
                product_id=product_id,
                location_id=location_id,
            )
    if corrected:
        details = {"reason": command.body.reason, "corrected": corrected}
        ledger.book(batch).post(
            command.tenant_id, command.actor_id, "stock_repair", new_id(), "", batch.now, [], details
        )
    return Repaired(len(corrected))


SET_CRITICAL_LEVEL = Operation(
    "stock.set_critical_level",
    Effect.INCREASE,
    LevelPolicy,
    LevelAfter,
    _set_policy,
    _resolve_policy,
    touches=("ledger",),
)
REPAIR = Operation(
    "stock.repair", Effect.INCREASE, Repair, Repaired, _repair, _resolve_repair, direct=True, touches=("ledger",)
)
