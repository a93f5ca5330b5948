"""Connections to PostgreSQL that break at any moment: what was acknowledged is there, and nothing is there twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog.contracts import Product
from nervio.modules.sales import api as sales
from tests.builders import Store, a_postgres_store, a_receipt, a_sale_of, a_stocked_product, assert_sound, level_of

CALLERS, SALES = 12, 25
UNITS = 10_000

TERMINATE = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'nervio'"
)


@asynccontextmanager
async def breaking_connections(store: Store, seed: int, answered: list[Kind | None]) -> AsyncIterator[list[int]]:
    """Terminates every backend of the store again and again, a random moment after a few more callers were answered (so
    that there is progress on a slow machine too); the list tells how many went each time."""
    engine = create_async_engine(store.address, isolation_level="AUTOCOMMIT")
    dice = random.Random(seed)
    broken: list[int] = []

    async def break_them() -> None:
        async with engine.connect() as connection:
            while not ending.is_set():
                enough = len(answered) + dice.randrange(1, 2 * CALLERS)
                while len(answered) < enough and not ending.is_set():  # noqa: ASYNC110 (only the random moment after it matters)
                    await asyncio.sleep(0.002)
                await asyncio.sleep(dice.uniform(0, 0.02))
                broken.append((await connection.execute(TERMINATE)).scalar_one())

    ending = asyncio.Event()
    task = asyncio.create_task(break_them())
    try:
        yield broken
    finally:
        ending.set()
        await task
        await engine.dispose()


async def sell(store: Store, product: Product, key: str | None, answered: list[Kind | None]) -> Kind | None:
    """One sale: None when it was acknowledged, else the kind of the refusal."""
    verdict = None
    try:
        await sales.record_sale(store.ctx, a_sale_of((product, 1)), key)
    except NervioError as refusal:
        verdict = refusal.kind
    answered.append(verdict)
    return verdict


@pytest.mark.services("postgres")
@pytest.mark.parametrize("seed", [1, 2])
async def test_sales_with_keys_are_written_once_each(postgres_url: str, seed: int) -> None:
    async with a_postgres_store(postgres_url) as store:
        product = await a_stocked_product(store, UNITS)

        answered: list[Kind | None] = []

        async def call(caller: int) -> None:
            for n in range(SALES):
                while await sell(store, product, f"{caller}-{n}", answered) is not None:
                    pass

        async with breaking_connections(store, seed, answered) as broken:
            await asyncio.gather(*(call(caller) for caller in range(CALLERS)))
        assert sum(broken) > 0
        assert set(answered) <= {None, Kind.UNAVAILABLE}
        assert await sales.count_tickets(store.ctx) == (CALLERS * SALES, CALLERS * SALES)
        assert await level_of(store, product) == (UNITS - CALLERS * SALES, 0)
        await assert_sound(store)


@pytest.mark.services("postgres")
async def test_sales_without_keys_are_never_written_twice_for_one_answer(postgres_url: str) -> None:
    """Without a key nobody can ask whether a commit happened, so nothing that may be written is sent again."""
    async with a_postgres_store(postgres_url) as store:
        product = await a_stocked_product(store, UNITS)
        answered: list[Kind | None] = []

        async def call() -> None:
            for _ in range(SALES):
                await sell(store, product, None, answered)

        async with breaking_connections(store, 3, answered) as broken:
            await asyncio.gather(*(call() for _ in range(CALLERS)))
        assert sum(broken) > 0
        tickets, _ = await sales.count_tickets(store.ctx)
        assert set(answered) <= {None, Kind.UNAVAILABLE}
        assert answered.count(None) <= tickets <= len(answered)
        assert await level_of(store, product) == (UNITS - tickets, 0)
        await assert_sound(store)


@pytest.mark.services("postgres")
async def test_the_store_writes_again_after_every_connection_was_lost_while_idle(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        product = await a_stocked_product(store, 10)
        engine = create_async_engine(store.address, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for _ in range(3):
                assert (await connection.execute(TERMINATE)).scalar_one() > 0
                await a_receipt(store, product, 1)
        await engine.dispose()
        assert await level_of(store, product) == (13, 0)
