"""The stock module's use cases. Every write takes documents in a list; one document is a list of one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from nervio.db.batch import Batch, Command, Operation
from nervio.db.context import Ctx
from nervio.db.execution import Outcome
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import NervioError, not_found
from nervio.kernel.ids import is_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductFilter, ProductOrder
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import STOCK_PREFIX, stock_account
from nervio.modules.stock import store
from nervio.modules.stock.book import Short, StockBook
from nervio.modules.stock.contracts import (
    Hold,
    HoldLine,
    HoldSettled,
    HoldState,
    InvariantReport,
    Level,
    LevelAfter,
    LevelPolicy,
    Lot,
    PlaceHold,
    Repair,
    Repaired,
    SettleHold,
    StockDocument,
    StockMovement,
    StockRecorded,
)
from nervio.modules.stock.usecases import documents, holds, upkeep

announce_critical = documents.announce_critical
check_lot = documents.check_lot
check_text = documents.check_text
insufficient = documents.insufficient
read_available = store.read_available

KINDS: dict[str, Operation[StockDocument, StockRecorded]] = {
    "receipt": documents.RECEIVE,
    "issue": documents.ISSUE,
    "transfer": documents.TRANSFER,
    "adjustment": documents.ADJUST,
    "count": documents.COUNT,
}
"""What a stock document can be."""

DEFAULT_HOLD_SECONDS = 900
LONGEST_PAGE = 500

PRODUCTS_A_STEP = 250
MOST_STEPS = 10
"""A page of levels looks at no more than 2,500 products, so that a search for what is not stocked stays cheap."""

FIRST_CODE, LAST_CODE = "", "\U0010ffff"
"""Sort before and after every location's code."""


def document_command(
    ctx: Ctx, kind: str, document: StockDocument, key: str | None
) -> Command[StockDocument, StockRecorded]:
    """A checked command for one document; `kind` is a key of `KINDS`. Raises `invalid` naming the field."""
    documents.check_document(document, signed=kind == "adjustment", zero=kind == "count")
    return ctx.command(KINDS[kind], document, key, weight=len(document.lines))


async def record_documents(
    ctx: Ctx, items: Sequence[tuple[str, StockDocument, str | None]]
) -> list[StockRecorded | BaseException]:
    """Books many documents, each with its own verdict: (kind, document, idempotency key)."""
    ctx.require("stock.write")
    answers: list[Outcome] = []
    commands = []
    for kind, document, key in items:
        try:
            commands.append(document_command(ctx, kind, document, key))
            answers.append(None)
        except NervioError as refusal:
            answers.append(refusal)
    outcomes = iter(await ctx.submit_all(commands))
    return [next(outcomes) if answer is None else answer for answer in answers]  # type: ignore[misc]


async def record_document(ctx: Ctx, kind: str, document: StockDocument, key: str | None = None) -> StockRecorded:
    """Books one document. Raises `conflict` insufficient_stock with every shortage, `not_found`, `invalid`."""
    ctx.require("stock.write")
    return await ctx.database.submit(document_command(ctx, kind, document, key))


async def place_hold(ctx: Ctx, hold: PlaceHold, key: str | None = None) -> HoldSettled:
    """Promises units for `seconds` (15 minutes when None)."""
    ctx.require("stock.hold")
    body = replace(hold, seconds=DEFAULT_HOLD_SECONDS if hold.seconds is None else hold.seconds)
    holds.check_hold(body)
    return await ctx.submit(holds.PLACE, body, key, weight=len(body.lines))


async def claim_hold(ctx: Ctx, hold_id: str, reference: str = "", key: str | None = None) -> HoldSettled:
    """Turns a promise into units that leave. Raises `conflict` when it is settled or expired."""
    ctx.require("stock.hold")
    return await ctx.submit(holds.CLAIM, _settlement(hold_id, reference), key)


async def release_hold(ctx: Ctx, hold_id: str, reference: str = "", key: str | None = None) -> HoldSettled:
    """Gives the units back. Raises `conflict` when it is settled already."""
    ctx.require("stock.hold")
    return await ctx.submit(holds.RELEASE, _settlement(hold_id, reference), key)


def _settlement(hold_id: str, reference: str) -> SettleHold:
    if not is_id(hold_id):
        raise not_found("hold", hold_id, field="hold_id")
    documents.check_text(reference, documents.LONGEST_REFERENCE, "reference")
    return SettleHold(hold_id, reference)


async def sweep_holds(ctx: Ctx, limit: int = 500) -> int:
    """Gives back holds of any tenant whose time is over; returns how many. For the scheduler."""
    now = ctx.clock.now()
    due = await ctx.database.read(lambda c: store.read_due_holds(c, now, limit))
    # No keys: a hold is settled once as it is, and a remembered "not due yet" (the clock was set back) would keep it for
    # ever.
    commands = [
        Command(holds.EXPIRE, tenant_id, ctx.actor_id, None, SettleHold(hold_id), lane=ctx.lane)
        for tenant_id, hold_id in due
    ]
    outcomes = await ctx.submit_all(commands)
    return sum(isinstance(outcome, HoldSettled) for outcome in outcomes)


async def set_critical_level(ctx: Ctx, policy: LevelPolicy, key: str | None = None) -> LevelAfter:
    """Sets or clears the critical level of a product at a location."""
    ctx.require("stock.write")
    upkeep.check_policy(policy)
    return await ctx.submit(upkeep.SET_CRITICAL_LEVEL, policy, key)


async def repair(ctx: Ctx, reason: str, key: str | None = None) -> Repaired:
    """Brings levels back to the journal and books the correction."""
    ctx.require("stock.repair")
    body = Repair(reason)
    upkeep.check_repair(body)
    return await ctx.submit(upkeep.REPAIR, body, key)


async def check_invariants(ctx: Ctx) -> InvariantReport:
    """Audits every level against the journal, the lots and the holds."""
    ctx.require("stock.read")
    return await ctx.read(upkeep.check_invariants)


async def list_levels(
    ctx: Ctx,
    search: str = "",
    location_id: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[Level]:
    """Levels of a page of products by name; `after` is (name, product id) of the last product seen."""
    ctx.require("stock.read")
    products = await catalog.list_products(ctx, ProductFilter(search=search), after, limit)
    return await ctx.read(lambda c: _levels(c, {p.id: p for p in products}, location_id))


async def get_levels(ctx: Ctx, product_id: str) -> list[Level]:
    """The levels of one product, by location."""
    ctx.require("stock.read")
    product = await catalog.get_product(ctx, product_id)
    return await ctx.read(lambda c: _levels(c, {product.id: product}, None))


async def list_product_levels(ctx: Ctx, product_ids: Sequence[str]) -> list[Level]:
    """The levels of some products (at most 500), by location."""
    ctx.require("stock.read")
    wanted = product_ids[:LONGEST_PAGE]
    return await ctx.read(lambda c: _levels(c, catalog.read_products(c, wanted), None))


async def list_critical_levels(ctx: Ctx, limit: int = 50) -> list[Level]:
    """Levels at or below their critical level, the scarcest first."""
    ctx.require("stock.read")

    def query(connection: TenantConnection) -> list[Level]:
        rows = store.list_levels(connection, None, None, critical_only=True, limit=limit)
        products = catalog.read_products(connection, [row[1] for row in rows])
        return _named(connection, rows, products)

    return await ctx.read(query)


async def page_levels(
    ctx: Ctx,
    search: str = "",
    location_id: str | None = None,
    after: tuple[str, str, str] | None = None,
    limit: int = 50,
    *,
    descending: bool = False,
    backwards: bool = False,
) -> tuple[list[Level], tuple[str, str, str] | None]:
    """At most `limit` levels by product name and location, and where to go on: (name, product id, location code).

    None means that there are no more; a page may be short, even empty, and still have a next one. With `backwards` the
    levels before `after`, still in the order of the list, and where to go on towards its beginning.
    """
    ctx.require("stock.read")
    falls = descending != backwards
    levels: list[Level] = []
    position = None if after is None else (after[0], after[1])
    if after is not None:
        product_id, code = after[1], after[2]
        rest = await ctx.read(lambda c: _levels(c, catalog.read_products(c, [product_id]), location_id, falls=falls))
        levels = [each for each in rest if (each.location_code < code if falls else each.location_code > code)]
    for _ in range(MOST_STEPS):
        if len(levels) > limit:
            break
        products = await catalog.list_products(
            ctx, ProductFilter(search=search), position, PRODUCTS_A_STEP, ProductOrder(descending=falls)
        )
        by_id = {product.id: product for product in products}
        levels += await ctx.read(functools.partial(_levels, products=by_id, location_id=location_id, falls=falls))
        if len(products) < PRODUCTS_A_STEP:
            position = None
            break
        position = (products[-1].name, products[-1].id)
    following = None if position is None else (*position, FIRST_CODE if falls else LAST_CODE)
    if len(levels) > limit:
        del levels[limit:]
        following = (levels[-1].name, levels[-1].product_id, levels[-1].location_code)
    return levels[::-1] if backwards else levels, following


async def page_critical_levels(
    ctx: Ctx,
    search: str = "",
    location_id: str | None = None,
    after: tuple[int, str, str] | None = None,
    limit: int = 50,
    *,
    backwards: bool = False,
) -> tuple[list[Level], tuple[int, str, str] | None]:
    """Levels at or below their critical level, the scarcest first, and where to go on: (available less critical level,
    location id, product id). None means that there are no more; a page may be short and still have a next one.

    With `backwards` the levels before `after`, still the scarcest first, and where to go on towards the beginning.
    """
    ctx.require("stock.read")
    step = min(limit, LONGEST_PAGE)
    found = await ctx.read(lambda c: store.list_critical_levels(c, location_id, after, step + 1, backwards=backwards))
    rows = found[-step:] if backwards else found[:step]
    wanted = ProductFilter(search=search, ids=tuple(row[1] for row in rows))
    listed = await catalog.list_products(ctx, wanted, limit=LONGEST_PAGE) if rows else []
    products = {product.id: product for product in listed}
    levels = await ctx.read(lambda c: _named(c, [row for row in rows if row[1] in products], products))
    if len(found) <= step:
        return levels, None
    place, product_id, on_hand, reserved, critical_level = rows[0 if backwards else -1]
    return levels, (on_hand - reserved - (critical_level or 0), place, product_id)


async def count_levels(ctx: Ctx) -> tuple[int, int]:
    """(levels, levels at or below their critical level)."""
    ctx.require("stock.read")
    return await ctx.read(store.count_levels)


async def list_lots(ctx: Ctx, product_id: str) -> list[Lot]:
    """The lots of a product, the first to be picked first."""
    ctx.require("stock.read")
    return await ctx.read(lambda c: store.list_lots(c, product_id))


async def list_movements(
    ctx: Ctx,
    product_id: str,
    location_id: str | None = None,
    before: tuple[str, int, bool] | None = None,
    limit: int = 50,
) -> list[StockMovement]:
    """Movements of a product, the newest first; `before` is (entry id, n, whether it came in) of the last one seen."""
    ctx.require("stock.read")
    account = None if location_id is None else stock_account(location_id)
    found = await ctx.read(
        lambda c: ledger.list_movements(c, product_id, STOCK_PREFIX if account is None else account, before, limit)
    )
    return [
        StockMovement(
            entry_id=m.entry_id,
            n=m.n,
            kind=m.kind,
            reference=m.reference,
            document_id=m.document_id,
            actor_id=m.actor_id,
            effective_at=m.effective_at,
            recorded_at=m.recorded_at,
            location_id=m.account[len(STOCK_PREFIX) :],
            counterpart=m.counterpart,
            lot=m.lot,
            quantity=m.amount,
        )
        for m in found
    ]


async def list_holds(
    ctx: Ctx,
    state: HoldState | None = None,
    product_id: str | None = None,
    before: str | None = None,
    limit: int = 50,
    hold_id: str | None = None,
) -> list[Hold]:
    """Holds, the newest first, before the hold id given."""
    ctx.require("stock.read")

    def query(connection: TenantConnection) -> list[Hold]:
        rows = store.list_holds(connection, state, product_id, before, min(limit, LONGEST_PAGE), hold_id)
        lines = store.read_hold_lines(connection, [row[0] for row in rows])
        products = catalog.read_products(connection, [p for parts in lines.values() for p, _ in parts])
        return [
            Hold(
                id=row[0],
                location_id=row[1],
                state=HoldState(row[2]),
                reference=row[3],
                created_at=row[4],
                expires_at=row[5],
                lines=tuple(HoldLine(p, products[p].sku, quantity) for p, quantity in lines[row[0]]),
            )
            for row in rows
        ]

    return await ctx.read(query)


async def get_hold(ctx: Ctx, hold_id: str) -> Hold:
    """One hold. Raises `not_found`."""
    # Only an id may be asked for: PostgreSQL refuses to compare its uuid with any other text.
    found = await list_holds(ctx, hold_id=hold_id, limit=1) if is_id(hold_id) else []
    if not found:
        raise not_found("hold", hold_id)
    return found[0]


def book(batch: Batch) -> StockBook:
    """The stock book of a batch, for modules that sell or promise."""
    return batch.book(StockBook)


def _levels(
    connection: TenantConnection, products: dict[str, Product], location_id: str | None, *, falls: bool = False
) -> list[Level]:
    rows = store.list_levels(connection, list(products), location_id, critical_only=False, limit=10_000)
    levels = _named(connection, rows, products)
    order = {product_id: n for n, product_id in enumerate(products)}
    levels.sort(key=lambda level: level.location_code, reverse=falls)
    return sorted(levels, key=lambda level: order[level.product_id])


def _named(
    connection: TenantConnection, rows: Sequence[tuple[str, str, int, int, int | None]], products: dict[str, Product]
) -> list[Level]:
    locations = catalog.read_locations(connection)
    return [
        Level(
            product_id=product_id,
            sku=products[product_id].sku,
            name=products[product_id].name,
            location_id=location_id,
            location_code=locations[location_id].code,
            on_hand=on_hand,
            reserved=reserved,
            available=on_hand - reserved,
            critical_level=critical_level,
        )
        for location_id, product_id, on_hand, reserved, critical_level in rows
    ]


__all__ = [
    "KINDS",
    "Short",
    "StockBook",
    "announce_critical",
    "book",
    "check_lot",
    "check_text",
    "insufficient",
    "read_available",
]
