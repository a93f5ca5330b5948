"""The figures of sales that rules watch, against sums done by hand."""

from dataclasses import replace
from typing import Any

import pytest

from nervio.kernel.time import DAY
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductInput
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordReturn, RecordSale, SaleLine
from nervio.modules.sales.usecases import probing
from nervio.ports.probes import Question, Reading
from tests.builders import MAIN, Store, a_product, a_receipt, milli

HOUR = 3_600


async def priced(store: Store, price: int, cost: int | None, *, tax_bp: int = 0, units: float = 1_000) -> Product:
    """A product with a price and a cost, received."""
    product = await a_product(store, price_minor=price, tax_rate_bp=tax_bp)
    given = ProductInput(product.sku, product.name, price, "ARS", tax_bp, cost_minor=cost)
    await catalog.save_products(store.ctx, [given])
    await a_receipt(store, product, units)
    return product


async def sell(store: Store, *lines: tuple[Product, float, int], at: int | None = None) -> str:
    """A ticket of (product, units, unit price); its number."""
    wanted = tuple(SaleLine(product.sku, milli(units), price) for product, units, price in lines)
    total = sum(round(units * price) for _, units, price in lines)
    body = RecordSale(MAIN, wanted, (Payment(PaymentKind.CASH, total),) if total else (), effective_at=at)
    return (await sales.record_sale(store.ctx, body)).number


async def ask(store: Store, read: Any, **question: Any) -> list[Reading]:
    given = {"now": store.clock.now(), "bound": 10**9, "window_seconds": HOUR, "baseline_seconds": 28 * 86_400}
    found: list[Reading] = await read(store.ctx, Question(**{**given, **question}))
    return found


async def test_the_lowest_margin_of_a_product_is_told_net_of_tax(store: Store) -> None:
    """121.00 with 21 % tax is 100.00 without; against a cost of 80.00 a margin of 20 %."""
    product = await priced(store, 12_100, 8_000, tax_bp=2_100)
    without = await priced(store, 100, None)
    await sell(store, (product, 3, 12_100), (without, 1, 1))
    (reading,) = await ask(store, probing.read_margins)
    assert (reading.subject, reading.product_id, reading.value, reading.samples) == (product.id, product.id, 2_000, 1)
    await sell(store, (product, 2, 9_075))
    (reading,) = await ask(store, probing.read_margins)
    assert (reading.value, reading.samples) == (-667, 2)  # 75.00 against 80.00, rounded down
    assert reading.figures == {"product": product.name, "net_minor": 7_500, "cost_minor": 8_000, "samples_count": 2}
    store.clock.advance(HOUR + 1)
    assert await ask(store, probing.read_margins) == []


async def test_only_products_at_or_below_the_bound_are_told_of_and_those_asked_for(store: Store) -> None:
    good, bad = await priced(store, 1_000, 500), await priced(store, 1_000, 1_100)
    await sell(store, (good, 1, 1_000), (bad, 1, 1_000))
    assert [each.subject for each in await ask(store, probing.read_margins, bound=-1)] == [bad.id]
    asked = await ask(store, probing.read_margins, bound=-1, subjects=frozenset({good.id}))
    assert {each.subject: each.value for each in asked} == {bad.id: -1_000, good.id: 5_000}


async def test_a_fall_of_the_margin_is_told_against_the_days_before(store: Store) -> None:
    product = await priced(store, 1_000, 500)
    await sell(store, (product, 10, 1_000), at=store.clock.now() - 2 * DAY)
    assert await ask(store, probing.read_margin_fall) == []  # nothing sold in the window
    await sell(store, (product, 1, 1_000), (product, 1, 625))
    (reading,) = await ask(store, probing.read_margin_fall)
    # 1,625 for 1,000 of cost is 38.46 %; before it was 50 %.
    assert (reading.subject, reading.value, reading.samples) == ("", 5_000 - 3_846, 2)


async def test_refunds_are_told_above_what_is_usual_by_place(store: Store) -> None:
    product = await priced(store, 1_000, None)
    before = store.clock.now() - 3 * DAY
    await sell(store, (product, 90, 1_000), at=before)
    back = (SaleLine(product.sku, milli(9), 1_000),)
    await sales.record_return(store.ctx, RecordReturn(MAIN, back, effective_at=before))
    await sell(store, (product, 10, 1_000))
    await sales.record_return(store.ctx, RecordReturn(MAIN, (SaleLine(product.sku, milli(4), 1_000),)))
    (reading,) = await ask(store, probing.read_refunds)
    assert (reading.subject, reading.location_id) == (store.main.id, store.main.id)
    assert (reading.value, reading.samples) == (4_000 - 1_000, 2)
    assert reading.figures["usual_bp"] == 1_000


async def test_discounts_are_told_of_the_list_price_by_place(store: Store) -> None:
    product = await priced(store, 1_000, None)
    await sell(store, (product, 2, 1_000), (product, 1, 250), (product, 1, 2_000))
    (reading,) = await ask(store, probing.read_discounts)
    # 750 of 4,000; what went above its list price makes up for nothing.
    assert (reading.subject, reading.value, reading.samples) == (store.main.id, 1_875, 3)


async def test_days_left_follow_from_the_rate_of_sale(store: Store) -> None:
    product = await priced(store, 1_000, None, units=30)
    week = 7 * 86_400
    await sell(store, (product, 7, 1_000), at=store.clock.now() - DAY)
    (reading,) = await ask(store, probing.read_days_left, window_seconds=week)
    assert (reading.subject, reading.value) == (product.id, 23)  # one a day, and 23 are left
    await sell(store, (product, 21, 1_000))
    (reading,) = await ask(store, probing.read_days_left, window_seconds=week)
    assert (reading.value, reading.samples) == (1, 2)  # 2 left at 4 a day
    assert reading.figures["sold_milli"] == 28_000


async def test_a_window_longer_than_what_is_looked_at_is_cut_to_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "MOST_IN_BASELINE", 2)
    product = await priced(store, 1_000, None, units=13)
    now = store.clock.now()
    for days_ago in (6, 2, 1):
        await sell(store, (product, 1, 1_000), at=now - days_ago * DAY)
    (reading,) = await ask(store, probing.read_days_left, window_seconds=7 * 86_400)
    assert (reading.value, reading.figures["window_days"]) == (10, 2)  # 2 in 2 days, 10 left


async def test_another_tenants_sales_count_nowhere(store: Store) -> None:
    product = await priced(store, 1_000, 2_000)
    await sell(store, (product, 1, 1_000))
    other = await store.another_tenant()
    for read in (
        probing.read_margins,
        probing.read_margin_fall,
        probing.read_refunds,
        probing.read_discounts,
        probing.read_days_left,
    ):
        assert await ask(replace(other, clock=store.clock), read) == []


@pytest.mark.parametrize(
    ("net", "cost", "value"), [(100, 80, 2_000), (99, 100, -102), (1, 100, -10_000), (0, 5, -10_000), (0, 0, 0)]
)
def test_margins_are_of_the_price_and_rounded_down(net: int, cost: int, value: int) -> None:
    assert probing.margin_bp(net, cost) == value


@pytest.mark.parametrize(("part", "whole", "value"), [(1, 3, 3_333), (5, 0, 10_000), (0, 0, 0), (3, 2, 15_000)])
def test_shares_of_nothing_are_all_of_it(part: int, whole: int, value: int) -> None:
    assert probing.share_bp(part, whole) == value
