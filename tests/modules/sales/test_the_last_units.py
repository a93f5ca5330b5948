"""Hundreds of callers want the last units: never one too many, and none left where more were wanted."""

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import Connection, text

from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog.contracts import Product
from nervio.modules.ledger import api as ledger
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import TicketRecorded
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import HoldSettled, StockDocument, StockLine
from tests.builders import MAIN, Store, a_hold, a_receipt, a_sale_of, a_stocked_product, assert_sound, level_of
from tests.modules.sales.selling_process import sell

ROOT = os.fspath(__file__).rsplit(os.sep + "tests" + os.sep, 1)[0]


async def units_sold(store: Store, product: Product) -> int:
    """Whole units that the journal says were sold."""

    def query(connection: TenantConnection) -> int:
        return -sum(
            amount for _, sku, _, amount in ledger.iterate_stock(connection) if sku == product.id and amount < 0
        )

    return await store.ctx.read(query) // 1000


async def test_of_many_callers_exactly_as_many_succeed_as_there_are_units(store: Store) -> None:
    product = await a_stocked_product(store, 137)
    keys = [f"key-{n}" for n in range(400)]
    outcomes = await asyncio.gather(*(sell(store.ctx, product.sku, key) for key in keys + keys[::-1]))
    first, again = outcomes[: len(keys)], outcomes[len(keys) :][::-1]
    assert first == again, "the same key, the same answer"
    assert Counter(outcome == "insufficient_stock" for outcome in first) == {False: 137, True: 263}
    assert len(set(first)) == 138, "each ticket is one key's"
    assert await level_of(store, product) == (0, 0)
    assert await units_sold(store, product) == 137
    assert (await sales.count_tickets(store.ctx))[0] == 137
    await assert_sound(store)


async def test_tickets_that_want_the_same_products_in_any_order_never_lock_each_other_out(store: Store) -> None:
    products = [await a_stocked_product(store, 60) for _ in range(4)]
    random = Random(7)
    orders = [random.sample(products, 3) for _ in range(200)]
    outcomes = await asyncio.gather(
        *(sales.record_sale(store.ctx, a_sale_of(*((product, 1) for product in order))) for order in orders),
        return_exceptions=True,
    )
    sold = Counter(
        product.sku
        for order, outcome in zip(orders, outcomes, strict=True)
        if isinstance(outcome, TicketRecorded)
        for product in order
    )
    assert {outcome.code for outcome in outcomes if isinstance(outcome, NervioError)} == {"insufficient_stock"}
    for product in products:
        assert await level_of(store, product) == (60 - sold[product.sku], 0)
    left = [product for product in products if sold[product.sku] < 60]
    assert len(left) < 3, "three products with units left would have made another ticket"
    await assert_sound(store)


async def test_sales_holds_claims_and_counts_together_never_promise_a_unit_twice(store: Store) -> None:
    product = await a_stocked_product(store, 100)

    async def reserve_and_claim() -> bool:
        placed = await a_hold(store, product, 1)
        await asyncio.sleep(0)
        return isinstance(await stock.claim_hold(store.ctx, placed.hold_id), HoldSettled)

    async def reserve_and_release() -> bool:
        placed = await a_hold(store, product, 2)
        await stock.release_hold(store.ctx, placed.hold_id)
        return False

    async def buy() -> bool:
        return isinstance(await sales.record_sale(store.ctx, a_sale_of((product, 1))), TicketRecorded)

    async def move_away() -> bool:
        lines = (StockLine(product.sku, 1000),)
        await stock.record_document(store.ctx, "issue", StockDocument(MAIN, lines))
        return True

    work = [make() for _ in range(60) for make in (reserve_and_claim, reserve_and_release, buy, move_away)]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    bugs = [outcome for outcome in outcomes if isinstance(outcome, Exception) and not isinstance(outcome, NervioError)]
    assert bugs == []
    left = 100 - sum(outcome is True for outcome in outcomes)
    assert left >= 0
    assert await level_of(store, product) == (left, 0)
    await assert_sound(store)


async def test_a_count_among_promises_breaks_holds_rather_than_the_books(store: Store) -> None:
    product = await a_stocked_product(store, 50)

    async def count(units: int) -> object:
        line = (StockLine(product.sku, units * 1000),)
        return await stock.record_document(store.ctx, "count", StockDocument(MAIN, line))

    work = [a_hold(store, product, 1) for _ in range(60)]
    counts = [count(units) for units in (30, 10, 25, 5, 40)]
    outcomes = await asyncio.gather(*work[:30], *counts, *work[30:], return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {getattr(outcome, "code", repr(outcome)) for outcome in refused} <= {"insufficient_stock"}
    on_hand, reserved = await level_of(store, product)
    # Which count was the last is the database's choice: two writers of one till keep no order among callers.
    assert on_hand in {30, 10, 25, 5, 40}
    assert reserved <= on_hand
    await assert_sound(store)


@pytest.mark.services("postgres")
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_processes_that_share_the_last_units_sell_each_once(store: Store) -> None:
    product = await a_stocked_product(store, 200)
    callers, starts = 150, (0, 100, 200)  # neighbours share fifty keys
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.modules.sales.selling_process",
            store.address,
            store.ctx.tenant_id,
            product.sku,
            str(callers),
            str(start),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        for start in starts
    ]
    printed = [(await process.communicate())[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    answers: dict[str, set[str]] = {}
    for part in printed:
        for key, outcome in json.loads(part).items():
            answers.setdefault(key, set()).add(outcome)
    assert len(answers) == 350
    assert {len(outcomes) for outcomes in answers.values()} == {1}, "the same key, the same answer, in any process"
    tickets = {outcome for outcomes in answers.values() for outcome in outcomes} - {"insufficient_stock"}
    assert len(tickets) == 200
    assert await level_of(store, product) == (0, 0)
    assert await units_sold(store, product) == 200
    await assert_sound(store)


@pytest.mark.services("postgres")
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_a_server_that_drops_connections_under_way_loses_and_doubles_nothing(store: Store) -> None:
    product = await a_stocked_product(store, 150)
    killed, selling = 0, True

    async def sabotage() -> None:
        nonlocal killed
        while selling:
            killed += await store.database.read(kill_writers)
            await asyncio.sleep(0.002)

    saboteur = asyncio.create_task(sabotage())
    outcomes: list[str] = []
    # Goes on with refusals, which are written too, until a writer was caught in the act.
    while len(outcomes) < 400 or (killed < 3 and len(outcomes) < 40_000):
        keys = [f"key-{len(outcomes) + n}" for n in range(20)]
        outcomes += await asyncio.gather(*(sell(store.ctx, product.sku, key) for key in keys))
    selling = False
    await saboteur
    assert killed > 0
    assert Counter(outcome == "insufficient_stock" for outcome in outcomes)[False] == 150
    assert await level_of(store, product) == (0, 0)
    assert await units_sold(store, product) == 150
    await assert_sound(store)


def kill_writers(connection: Connection) -> int:
    """Terminates the backends that are writing to this database just now."""
    killed = connection.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND query LIKE 'WITH w0%' AND state <> 'idle'"
        )
    )
    return len(killed.all())


@pytest.mark.services("postgres")
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
@pytest.mark.parametrize("together", [1, 50])
async def test_a_number_that_two_processes_choose_at_once_is_a_refusal_not_a_crash(store: Store, together: int) -> None:
    # Two products, so that no row of stock makes one process wait for the other.
    products = [await a_stocked_product(store, 500), await a_stocked_product(store, 500)]
    other = PostgreSQLDatabase(store.address, store.clock, 1000)
    await other.start()
    outcomes: list[TicketRecorded | BaseException] = []
    try:
        contexts = [store.ctx, replace(store.ctx, database=other)]
        for first in range(0, 50, together):
            outcomes += await asyncio.gather(
                *(
                    sales.record_sale(ctx, a_sale_of((product, 1), number=f"N-{n}"))
                    for n in range(first, first + together)
                    for ctx, product in zip(contexts, products, strict=True)
                ),
                return_exceptions=True,
            )
    finally:
        await other.close()
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {getattr(one, "code", repr(one)) for one in refused} == {"number_taken"}
    assert len(refused) == 50
    assert sum([(await level_of(store, product))[0] for product in products]) == 950
    await assert_sound(store)


async def test_a_flood_is_refused_politely_and_what_was_taken_is_done(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await a_receipt(store, product, 1000)
    sold = await asyncio.gather(
        *(sales.record_sale(store.ctx, a_sale_of((product, 1))) for _ in range(500)), return_exceptions=True
    )
    done = sum(isinstance(outcome, TicketRecorded) for outcome in sold)
    assert all(outcome.kind is Kind.TOO_MANY for outcome in sold if isinstance(outcome, NervioError))
    assert await level_of(store, product) == (1010 - done, 0)
