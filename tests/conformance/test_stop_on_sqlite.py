"""Stop means stop on SQLite: whatever writes, in this process or in another, and whoever holds the lock."""

import asyncio
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nervio.db.sqlite import LOCK_PATIENCE_SECONDS, SQLiteDatabase, StopRequest
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import ExitCode, Frozen, Pending, Thawed
from nervio.modules.stock import api as stock
from tests.builders import QUEUE_CAPACITY, Store, a_product, a_receipt, a_store
from tests.conformance.halt_writer import count_commits, issue, saturate
from tests.conformance.writers import a_writer

log = logging.getLogger(__name__)

SKU = "HOT"
CALLERS = 64
STILL_SECONDS = 2.0
ROUNDS = 10


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        await a_receipt(opened, await a_product(opened, SKU), 10**9)
        yield opened


@asynccontextmanager
async def saturated(store: Store) -> AsyncIterator[Counter[str]]:
    """Callers that fill the group commit all the while."""
    done, seen = asyncio.Event(), Counter[str]()
    work = asyncio.create_task(saturate(store.ctx, SKU, CALLERS, done, seen))
    await stock.record_document(store.ctx, "issue", issue(SKU))
    try:
        yield seen
    finally:
        done.set()
        await work


def from_outside(store: Store) -> SQLiteDatabase:
    """The file as the command line opens it, beside the server."""
    return SQLiteDatabase(Path(store.address), store.clock, QUEUE_CAPACITY)


async def commits(store: Store) -> int:
    return await store.database.read_reserved(count_commits)


async def test_nothing_commits_after_the_acknowledgement(store: Store) -> None:
    async with a_writer("saturate", store, SKU, 8) as other, saturated(store) as seen:
        running = await commits(store)
        await asyncio.sleep(0.3)
        assert await commits(store) > running, "the writers must be writing, or the rest proves nothing"

        assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
        at_acknowledgement = await commits(store)
        refused = seen["halted"]
        await asyncio.sleep(STILL_SECONDS)
        assert await commits(store) == at_acknowledgement
        assert seen["halted"] > refused, "the writers must have kept trying"

        assert isinstance(await safety.unfreeze(store.ctx, "proof over"), Thawed)
        await asyncio.sleep(0.3)
        assert await commits(store) > at_acknowledgement + 1
        assert (await other.finish())["halted"] > 0


async def test_a_stop_waits_for_a_batch_and_not_for_the_queue(store: Store) -> None:
    took = []
    async with a_writer("saturate", store, SKU, 8), saturated(store):
        for _ in range(ROUNDS):
            await asyncio.sleep(0.05)
            started = time.perf_counter()
            assert isinstance(await safety.freeze(store.ctx, "proof"), Frozen)
            took.append(time.perf_counter() - started)
            frozen = await commits(store)
            await asyncio.sleep(0.05)
            assert await commits(store) == frozen
            await safety.unfreeze(store.ctx, "proof over")
    log.info("acknowledged after at most %.1f ms (%d stops)", max(took) * 1000, len(took))
    assert max(took) < 1.0


async def test_the_command_line_stops_a_server_that_is_busy(store: Store) -> None:
    async with saturated(store):
        answer = await asyncio.to_thread(safety.stop_now, from_outside(store), "from outside", "cli")
        at_acknowledgement = await commits(store)
        assert isinstance(answer, Frozen)
        assert safety.exit_code(answer) is ExitCode.ACKNOWLEDGED
        await asyncio.sleep(0.5)
        assert await commits(store) == at_acknowledgement
        thawed = await asyncio.to_thread(safety.resume_now, from_outside(store), "from outside", "cli")
        assert isinstance(thawed, Thawed)
        assert [halt.id for halt in thawed.cleared] == [answer.halt.id]
    await stock.record_document(store.ctx, "issue", issue(SKU))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")
async def test_a_suspended_process_that_holds_the_lock_is_named_and_nothing_is_acknowledged(store: Store) -> None:
    async with a_writer("suspend", store, SKU) as suspended:
        started = time.monotonic()
        answer = await asyncio.to_thread(safety.stop_now, from_outside(store), "from outside", "cli")
        assert time.monotonic() - started < 2 * LOCK_PATIENCE_SECONDS
        assert isinstance(answer, Pending)
        assert safety.exit_code(answer) is ExitCode.PENDING
        assert answer.process_id == suspended.pid or sys.platform != "linux"
        assert not (await safety.get_status(store.database, store.clock)).active, "pending is no acknowledgement"

        suspended.resume()
        assert await suspended.hear() == {"outcome": "written"}
        assert isinstance(await safety.freeze(store.ctx, "again"), Frozen)
        with pytest.raises(NervioError) as refused:
            await stock.record_document(store.ctx, "issue", issue(SKU))
        assert refused.value.kind is Kind.HALTED


async def test_writers_yield_to_a_stop_request(store: Store) -> None:
    request = StopRequest(Path(store.address).parent)
    with request.raised():
        writing = asyncio.create_task(stock.record_document(store.ctx, "issue", issue(SKU)))
        await asyncio.sleep(0.3)
        assert not writing.done()
    await asyncio.wait_for(writing, 1)


async def test_a_stop_request_of_a_process_that_died_is_no_obstacle(store: Store) -> None:
    for age in (3600.0, -3600.0):  # left behind long ago; or just now, before the machine's clock was set back
        left = Path(store.address).parent / "stop.request"
        left.write_text("4711")
        os.utime(left, (time.time() - age,) * 2)
        await asyncio.wait_for(stock.record_document(store.ctx, "issue", issue(SKU)), 1)


async def test_stopping_where_there_is_no_database_says_so_and_makes_none(tmp_path: Path, store: Store) -> None:
    nowhere = tmp_path / "elsewhere" / "nervio.db"
    database = SQLiteDatabase(nowhere, store.clock, QUEUE_CAPACITY)
    with pytest.raises(NervioError) as refused:
        await asyncio.to_thread(safety.stop_now, database, "from outside", "cli")
    assert refused.value.kind is Kind.UNAVAILABLE
    assert not nowhere.exists()
