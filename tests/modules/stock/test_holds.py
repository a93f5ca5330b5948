"""Holds: placed, claimed, released, swept; settled exactly once."""

import asyncio
from dataclasses import replace

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import HoldState, PlaceHold, StockDocument, StockLine
from tests.builders import MAIN, SetClock, Store, a_hold, a_product, a_stocked_product, assert_sound, level_of, milli


async def test_a_hold_takes_units_out_of_what_is_available_but_not_off_the_shelf(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await a_hold(store, product, 4)
    assert await level_of(store, product) == (10, 4)
    with pytest.raises(NervioError) as caught:
        await stock.record_document(store.ctx, "issue", StockDocument(MAIN, (StockLine(product.sku, milli(7)),)))
    assert caught.value.data["shortages"][0]["available"] == 6000


async def test_a_claimed_hold_leaves_and_a_released_one_stays(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    claimed, released = await a_hold(store, product, 4), await a_hold(store, product, 3)
    assert (await stock.claim_hold(store.ctx, claimed.hold_id)).state is HoldState.CLAIMED
    assert (await stock.release_hold(store.ctx, released.hold_id)).state is HoldState.RELEASED
    assert await level_of(store, product) == (6, 0)
    await assert_sound(store)


async def test_two_lines_of_one_product_hold_their_sum(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    lines = (StockLine(product.sku, milli(6)), StockLine(product.id, milli(5)))
    with pytest.raises(NervioError) as caught:
        await stock.place_hold(store.ctx, PlaceHold(MAIN, lines))
    assert caught.value.data["shortages"][0]["requested"] == 11_000
    placed = await stock.place_hold(store.ctx, PlaceHold(MAIN, lines[:1] * 1))
    assert [line.quantity for line in (await stock.get_hold(store.ctx, placed.hold_id)).lines] == [6000]


async def test_a_hold_is_settled_once(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    placed = await a_hold(store, product, 4)
    await stock.claim_hold(store.ctx, placed.hold_id)
    for settle in (stock.claim_hold, stock.release_hold):
        with pytest.raises(NervioError) as caught:
            await settle(store.ctx, placed.hold_id)
        assert (caught.value.code, caught.value.data["state"]) == ("hold_settled", "claimed")
    assert await level_of(store, product) == (6, 0)


async def test_of_many_who_settle_one_hold_at_once_one_succeeds(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    placed = await a_hold(store, product, 4)
    settles = [stock.claim_hold, stock.release_hold] * 10
    outcomes = await asyncio.gather(*(settle(store.ctx, placed.hold_id) for settle in settles), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, NervioError)} == {"hold_settled"}
    assert (await level_of(store, product))[1] == 0
    await assert_sound(store)


async def test_an_expired_hold_cannot_be_claimed_even_before_it_is_swept(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    placed = await a_hold(store, product, 4, seconds=60)
    store.clock.advance(59)
    assert await stock.sweep_holds(store.ctx) == 0
    store.clock.advance(1)
    with pytest.raises(NervioError) as caught:
        await stock.claim_hold(store.ctx, placed.hold_id)
    assert caught.value.code == "hold_expired"
    assert await level_of(store, product) == (10, 4)


async def test_the_sweep_gives_back_what_has_expired_and_nothing_else(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    short, long = await a_hold(store, product, 4, seconds=60), await a_hold(store, product, 3, seconds=3600)
    store.clock.advance(61)
    assert await stock.sweep_holds(store.ctx) == 1
    assert await stock.sweep_holds(store.ctx) == 0
    assert (await stock.get_hold(store.ctx, short.hold_id)).state is HoldState.EXPIRED
    assert (await stock.get_hold(store.ctx, long.hold_id)).state is HoldState.ACTIVE
    assert await level_of(store, product) == (10, 3)
    with pytest.raises(NervioError) as caught:
        await stock.claim_hold(store.ctx, short.hold_id)
    assert caught.value.code == "hold_settled"
    await assert_sound(store)


async def test_the_sweep_serves_every_tenant(store: Store) -> None:
    other = await store.another_tenant()
    theirs = await a_stocked_product(other, 5)
    await a_hold(other, theirs, 5, seconds=1)
    store.clock.advance(2)
    assert await stock.sweep_holds(store.ctx) == 1
    assert await level_of(other, theirs) == (5, 0)


async def test_a_sweep_by_a_clock_that_is_ahead_does_not_keep_a_hold_for_ever(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await a_hold(store, product, 4, seconds=60)
    ahead = replace(store.ctx, clock=SetClock(store.clock.now() + 61 * SECOND))
    assert await stock.sweep_holds(ahead) == 0
    store.clock.advance(61)
    assert await stock.sweep_holds(store.ctx) == 1


async def test_a_hold_lasts_a_quarter_of_an_hour_unless_it_says_otherwise(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    placed = await a_hold(store, product, 1)
    assert placed.expires_at == store.clock.now() + 900_000_000
    for seconds in (0, -1, 10**9):
        with pytest.raises(NervioError) as caught:
            await a_hold(store, product, 1, seconds=seconds)
        assert caught.value.code == "invalid_duration"


async def test_what_cannot_be_held_is_refused_by_name(store: Store) -> None:
    service = await a_product(store, tracked=False)
    for line, code in (
        (StockLine(service.sku, 1000), "not_stocked"),
        (StockLine("NO-SUCH", 1000), "product_not_found"),
        (StockLine("X", 0), "negative_quantity"),
        (StockLine("X", 10**30), "quantity_out_of_range"),
    ):
        with pytest.raises(NervioError) as caught:
            await stock.place_hold(store.ctx, PlaceHold(MAIN, (line,)))
        assert caught.value.code == code
    with pytest.raises(NervioError) as caught:
        await stock.place_hold(store.ctx, PlaceHold(MAIN, ()))
    assert caught.value.code == "invalid_lines"


async def test_a_hold_of_another_tenant_does_not_exist(store: Store) -> None:
    other = await store.another_tenant()
    placed = await a_hold(other, await a_stocked_product(other, 5), 5)
    for hold_id in (placed.hold_id, new_id(), "not-an-id", "' OR 1=1", ""):
        for settle in (stock.claim_hold, stock.release_hold, stock.get_hold):
            with pytest.raises(NervioError) as caught:
                await settle(store.ctx, hold_id)
            assert caught.value.kind is Kind.NOT_FOUND
    assert (await stock.get_hold(other.ctx, placed.hold_id)).state is HoldState.ACTIVE


async def test_holds_are_listed_by_state_and_product(store: Store) -> None:
    one, other = await a_stocked_product(store, 10), await a_stocked_product(store, 10)
    first, second = await a_hold(store, one, 1), await a_hold(store, other, 1)
    await stock.release_hold(store.ctx, first.hold_id)
    active = await stock.list_holds(store.ctx, HoldState.ACTIVE)
    assert [hold.id for hold in active] == [second.hold_id]
    assert [hold.id for hold in await stock.list_holds(store.ctx, product_id=one.id)] == [first.hold_id]
    assert len(await stock.list_holds(store.ctx)) == 2
