"""The same key and body get the first answer; another body is a conflict; refusals are remembered too."""

import asyncio

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import RecordReturn, SaleLine, TicketRecorded
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import LevelPolicy, PlaceHold, StockDocument, StockLine
from tests.builders import MAIN, Store, a_hold, a_receipt, a_sale_of, a_stocked_product, assert_sound, level_of


async def test_a_repeated_sale_gets_the_first_answer_and_sells_once(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    first = await sales.record_sale(store.ctx, a_sale_of((product, 3)), "k")
    store.clock.advance(10)
    assert await sales.record_sale(store.ctx, a_sale_of((product, 3)), "k") == first
    assert await level_of(store, product) == (7, 0)
    assert await sales.count_tickets(store.ctx) == (1, 1)


async def test_a_key_used_for_another_body_is_a_conflict(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await sales.record_sale(store.ctx, a_sale_of((product, 3)), "k")
    with pytest.raises(NervioError) as caught:
        await sales.record_sale(store.ctx, a_sale_of((product, 4)), "k")
    assert (caught.value.kind, caught.value.code) == (Kind.CONFLICT, "idempotency_key_reused")
    assert await level_of(store, product) == (7, 0)


async def test_a_refusal_is_remembered_word_for_word(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    refusals = []
    for _ in range(2):
        with pytest.raises(NervioError) as caught:
            await sales.record_sale(store.ctx, a_sale_of((product, 2)), "k")
        refusals.append((caught.value.kind, caught.value.code, caught.value.message, caught.value.data))
        await a_receipt(store, product, 10)
    assert refusals[0] == refusals[1]
    assert await level_of(store, product) == (21, 0)
    await sales.record_sale(store.ctx, a_sale_of((product, 2)), "another key")


async def test_repeats_that_meet_in_one_batch_are_one_sale(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    answers = await asyncio.gather(*(sales.record_sale(store.ctx, a_sale_of((product, 3)), "k") for _ in range(20)))
    assert len({answer.ticket_id for answer in answers}) == 1
    assert await level_of(store, product) == (7, 0)
    await assert_sound(store)


async def test_two_bodies_under_one_key_in_one_batch_are_one_sale_and_one_conflict(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    given = [(a_sale_of((product, units)), "k") for units in (3, 4, 3)]
    first, other, twin = await sales.record_sales(store.ctx, given)
    assert isinstance(first, TicketRecorded)
    assert first == twin
    assert isinstance(other, NervioError)
    assert other.code == "idempotency_key_reused"
    assert await level_of(store, product) == (7, 0)


async def test_keys_belong_to_a_tenant_and_an_operation(store: Store) -> None:
    other = await store.another_tenant()
    mine, theirs = await a_stocked_product(store, 10), await a_stocked_product(other, 10)
    sold = await sales.record_sale(store.ctx, a_sale_of((mine, 1)), "k")
    await sales.record_sale(other.ctx, a_sale_of((theirs, 1)), "k")
    await sales.record_return(store.ctx, RecordReturn(MAIN, (SaleLine(mine.sku, 1000),), sold.number), "k")
    await stock.record_document(store.ctx, "receipt", StockDocument(MAIN, (StockLine(mine.sku, 1000),)), "k")
    assert await level_of(store, mine) == (11, 0)
    assert await level_of(other, theirs) == (9, 0)


async def test_every_kind_of_write_is_done_once_under_its_key(store: Store) -> None:
    product = await a_stocked_product(store, 100)
    line = (StockLine(product.sku, 1000),)
    for _ in range(3):
        for kind in ("receipt", "issue", "adjustment"):
            await stock.record_document(store.ctx, kind, StockDocument(MAIN, line), "k")
        placed = await stock.place_hold(store.ctx, PlaceHold(MAIN, line), "k")
        await stock.claim_hold(store.ctx, placed.hold_id, key="k")
        await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, 5), "k")
        await stock.repair(store.ctx, "nothing", "k")
    assert await level_of(store, product) == (100, 0)
    assert len(await stock.list_movements(store.ctx, product.id)) == 5
    await assert_sound(store)


async def test_without_a_key_every_call_is_a_deed_of_its_own(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    for _ in range(2):
        await sales.record_sale(store.ctx, a_sale_of((product, 1)))
        await a_hold(store, product, 1)
    assert await level_of(store, product) == (8, 2)
