"""Critical stock, from the shelf to the trip: what the rule sees of a real shop, and what a restart remembers."""

import pytest
from sqlalchemy import text

from nervio.events.safety import RULE_CLEARED, RULE_TRIPPED
from nervio.events.stock import STOCK_BECAME_CRITICAL
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.usecases import surveillance as engine
from nervio.modules.sales import api as sales
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import LevelPolicy, StockDocument, StockLine
from tests.builders import MAIN, Store, a_product, a_receipt, a_sale_of, a_stocked_product, milli
from tests.modules.safety.watched import facts, real_probes, set_critical, trips, watching

# -- critical stock, from the shelf to the trip ----------------------------------------------------------------------


async def test_a_product_sold_down_to_critical_trips_and_restocking_clears_it(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await set_critical(store, product.sku, 5)
    watch = watching(store, *real_probes())
    await watch.run(store.ctx)
    assert await trips(store) == []

    await sales.record_sale(store.ctx, a_sale_of((product, 4)))
    store.clock.advance(3)
    await watch.run(store.ctx)
    assert await trips(store) == []  # 6 of 5: not critical yet

    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    store.clock.advance(3)
    await watch.run(store.ctx)
    (trip,) = await trips(store)
    assert (trip.rule, trip.product_id, trip.location_id, trip.value) == (
        "critical_stock",
        product.id,
        store.main.id,
        100,
    )
    assert (trip.mode, trip.action, trip.reach, trip.cleared_at) == ("on", "pause_campaigns", "campaigns", None)
    assert trip.outcome != ""
    assert api.say_why(trip, "en", "ARS") == (
        f"5 of {product.name} are left at Main; the critical level is 5 (100 %, the rule trips at 100 %)."
    )

    for _ in range(3):
        store.clock.advance(3)
        await watch.run(store.ctx)
    assert len(await trips(store)) == 1

    await a_receipt(store, product, 0.5)  # 5.5 of 5: above what trips, below what clears
    store.clock.advance(3)
    await watch.run(store.ctx)
    assert (await trips(store))[0].cleared_at is None
    await a_receipt(store, product, 0.5)
    store.clock.advance(3)
    await watch.run(store.ctx)
    (cleared,) = await trips(store)
    assert (cleared.cleared_at, cleared.cleared_value) == (store.clock.now(), 120)
    assert cleared.cleared_by == "rule:critical_stock"
    assert await facts(store, RULE_TRIPPED, RULE_CLEARED) == [RULE_TRIPPED, RULE_CLEARED]


async def test_a_restart_neither_forgets_a_trip_nor_trips_twice(store: Store) -> None:
    product = await a_stocked_product(store, 3)
    await set_critical(store, product.sku, 5)
    await watching(store, *real_probes()).run(store.ctx)
    (trip,) = await trips(store)

    again = watching(store, *real_probes())
    await again.run(store.ctx)
    assert [each.id for each in await trips(store)] == [trip.id]

    await a_receipt(store, product, 10)
    store.clock.advance(3)
    await again.run(store.ctx)
    assert (await trips(store))[0].cleared_at is not None


async def test_every_critical_level_trips_the_rule_however_many_there_are(store: Store) -> None:
    products = [await a_product(store) for _ in range(40)]
    lines = tuple(StockLine(product.sku, milli(2)) for product in products)
    await stock.record_document(store.ctx, "receipt", StockDocument(MAIN, lines))
    for product in products:
        await set_critical(store, product.sku, 2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "MOST_TRIPS_A_LOOK", 15)
        watch = watching(store, *real_probes())
        for rounds in range(1, 5):
            await watch.run(store.ctx)
            assert len(await trips(store)) == min(40, 15 * rounds)
            store.clock.advance(3)
    found = await trips(store)
    assert {trip.product_id for trip in found} == {product.id for product in products}
    assert all(trip.outcome for trip in found)


async def test_a_fact_makes_the_rule_look_at_once_and_it_is_right_without_it(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await set_critical(store, product.sku, 5)
    watch = watching(store, *real_probes())
    await watch.run(store.ctx)
    await sales.record_sale(store.ctx, a_sale_of((product, 5)))
    await watch.run(store.ctx)
    assert await trips(store) == []  # its next look is not due yet
    engine.hear(store.ctx.tenant_id, STOCK_BECAME_CRITICAL)
    await watch.run(store.ctx)
    assert len(await trips(store)) == 1


async def test_a_level_without_a_critical_level_any_more_clears(store: Store) -> None:
    product = await a_stocked_product(store, 3)
    await set_critical(store, product.sku, 5)
    watch = watching(store, *real_probes())
    await watch.run(store.ctx)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, None))
    store.clock.advance(3)
    await watch.run(store.ctx)
    (trip,) = await trips(store)
    assert trip.cleared_at is not None
    assert trip.cleared_value is None


async def test_a_round_in_which_nothing_is_due_reads_nothing_of_what_stands_tripped(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    await set_critical(store, product.sku, 5)
    watch = watching(store, *real_probes())
    await watch.run(store.ctx)
    assert len(await trips(store, "critical_stock")) == 1

    async def rename(table: str, name: str) -> None:
        change = text(f"ALTER TABLE {table} RENAME TO {name}")
        await store.database.bookkeep("prune", lambda c: c.execute(change).rowcount)

    await rename("rule_states", "away")
    assert await watch.run(store.ctx) == 0
    await rename("away", "rule_states")
    store.clock.advance(3)
    assert await watch.run(store.ctx) > 0
    assert len(await trips(store, "critical_stock")) == 1


async def test_what_waited_before_it_tripped_is_told_of_by_its_name(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    await set_critical(store, product.sku, 5)
    await api.change_rule(store.ctx, "critical_stock", {"hold_seconds": 3, "cooldown_seconds": 60})
    watch = watching(store, *real_probes())
    for _ in range(2):
        await watch.run(store.ctx)
        store.clock.advance(3)
    (trip,) = await trips(store)
    assert (trip.figures["product"], trip.figures["location"]) == (product.name, "Main")
