"""Receipts, issues, transfers, adjustments and counts through the api."""

import pytest
from msgspec.structs import replace

from nervio.db.outbox import read_after
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import HoldState, LevelPolicy, PlaceHold, StockDocument, StockLine
from tests.builders import (
    MAIN,
    NOON,
    Store,
    a_hold,
    a_location,
    a_product,
    a_receipt,
    a_stocked_product,
    assert_sound,
    level_of,
    milli,
    number_all,
)


def document(*lines: tuple[str, float], location: str = MAIN, **rest: str | int) -> StockDocument:
    """A document of (SKU, units)."""
    found = tuple(StockLine(sku, milli(units)) for sku, units in lines)
    return StockDocument(location, found, **rest)  # type: ignore[arg-type]


async def refusal(store: Store, kind: str, given: StockDocument) -> NervioError:
    """The refusal of a document that must not be booked."""
    before = await stock.check_invariants(store.ctx)
    with pytest.raises(NervioError) as caught:
        await stock.record_document(store.ctx, kind, given)
    assert (await stock.check_invariants(store.ctx)).levels - before.levels in {0, 1}
    await assert_sound(store)
    return caught.value


async def events(store: Store, kind: str) -> list[dict[str, object]]:
    """Payloads of the outbox in order."""
    await number_all(store)
    found = await store.database.read(lambda c: read_after(c, 0, 0, 10_000, store.ctx.tenant_id))
    return [event.payload for event in found if event.type == kind]


async def test_a_receipt_adds_to_the_level_and_says_what_it_left(store: Store) -> None:
    product = await a_product(store)
    booked = await a_receipt(store, product, 2.5)
    (after,) = booked.levels
    assert (after.quantity, after.on_hand, after.reserved) == (2500, 2500, 0)
    assert await level_of(store, product) == (2.5, 0)
    await assert_sound(store)


async def test_a_product_is_found_by_sku_barcode_or_id(store: Store) -> None:
    product = await a_product(store, barcodes=("7790001",))
    for name in (product.sku, "7790001", product.id):
        await stock.record_document(store.ctx, "receipt", document((name, 1)))
    assert await level_of(store, product) == (3, 0)


async def test_an_issue_of_more_than_there_is_is_refused_whole_and_names_every_shortage(store: Store) -> None:
    plenty, scarce, none = await a_stocked_product(store, 10), await a_stocked_product(store, 1), await a_product(store)
    error = await refusal(store, "issue", document((plenty.sku, 5), (scarce.sku, 2), (none.sku, 1)))
    assert (error.kind, error.code) == (Kind.CONFLICT, "insufficient_stock")
    assert [(s["sku"], s["requested"], s["available"]) for s in error.data["shortages"]] == [
        (scarce.sku, 2000, 1000),
        (none.sku, 1000, 0),
    ]
    assert await level_of(store, plenty) == (10, 0)


async def test_two_lines_of_one_product_are_one_demand(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    error = await refusal(store, "issue", document((product.sku, 6), (product.sku, 6)))
    assert error.data["shortages"][0]["requested"] == 12_000
    await stock.record_document(store.ctx, "issue", document((product.sku, 6), (product.id, 4)))
    assert await level_of(store, product) == (0, 0)


async def test_a_transfer_moves_units_and_neither_makes_nor_loses_any(store: Store) -> None:
    await a_location(store)
    product = await a_stocked_product(store, 10)
    moved = await stock.record_document(store.ctx, "transfer", document((product.sku, 4), to_location="DEPOSIT"))
    assert {(after.location_id, after.quantity) for after in moved.levels} == {
        (store.main.id, -4000),
        (moved.levels[-1].location_id if moved.levels[-1].quantity > 0 else moved.levels[0].location_id, 4000),
    }
    assert await level_of(store, product) == (6, 0)
    assert await level_of(store, product, "DEPOSIT") == (4, 0)
    await assert_sound(store)


async def test_a_transfer_needs_another_place_and_enough_stock(store: Store) -> None:
    await a_location(store)
    product = await a_stocked_product(store, 1)
    assert (await refusal(store, "transfer", document((product.sku, 1)))).code == "to_location_required"
    assert (await refusal(store, "transfer", document((product.sku, 1), to_location=MAIN))).code == "same_location"
    short = await refusal(store, "transfer", document((product.sku, 2), to_location="DEPOSIT"))
    assert short.code == "insufficient_stock"
    assert (await refusal(store, "transfer", document((product.sku, 1), to_location="NOWHERE"))).kind is Kind.NOT_FOUND


async def test_an_adjustment_goes_both_ways_but_never_below_nothing(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await stock.record_document(store.ctx, "adjustment", document((product.sku, 2), (product.sku, -5)))
    assert await level_of(store, product) == (7, 0)
    assert (await refusal(store, "adjustment", document((product.sku, -8)))).code == "insufficient_stock"


async def test_a_count_sets_the_level_to_what_was_found(store: Store) -> None:
    more, less = await a_stocked_product(store, 10), await a_stocked_product(store, 10)
    await stock.record_document(store.ctx, "count", document((more.sku, 12), (less.sku, 0)))
    assert await level_of(store, more) == (12, 0)
    assert await level_of(store, less) == (0, 0)
    await assert_sound(store)


async def test_a_product_counted_in_two_places_of_the_shop_is_added_up(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    lines = (StockLine(product.sku, 4000, lot="front"), StockLine(product.sku, 3000, lot="back"))
    await stock.record_document(store.ctx, "count", StockDocument(MAIN, lines))
    assert await level_of(store, product) == (7, 0)


async def test_a_count_is_allowed_while_units_are_promised(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await a_hold(store, product, 4)
    counted = await stock.record_document(store.ctx, "count", document((product.sku, 9)))
    assert counted.broken_holds == ()
    assert await level_of(store, product) == (9, 4)


async def test_a_count_that_finds_less_than_is_promised_breaks_the_newest_holds(store: Store) -> None:
    product, other = await a_stocked_product(store, 10), await a_stocked_product(store, 10)
    old = await a_hold(store, product, 4)
    store.clock.advance(1)
    both = PlaceHold(MAIN, (StockLine(product.sku, 4000), StockLine(other.sku, 2000)))
    new = await stock.place_hold(store.ctx, both)
    counted = await stock.record_document(store.ctx, "count", document((product.sku, 5)))
    assert counted.broken_holds == (new.hold_id,)
    assert (await stock.get_hold(store.ctx, new.hold_id)).state is HoldState.BROKEN
    assert (await stock.get_hold(store.ctx, old.hold_id)).state is HoldState.ACTIVE
    assert await level_of(store, product) == (5, 4)
    assert await level_of(store, other) == (10, 0)
    settled = await events(store, "stock_hold_settled.v1")
    assert [(e["hold_id"], e["state"]) for e in settled if e["state"] == "broken"] == [(new.hold_id, "broken")]
    await assert_sound(store)


async def test_only_a_location_that_says_so_goes_below_zero(store: Store) -> None:
    await a_location(store, "VAN", allow_negative=True)
    product = await a_product(store)
    await stock.record_document(store.ctx, "issue", document((product.sku, 3), location="VAN"))
    assert await level_of(store, product, "VAN") == (-3, 0)
    assert (await refusal(store, "issue", document((product.sku, 3)))).code == "insufficient_stock"
    await stock.record_document(store.ctx, "count", document((product.sku, 0), location="VAN"))
    assert await level_of(store, product, "VAN") == (0, 0)
    await assert_sound(store)


async def test_a_product_becomes_critical_once_each_time_it_falls(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(5)))
    for units in (4, 1, 1):
        await stock.record_document(store.ctx, "issue", document((product.sku, units)))
    assert len(await events(store, "stock_became_critical.v1")) == 1
    (critical,) = await stock.list_critical_levels(store.ctx)
    assert (critical.sku, critical.available) == (product.sku, 4000)
    await a_receipt(store, product, 6)
    await stock.record_document(store.ctx, "issue", document((product.sku, 9)))
    found = await events(store, "stock_became_critical.v1")
    assert [event["available"] for event in found] == [5000, 1000]


async def test_a_hold_makes_a_product_critical_too(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(5)))
    placed = await a_hold(store, product, 6)
    assert [event["available"] for event in await events(store, "stock_became_critical.v1")] == [4000]
    await stock.claim_hold(store.ctx, placed.hold_id)
    assert len(await events(store, "stock_became_critical.v1")) == 1


async def test_a_count_that_breaks_holds_does_not_cry_critical_when_more_became_available(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(5)))
    await a_hold(store, product, 8)
    assert len(await events(store, "stock_became_critical.v1")) == 1
    await stock.record_document(store.ctx, "count", document((product.sku, 3)))
    assert len(await events(store, "stock_became_critical.v1")) == 1


async def test_a_critical_level_can_be_taken_away_and_must_mean_something(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(5)))
    assert await stock.count_levels(store.ctx) == (1, 1)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, None))
    assert await stock.count_levels(store.ctx) == (1, 0)
    with pytest.raises(NervioError, match="zero or more"):
        await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, -1))


async def test_backdating_adds_a_row_and_rewrites_none(store: Store) -> None:
    product = await a_product(store)
    first = await a_receipt(store, product, 5)
    before = await ledger.list_entries(store.ctx, document_id=first.document_id)
    store.clock.advance(3600)
    yesterday = NOON - 86_400_000_000
    await stock.record_document(store.ctx, "receipt", document((product.sku, 1), effective_at=yesterday))
    assert await ledger.list_entries(store.ctx, document_id=first.document_id) == before
    late, early = await stock.list_movements(store.ctx, product.id)
    assert (late.effective_at, late.recorded_at) == (yesterday, NOON + 3_600_000_000)
    assert (early.effective_at, early.recorded_at) == (NOON, NOON)


async def test_a_movement_says_who_why_and_from_where(store: Store) -> None:
    product = await a_product(store)
    given = replace(document((product.sku, 3)), reference="INV-7", reason="first delivery")
    await stock.record_document(store.ctx, "receipt", given)
    (movement,) = await stock.list_movements(store.ctx, product.id)
    assert (movement.kind, movement.reference, movement.actor_id) == ("receipt", "INV-7", "tester")
    assert (movement.location_id, movement.counterpart, movement.quantity) == (store.main.id, "supplied", 3000)
    entry = await ledger.get_entry(store.ctx, movement.entry_id)
    assert entry.details == {"reason": "first delivery"}


async def test_services_have_no_stock(store: Store) -> None:
    service = await a_product(store, tracked=False)
    assert (await refusal(store, "receipt", document((service.sku, 1)))).code == "not_stocked"


async def test_what_is_unknown_is_named_with_its_field(store: Store) -> None:
    product = await a_product(store)
    for name in ("NO-SUCH", new_id(), "nul\x00inside"):
        error = await refusal(store, "receipt", document((product.sku, 1), (name, 1)))
        assert (error.kind, error.data["field"], error.data["reference"]) == (Kind.NOT_FOUND, "lines[1].sku", name)
    error = await refusal(store, "receipt", document((product.sku, 1), location="nul\x00"))
    assert (error.kind, error.data["field"]) == (Kind.NOT_FOUND, "location")


async def test_another_tenants_names_and_ids_mean_nothing_here(store: Store) -> None:
    other = await store.another_tenant()
    theirs = await a_stocked_product(other, 5)
    assert (await refusal(store, "issue", document((theirs.sku, 1)))).kind is Kind.NOT_FOUND
    assert (await refusal(store, "issue", document((theirs.id, 1)))).kind is Kind.NOT_FOUND
    mine = await a_stocked_product(store, 5)
    assert (await refusal(store, "issue", document((mine.sku, 1), location=other.main.id))).kind is Kind.NOT_FOUND
    assert await level_of(other, theirs) == (5, 0)
    await assert_sound([store, other])


@pytest.mark.parametrize(
    ("kind", "lines", "code"),
    [
        ("receipt", (), "invalid_lines"),
        ("receipt", (StockLine("X", 0),), "zero_quantity"),
        ("receipt", (StockLine("X", -1),), "negative_quantity"),
        ("count", (StockLine("X", -1),), "negative_quantity"),
        ("adjustment", (StockLine("X", 0),), "zero_quantity"),
        ("receipt", (StockLine("X", 10**15 + 1),), "quantity_out_of_range"),
        ("receipt", (StockLine("X", 10**30),), "quantity_out_of_range"),
        ("adjustment", (StockLine("X", -(10**30)),), "quantity_out_of_range"),
        ("receipt", (StockLine("X", 1, lot="a\x00b"),), "invalid_lot"),
        ("receipt", (StockLine("X", 1, lot=" a"),), "invalid_lot"),
        ("receipt", (StockLine("X", 1, lot="L", expires_on="tomorrow"),), "invalid_date"),
        ("receipt", (StockLine("X", 1, lot="L", expires_on="20260301"),), "invalid_date"),
        ("receipt", (StockLine("X", 1),) * 2001, "invalid_lines"),
    ],
)
async def test_a_document_of_the_wrong_form_never_reaches_the_books(
    store: Store, kind: str, lines: tuple[StockLine, ...], code: str
) -> None:
    error = await refusal(store, kind, StockDocument(MAIN, lines))
    assert (error.kind, error.code) == (Kind.INVALID, code)
    assert error.data["field"].startswith("lines")


@pytest.mark.parametrize("moment", [-1, 10**18, 10**40])
async def test_a_time_no_calendar_holds_is_refused(store: Store, moment: int) -> None:
    product = await a_product(store)
    error = await refusal(store, "receipt", document((product.sku, 1), effective_at=moment))
    assert (error.code, error.data["field"]) == ("time_out_of_range", "effective_at")


async def test_a_level_never_outgrows_its_column(store: Store) -> None:
    product, neighbour = await a_product(store), await a_product(store)
    full = StockDocument(MAIN, (StockLine(product.sku, 10**15),))
    await stock.record_document(store.ctx, "receipt", full)
    good = StockDocument(MAIN, (StockLine(neighbour.sku, 1000),))
    outcomes = await stock.record_documents(
        store.ctx, [("receipt", full, "a"), ("receipt", good, "b"), ("receipt", full, "c")]
    )
    assert [getattr(outcome, "code", "booked") for outcome in outcomes] == [
        "level_out_of_range",
        "booked",
        "level_out_of_range",
    ]
    assert await level_of(store, product) == (10**12, 0)
    await assert_sound(store)


async def test_a_location_below_zero_does_not_fall_for_ever(store: Store) -> None:
    await a_location(store, "VAN", allow_negative=True)
    product = await a_product(store)
    deep = StockDocument("VAN", (StockLine(product.sku, 10**15),))
    await stock.record_document(store.ctx, "issue", deep)
    assert (await refusal(store, "issue", deep)).code == "level_out_of_range"


async def test_each_document_of_a_list_gets_its_own_verdict_in_order(store: Store) -> None:
    product = await a_stocked_product(store, 5)
    items = [("issue", document((product.sku, units)), f"k{n}") for n, units in enumerate((3, 3, 2, 1))]
    outcomes = await stock.record_documents(store.ctx, items)
    assert [isinstance(outcome, NervioError) for outcome in outcomes] == [False, True, False, True]
    assert await level_of(store, product) == (0, 0)
    await assert_sound(store)


async def test_stock_is_written_only_by_those_who_may(store: Store) -> None:
    product = await a_product(store)
    reader = store.permitted("stock.read", "catalog.read")
    with pytest.raises(NervioError) as caught:
        await stock.record_document(reader, "receipt", document((product.sku, 1)))
    assert caught.value.kind is Kind.FORBIDDEN
    assert caught.value.data["permission"] == "stock.write"
