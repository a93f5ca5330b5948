"""Stop means stop on PostgreSQL: many processes, one of them suspended, pools and connections used up."""

import asyncio
import contextlib
import logging
import secrets
import sys
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from nervio.db.postgresql import FREEZE_GRACE_SECONDS, READERS, PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import ExitCode, Frozen, Thawed
from nervio.modules.stock import api as stock
from tests.builders import QUEUE_CAPACITY, Store, a_postgres_store, a_product, a_receipt
from tests.conformance.halt_writer import count_commits, issue
from tests.conformance.writers import WriterProcess, a_writer

pytestmark = pytest.mark.services("postgres")

log = logging.getLogger(__name__)

SKU = "HOT"
CALLERS = 32
PROCESSES = 3
STILL_SECONDS = 2.0
ROUNDS = 8
CONNECTIONS = 12


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    async with a_postgres_store(postgres_url) as opened:
        await a_receipt(opened, await a_product(opened, SKU), 10**9)
        yield opened


@contextlib.asynccontextmanager
async def writing_processes(store: Store) -> AsyncIterator[list[WriterProcess]]:
    """Processes that write as fast as they can, all on one SKU."""
    async with contextlib.AsyncExitStack() as stack:
        started = (stack.enter_async_context(a_writer("saturate", store, SKU, CALLERS)) for _ in range(PROCESSES))
        yield await asyncio.gather(*started)


async def commits(store: Store) -> int:
    return await store.database.read_reserved(count_commits)


async def assert_halted(store: Store) -> None:
    with pytest.raises(NervioError) as refused:
        await stock.record_document(store.ctx, "issue", issue(SKU))
    assert refused.value.kind is Kind.HALTED


async def test_nothing_commits_after_the_acknowledgement(store: Store) -> None:
    took = []
    async with writing_processes(store) as writers:
        for last in (False,) * (ROUNDS - 1) + (True,):
            running = await commits(store)
            await asyncio.sleep(0.1)
            assert await commits(store) > running, "the writers must be writing, or the rest proves nothing"
            started = time.perf_counter()
            assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
            took.append(time.perf_counter() - started)
            at_acknowledgement = await commits(store)
            await asyncio.sleep(STILL_SECONDS if last else 0.03)
            assert await commits(store) == at_acknowledgement
            assert isinstance(await safety.unfreeze(store.ctx, "proof over"), Thawed)
        for writer in writers:
            counted = await writer.finish()
            assert counted["committed"] > 0
            assert counted["halted"] > 0
    log.info("acknowledged after at most %.1f ms (%d stops)", max(took) * 1000, len(took))
    assert max(took) < 2 * FREEZE_GRACE_SECONDS, "busy writers must let a stop through by themselves"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")
async def test_a_suspended_writer_loses_its_transaction(store: Store) -> None:
    async with a_writer("suspend", store, SKU) as suspended:
        before = await commits(store)
        started = time.monotonic()
        assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
        assert FREEZE_GRACE_SECONDS <= time.monotonic() - started < 4
        assert await commits(store) == before + 1  # the stop's own
        suspended.resume()
        assert await suspended.hear() == {"outcome": "halted"}
        assert await commits(store) == before + 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")
async def test_two_stops_at_once_behind_a_suspended_writer_are_one_stop(store: Store) -> None:
    other = PostgreSQLDatabase(store.address, store.clock, QUEUE_CAPACITY)
    async with a_writer("suspend", store, SKU):
        here, there = await asyncio.gather(
            safety.freeze(store.ctx, "proof"), asyncio.to_thread(safety.stop_now, other, "proof", "cli")
        )
    assert isinstance(here, Frozen)
    assert isinstance(there, Frozen)
    assert here.halt.id == there.halt.id
    assert sorted((here.already, there.already)) == [False, True]


async def test_reads_that_use_up_the_pool_do_not_delay_a_stop(store: Store) -> None:
    def long_read(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(2)")

    reads = [asyncio.create_task(store.database.read(long_read)) for _ in range(2 * READERS)]
    watch = safety.HaltWatch(store.database, store.clock)
    await watch.start()
    await asyncio.sleep(0.2)
    started = time.monotonic()
    assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
    await assert_halted(store)
    await watch.refresh()
    assert watch.find_blocking_read(store.ctx.tenant_id) is not None
    assert time.monotonic() - started < 1
    assert not any(read.done() for read in reads)
    await watch.stop()
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)


async def test_a_stop_needs_no_new_connection(store: Store) -> None:
    """A role with a limit of its own stands for a server whose max_connections are used up."""
    role = f"nervio_test_{secrets.token_hex(6)}"
    address = make_url(store.address)
    owner = await asyncpg.connect(address.set(drivername="postgresql").render_as_string(hide_password=False))
    await owner.execute(
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT {CONNECTIONS}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    )
    crowd: list[asyncpg.Connection] = []
    limited = address.set(username=role)
    database = PostgreSQLDatabase(limited.render_as_string(hide_password=False), store.clock, QUEUE_CAPACITY)
    try:
        await database.start()
        plain = limited.set(drivername="postgresql").render_as_string(hide_password=False)
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while len(crowd) < CONNECTIONS:
                crowd.append(await asyncpg.connect(plain))
        assert len(crowd) < CONNECTIONS, "the limit must be reached, or the rest proves nothing"
        started = time.monotonic()
        ctx = store.ctx
        answer = await safety.freeze(type(ctx)(ctx.tenant_id, ctx.actor_id, database, ctx.clock), "proof")
        assert isinstance(answer, Frozen)
        assert time.monotonic() - started < 1
        await assert_halted(store)
    finally:
        for connection in crowd:
            await connection.close()
        await database.close()
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await owner.close()


async def test_a_stop_outlives_the_connection_that_was_kept_for_it(store: Store) -> None:
    address = make_url(store.address).set(drivername="postgresql").render_as_string(hide_password=False)
    killer = await asyncpg.connect(address)
    await killer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await killer.close()
    assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
    await assert_halted(store)


async def test_a_caller_that_gave_up_leaves_a_stop_that_takes_effect(store: Store) -> None:
    asked = asyncio.create_task(safety.freeze(store.ctx, "proof"))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
    await assert_halted(store)


async def test_the_command_line_stops_and_resumes_without_the_server(store: Store) -> None:
    def outside() -> PostgreSQLDatabase:
        return PostgreSQLDatabase(store.address, store.clock, QUEUE_CAPACITY)

    stopped = await asyncio.to_thread(safety.stop_now, outside(), "from outside", "cli")
    assert safety.exit_code(stopped) is ExitCode.ACKNOWLEDGED
    await assert_halted(store)
    resumed = await asyncio.to_thread(safety.resume_now, outside(), "from outside", "cli")
    assert isinstance(resumed, Thawed)
    assert len(resumed.cleared) == 1
    await stock.record_document(store.ctx, "issue", issue(SKU))


async def test_stopping_a_server_that_is_not_there_says_so(store: Store, free_port: int) -> None:
    nowhere = make_url(store.address).set(port=free_port).render_as_string(hide_password=False)
    database = PostgreSQLDatabase(nowhere, store.clock, QUEUE_CAPACITY)
    with pytest.raises(NervioError) as refused:
        await asyncio.to_thread(safety.stop_now, database, "from outside", "cli")
    assert refused.value.kind is Kind.UNAVAILABLE


async def test_other_processes_hear_of_a_stop_at_once(store: Store) -> None:
    watch = safety.HaltWatch(store.database, store.clock)
    await watch.start()
    assert watch.find_blocking_read(store.ctx.tenant_id) is None
    changed = asyncio.create_task(watch.wait_for_change())
    await asyncio.sleep(0.05)
    other = PostgreSQLDatabase(store.address, store.clock, QUEUE_CAPACITY)
    await asyncio.to_thread(safety.stop_now, other, "from outside", "cli")
    await asyncio.wait_for(changed, 2)
    assert watch.find_blocking_read(store.ctx.tenant_id) is not None
    await watch.stop()
