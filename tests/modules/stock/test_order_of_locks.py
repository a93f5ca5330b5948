"""Transactions lock in one order, whatever is new to them and in whatever order a batch names its rows.

Found by the simulation: a batch that made a missing level after it had locked one that was there, and one that locked the
holds of a count after those that it settles, or after the levels, could each close a circle of waiting with a second batch.
PostgreSQL breaks such a circle after a second, in which the tills stand still.
"""

import asyncio

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from nervio.db.batch import Command, Lane
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import SettleHold, StockDocument, StockLine
from nervio.modules.stock.usecases import holds
from tests.builders import MAIN, Store, a_hold, a_product, a_stocked_product, assert_sound, level_of

SOON = 0.6
"""Seconds; PostgreSQL looks for circles after one."""


async def test_new_and_known_products_of_one_receipt_are_both_received(store: Store) -> None:
    new, known = await a_product(store), await a_stocked_product(store, 1)
    lines = tuple(StockLine(product.sku, 2000) for product in (new, known))
    await stock.record_document(store.ctx, "receipt", StockDocument(MAIN, lines))
    assert (await level_of(store, new), await level_of(store, known)) == ((2, 0), (3, 0))
    await assert_sound(store)


async def other_session(store: Store) -> asyncpg.Connection:
    address = make_url(store.address).set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(address)


async def somebody_waits(session: asyncpg.Connection) -> None:
    """Returns when a backend waits for what the session has."""
    async with asyncio.timeout(10):
        while not await session.fetchval(  # noqa: ASYNC110 (it comes about inside the server)
            "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        ):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("store", [pytest.param("postgresql", marks=pytest.mark.services("postgres"))], indirect=True)
async def test_levels_are_made_before_any_is_locked(store: Store) -> None:
    new, known = await a_product(store), await a_stocked_product(store, 1)
    session = await other_session(store)
    await session.execute("BEGIN; SET LOCAL lock_timeout = '600ms'")
    await session.execute(
        "INSERT INTO stock_levels (tenant_id, location_id, product_id, on_hand, reserved, allow_negative) "
        "VALUES ($1, $2, $3, 0, 0, false)",
        store.ctx.tenant_id,
        store.main.id,
        new.id,
    )
    lines = tuple(StockLine(product.sku, 1000) for product in (new, known))
    receipt = asyncio.ensure_future(stock.record_document(store.ctx, "receipt", StockDocument(MAIN, lines)))
    await somebody_waits(session)
    # Whoever has made the row may lock the other: the receipt waits with nothing in hand.
    await session.execute("SELECT 1 FROM stock_levels WHERE product_id = $1 FOR UPDATE", known.id)
    await session.execute("COMMIT")
    await session.close()
    await receipt
    assert (await level_of(store, new), await level_of(store, known)) == ((1, 0), (2, 0))


@pytest.mark.parametrize("store", [pytest.param("postgresql", marks=pytest.mark.services("postgres"))], indirect=True)
async def test_holds_of_a_count_and_of_a_settlement_are_locked_together(store: Store) -> None:
    counted, other = await a_stocked_product(store, 5), await a_stocked_product(store, 5)
    older, newer = await a_hold(store, counted), await a_hold(store, other)
    assert older.hold_id < newer.hold_id
    session = await other_session(store)
    await session.execute("BEGIN; SET LOCAL lock_timeout = '600ms'")
    await session.execute("SELECT 1 FROM stock_holds WHERE id = $1 FOR UPDATE", older.hold_id)
    count = StockDocument(MAIN, (StockLine(counted.sku, 5000),))
    ctx = store.ctx
    both = asyncio.ensure_future(
        ctx.submit_all(
            [
                Command(holds.RELEASE, ctx.tenant_id, "tester", None, SettleHold(newer.hold_id), lane=Lane.TILL),
                stock.document_command(ctx, "count", count, None),
            ]
        )
    )
    await somebody_waits(session)
    await session.execute("SELECT 1 FROM stock_holds WHERE id = $1 FOR UPDATE", newer.hold_id)
    await session.execute("COMMIT")
    await session.close()
    async with asyncio.timeout(SOON * 10):
        outcomes = await both
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    await assert_sound(store)
