"""A process that lost the store holds everything for stopped within the lease, and the latch outlives everything."""

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

import pytest

from bench.halt import run as bench
from bench.halt.proxy import Line
from nervio.adapters.clock import SystemClock
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.stock import api as stock
from tests.builders import QUEUE_CAPACITY, a_postgres_store, a_product, a_receipt
from tests.conformance.halt_writer import issue

pytestmark = pytest.mark.services("postgres")

SLACK_SECONDS = 0.4
"""For a busy machine: how late a process may say what it holds."""


async def test_a_line_that_hangs_freezes_the_process_within_its_lease(postgres_url: str) -> None:
    """Nothing is closed and nothing answers: what a pulled cable looks like from here."""
    async with a_postgres_store(postgres_url) as store:
        parts = urlsplit(store.address)
        line = Line(parts.hostname or "127.0.0.1", parts.port or 5432)
        port = await line.start()
        user = parts.netloc.rpartition("@")[0]
        through = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
        clock = SystemClock()
        database = PostgreSQLDatabase(through, clock, QUEUE_CAPACITY)
        await database.start()
        watch = safety.HaltWatch(database, clock)
        await watch.start()
        assert watch.find_blocking_read(store.ctx.tenant_id) is None
        line.hang()
        cut = time.monotonic()
        async with asyncio.timeout(10):
            while watch.find_blocking_read(store.ctx.tenant_id) is None:  # noqa: ASYNC110 (a lease runs out silently)
                await asyncio.sleep(0.002)
        assert time.monotonic() - cut <= safety.LEASE_SECONDS + SLACK_SECONDS
        assert watch.find_blocking_effect(store.ctx.tenant_id, "sales") is not None
        assert safety.summarize(watch.in_force).active
        await line.close()  # or what waits for an answer would be waited for
        await watch.stop()
        await database.close()


async def test_a_stop_before_the_processes_start_holds_in_all_of_them(postgres_url: str) -> None:
    """A restart keeps the latch: not one write of processes that were not there when it was stopped."""
    async with a_postgres_store(postgres_url) as store:
        await a_receipt(store, await a_product(store, bench.SKU), 1000)
        await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
        again = PostgreSQLDatabase(store.address, SystemClock(), QUEUE_CAPACITY)
        await again.start()
        try:
            ctx = type(store.ctx)(store.ctx.tenant_id, "after", again, SystemClock())
            with pytest.raises(NervioError) as refused:
                await stock.record_document(ctx, "issue", issue(bench.SKU))
            assert refused.value.kind is Kind.HALTED
        finally:
            await again.close()


@pytest.mark.slow
async def test_four_processes_stop_and_nothing_is_written_after_the_acknowledgement() -> None:
    """The bench's own rounds, few of them and without the peer."""
    async with bench.a_shop() as shop:
        measured = await bench.ours(shop, 3)
        assert measured.after == [0, 0, 0]
        assert max(measured.freeze_ms) < 2000
        assert await bench.store_lost(shop) <= (safety.LEASE_SECONDS + SLACK_SECONDS) * 1000
