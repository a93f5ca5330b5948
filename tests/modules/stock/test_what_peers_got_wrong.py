"""Bugs of well-known peers, kept out by name. Each test states the peer's issue and what happens there."""

import asyncio

import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.sales import api as sales
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import HoldSettled, PlaceHold, StockDocument, StockLine
from tests.builders import (
    MAIN,
    Store,
    a_hold,
    a_product,
    a_receipt,
    a_sale_of,
    a_stocked_product,
    assert_sound,
    level_of,
)


async def test_medusa_16569_concurrent_reservations_never_exceed_what_is_in_stock(store: Store) -> None:
    """There, reservations that check availability at the same moment all find the last unit and all succeed."""
    product = await a_stocked_product(store, 1)
    outcomes = await asyncio.gather(*(a_hold(store, product, 1) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(outcome, HoldSettled) for outcome in outcomes) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, NervioError)} == {"insufficient_stock"}
    assert await level_of(store, product) == (1, 1)
    await assert_sound(store)


async def test_medusa_16502_two_lines_of_one_item_are_checked_together(store: Store) -> None:
    """There, each line of a cart is checked alone, so two lines of 6 pass against a stock of 10."""
    product = await a_stocked_product(store, 10, barcodes=("779",))
    lines = (StockLine(product.sku, 6000), StockLine("779", 6000))
    for attempt in (
        stock.record_document(store.ctx, "issue", StockDocument(MAIN, lines)),
        stock.place_hold(store.ctx, PlaceHold(MAIN, lines)),
        sales.record_sale(store.ctx, a_sale_of((product, 6), (product, 6))),
    ):
        with pytest.raises(NervioError) as caught:
            await attempt
        (shortage,) = caught.value.data["shortages"]
        assert (shortage["requested"], shortage["available"]) == (12_000, 10_000)
    assert await level_of(store, product) == (10, 0)


async def test_inventree_12478_a_unit_is_not_allocated_twice(store: Store) -> None:
    """There, stock that is allocated to one order can be allocated or taken again through another path."""
    product = await a_stocked_product(store, 10)
    await a_hold(store, product, 8)
    lines = (StockLine(product.sku, 3000),)
    attempts = [
        stock.place_hold(store.ctx, PlaceHold(MAIN, lines)),
        stock.record_document(store.ctx, "issue", StockDocument(MAIN, lines)),
        stock.record_document(store.ctx, "adjustment", StockDocument(MAIN, (StockLine(product.sku, -3000),))),
        sales.record_sale(store.ctx, a_sale_of((product, 3))),
    ]
    for attempt in attempts:
        with pytest.raises(NervioError) as caught:
            await attempt
        assert caught.value.data["shortages"][0]["available"] == 2000
    assert await level_of(store, product) == (10, 8)
    await assert_sound(store)


async def test_odoo_272560_first_movements_at_once_make_one_level_not_two(store: Store) -> None:
    """There, transactions that each find no quant for a product create one each, and the stock is split between them."""
    product = await a_product(store)
    await asyncio.gather(*(a_receipt(store, product, 1, key=f"k{n}") for n in range(50)))
    levels = await stock.get_levels(store.ctx, product.id)
    assert [level.on_hand for level in levels] == [50_000]
    await assert_sound(store)


async def test_erpnext_51375_orders_reserved_at_the_same_time_do_not_over_reserve(store: Store) -> None:
    """There, stock reservation entries submitted together each read the same reserved quantity and overrun it."""
    one, other = await a_stocked_product(store, 20), await a_stocked_product(store, 20)
    lines = (StockLine(one.sku, 3000), StockLine(other.sku, 3000))
    outcomes = await asyncio.gather(
        *(stock.place_hold(store.ctx, PlaceHold(MAIN, order)) for order in (lines, lines[::-1]) * 20),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, HoldSettled) for outcome in outcomes) == 6
    assert await level_of(store, one) == (20, 18)
    assert await level_of(store, other) == (20, 18)
    await assert_sound(store)
