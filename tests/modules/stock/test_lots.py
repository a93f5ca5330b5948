"""Lots: first expired, first out; expired ones neither sold nor promised."""

from dataclasses import replace

import pytest

from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import DAY
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, Product
from nervio.modules.identity.contracts import AddTenant, NewTenant
from nervio.modules.identity.usecases.tenants import CREATE as CREATE_TENANT
from nervio.modules.sales import api as sales
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine, StockRecorded
from tests.builders import (
    MAIN,
    Store,
    a_hold,
    a_location,
    a_product,
    a_receipt,
    a_sale_of,
    assert_sound,
    level_of,
    milli,
)

YESTERDAY, TODAY, TOMORROW, LATER = "2026-02-28", "2026-03-01", "2026-03-02", "2026-09-01"
HOUR = 3600


async def a_perishable(store: Store, **lots: tuple[float, str | None]) -> Product:
    """A product kept by lot, with lots of (units, expiry)."""
    product = await a_product(store, by_lot=True)
    for lot, (units, expires_on) in lots.items():
        await a_receipt(store, product, units, lot=lot, expires_on=expires_on)
    return product


async def lots_of(store: Store, product: Product) -> dict[str, float]:
    """Units by lot, at all locations."""
    found: dict[str, float] = {}
    for lot in await stock.list_lots(store.ctx, product.id):
        found[lot.lot] = found.get(lot.lot, 0) + lot.on_hand / 1000
    return found


async def book(store: Store, kind: str, product: Product, units: float, **line: str) -> StockRecorded:
    """A document of one line."""
    given = StockLine(product.sku, milli(units), **line)
    return await stock.record_document(store.ctx, kind, StockDocument(MAIN, (given,)))


async def test_a_sale_takes_the_lot_that_expires_first(store: Store) -> None:
    product = await a_perishable(store, late=(5, LATER), soon=(5, TOMORROW), never=(5, None))
    assert [lot.lot for lot in await stock.list_lots(store.ctx, product.id)] == ["soon", "late", "never"]
    await sales.record_sale(store.ctx, a_sale_of((product, 7)))
    assert await lots_of(store, product) == {"late": 3, "never": 5}
    await assert_sound(store)


async def test_expired_units_are_never_sold_and_the_refusal_says_so(store: Store) -> None:
    product = await a_perishable(store, old=(5, YESTERDAY), good=(2, LATER))
    with pytest.raises(NervioError) as caught:
        await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    assert caught.value.data["shortages"] == [
        {"sku": product.sku, "requested": 3000, "available": 2000, "expired": 5000}
    ]
    await sales.record_sale(store.ctx, a_sale_of((product, 2)))
    assert await lots_of(store, product) == {"old": 5}


async def test_a_lot_is_sold_on_its_last_day_and_not_a_day_longer(store: Store) -> None:
    product = await a_perishable(store, today=(2, TODAY))
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    store.clock.advance(DAY / 1_000_000)
    with pytest.raises(NervioError, match="Not enough"):
        await sales.record_sale(store.ctx, a_sale_of((product, 1)))


async def in_zone(store: Store, zone: str) -> Store:
    """A further tenant of the same database, whose shop is in another zone."""
    tenant = NewTenant(f"shop-{new_id()}", "A shop", time_zone=zone)
    added = await store.ctx.submit(CREATE_TENANT, AddTenant(tenant), None)
    ctx = replace(store.ctx, tenant_id=added.tenant.id)
    return replace(store, ctx=ctx, main=await catalog.save_location(ctx, LocationInput(MAIN, "Main")))


async def test_a_lots_last_day_ends_when_it_ends_in_the_shop(store: Store) -> None:
    shops = [await in_zone(store, zone) for zone in ("America/Argentina/Buenos_Aires", "Asia/Tokyo", "Europe/London")]
    products = [await a_perishable(shop, today=(5, TODAY)) for shop in shops]

    async def sell() -> list[bool]:
        commands = [
            sales.sale_command(shop.ctx, a_sale_of((product, 1)), None)
            for shop, product in zip(shops, products, strict=True)
        ]
        return [not isinstance(outcome, NervioError) for outcome in await store.ctx.submit_all(commands)]

    # One batch holds tickets of three shops, and each of them has its own day. It is 12:00 UTC, then 16:00, 01:00, 03:00.
    assert await sell() == [True, True, True]
    store.clock.advance(4 * HOUR)
    assert await sell() == [True, False, True]
    store.clock.advance(9 * HOUR)
    assert await sell() == [True, False, False]
    store.clock.advance(2 * HOUR)
    assert await sell() == [False, False, False]


async def test_holds_issues_and_transfers_go_by_the_shops_day_too(store: Store) -> None:
    shop = await in_zone(store, "America/Argentina/Buenos_Aires")
    await a_location(shop, "BACK")
    product = await a_perishable(shop, today=(5, TODAY))
    store.clock.advance(14 * HOUR)  # 02:00 UTC of tomorrow is 23:00 of today there
    held = await a_hold(shop, product, 1, seconds=2 * HOUR)
    await book(shop, "issue", product, 1)
    to_back = StockDocument(MAIN, (StockLine(product.sku, milli(1)),), to_location="BACK")
    await stock.record_document(shop.ctx, "transfer", to_back)
    store.clock.advance(HOUR)
    for attempt in (
        a_hold(shop, product, 1),
        stock.claim_hold(shop.ctx, held.hold_id),
        book(shop, "issue", product, 1),
        stock.record_document(shop.ctx, "transfer", to_back),
    ):
        with pytest.raises(NervioError) as caught:
            await attempt
        assert caught.value.code == "insufficient_stock"


async def test_expired_units_are_not_promised_either(store: Store) -> None:
    product = await a_perishable(store, old=(10, YESTERDAY), good=(10, LATER))
    await a_hold(store, product, 10)
    for attempt in (a_hold(store, product, 1), sales.record_sale(store.ctx, a_sale_of((product, 1)))):
        with pytest.raises(NervioError) as caught:
            await attempt
        assert caught.value.data["shortages"][0]["available"] == 0
        assert caught.value.data["shortages"][0]["expired"] == 10_000


async def test_a_hold_whose_units_expired_in_the_meantime_takes_what_is_still_good(store: Store) -> None:
    product = await a_perishable(store, today=(5, TODAY), good=(5, LATER))
    first, second = await a_hold(store, product, 5, seconds=200_000), await a_hold(store, product, 5, seconds=200_000)
    store.clock.advance(DAY / 1_000_000)
    await stock.claim_hold(store.ctx, second.hold_id)
    with pytest.raises(NervioError) as caught:
        await stock.claim_hold(store.ctx, first.hold_id)
    assert caught.value.code == "insufficient_stock"
    assert await lots_of(store, product) == {"today": 5}
    assert await level_of(store, product) == (5, 5)
    await assert_sound(store)


async def test_goods_kept_by_lot_are_received_and_counted_by_lot(store: Store) -> None:
    product = await a_perishable(store)
    for kind in ("receipt", "count"):
        with pytest.raises(NervioError) as caught:
            await book(store, kind, product, 1)
        assert (caught.value.code, caught.value.data["field"]) == ("lot_required", "lines[0].lot")


async def test_a_named_lot_is_taken_and_no_other(store: Store) -> None:
    product = await a_perishable(store, A=(5, TOMORROW), B=(5, LATER))
    await book(store, "issue", product, 4, lot="B")
    assert await lots_of(store, product) == {"A": 5, "B": 1}
    with pytest.raises(NervioError) as caught:
        await book(store, "issue", product, 2, lot="B")
    assert caught.value.data["shortages"][0]["available"] == 1000
    with pytest.raises(NervioError):
        await book(store, "issue", product, 1, lot="no such lot")


async def test_a_transfer_takes_the_lot_and_its_date_along(store: Store) -> None:
    await a_location(store)
    product = await a_perishable(store, A=(5, TOMORROW), B=(5, LATER))
    line = (StockLine(product.sku, milli(7)),)
    await stock.record_document(store.ctx, "transfer", StockDocument(MAIN, line, to_location="DEPOSIT"))
    there = {
        lot.lot: (lot.on_hand, lot.expires_on)
        for lot in await stock.list_lots(store.ctx, product.id)
        if lot.location_id != store.main.id
    }
    assert there == {"A": (5000, TOMORROW), "B": (2000, LATER)}
    await assert_sound(store)


async def test_expired_units_are_written_off_first(store: Store) -> None:
    product = await a_perishable(store, old=(5, YESTERDAY), good=(5, LATER))
    await book(store, "adjustment", product, -6)
    assert await lots_of(store, product) == {"good": 4}
    await assert_sound(store)


async def test_a_count_finds_a_lot_nobody_knew_with_its_date(store: Store) -> None:
    product = await a_perishable(store, A=(5, LATER))
    await book(store, "count", product, 3, lot="found", expires_on=TOMORROW)
    await book(store, "count", product, 4, lot="A")
    found = {lot.lot: (lot.on_hand, lot.expires_on) for lot in await stock.list_lots(store.ctx, product.id)}
    assert found == {"found": (3000, TOMORROW), "A": (4000, LATER)}
    assert await level_of(store, product) == (7, 0)
    await assert_sound(store)


async def test_units_of_one_lot_that_claim_two_dates_expire_on_the_earlier(store: Store) -> None:
    product = await a_perishable(store, A=(5, LATER))
    await a_receipt(store, product, 1, lot="A", expires_on=TOMORROW)
    await a_receipt(store, product, 1, lot="A", expires_on=None)
    (lot,) = await stock.list_lots(store.ctx, product.id)
    assert (lot.on_hand, lot.expires_on) == (7000, TOMORROW)


async def test_a_lot_that_comes_back_keeps_its_date_unless_it_says_another(store: Store) -> None:
    product = await a_perishable(store, A=(5, TOMORROW))
    await book(store, "issue", product, 5)
    await a_receipt(store, product, 1, lot="A")
    assert (await stock.list_lots(store.ctx, product.id))[0].expires_on == TOMORROW
    await book(store, "issue", product, 1)
    await a_receipt(store, product, 1, lot="A", expires_on=LATER)
    assert (await stock.list_lots(store.ctx, product.id))[0].expires_on == LATER


async def test_a_refused_receipt_leaves_no_trace_of_its_lot(store: Store) -> None:
    product = await a_perishable(store)
    good, bad = StockLine(product.sku, 1000, "NEW", LATER), StockLine(product.sku, 1000)
    outcomes = await stock.record_documents(
        store.ctx,
        [
            ("receipt", StockDocument(MAIN, (good, bad)), "a"),
            ("receipt", StockDocument(MAIN, (StockLine(product.sku, 2000, "NEW", TOMORROW),)), "b"),
        ],
    )
    assert isinstance(outcomes[0], NervioError)
    (lot,) = await stock.list_lots(store.ctx, product.id)
    assert (lot.on_hand, lot.expires_on) == (2000, TOMORROW)
    await assert_sound(store)
