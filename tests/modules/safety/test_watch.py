"""The watch keeps what is in force in memory, and holds everything for stopped once it can no longer know."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection

from nervio.db.halt import Level
from nervio.db.sqlite import READERS
from nervio.kernel.ids import new_id
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from tests.builders import Store, a_store


@dataclass
class Watched:
    """A store and a watch over it whose polling is not running: tests decide when it reads."""

    store: Store
    watch: safety.HaltWatch

    def blocked(self) -> bool:
        return self.watch.find_blocking_read(self.store.ctx.tenant_id) is not None


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with a_store(tmp_path) as store:
        watch = safety.HaltWatch(store.database, store.clock)
        await watch.refresh()
        yield Watched(store, watch)


async def test_a_watch_that_has_not_read_yet_holds_everything_for_stopped(watched: Watched) -> None:
    blind = safety.HaltWatch(watched.store.database, watched.store.clock)
    halt = blind.find_blocking_read(watched.store.ctx.tenant_id)
    assert halt is not None
    assert halt.level is Level.ALL
    assert safety.summarize(blind.in_force).active
    await blind.refresh()
    assert blind.find_blocking_read(watched.store.ctx.tenant_id) is None


async def test_what_was_read_counts_for_the_length_of_the_lease(watched: Watched) -> None:
    watched.store.clock.advance(safety.LEASE_SECONDS - 0.01)
    assert not watched.blocked()
    assert watched.watch.find_blocking_effect(watched.store.ctx.tenant_id, "sales") is None
    watched.store.clock.advance(0.02)
    assert watched.blocked()
    assert watched.watch.find_blocking_effect(watched.store.ctx.tenant_id, "sales") is not None
    await watched.watch.refresh()
    assert not watched.blocked()


async def test_the_lease_counts_from_before_the_question(watched: Watched) -> None:
    """An answer that took its time tells how things were when it was asked for."""
    clock, asked = watched.store.clock, threading.Event()

    def answered_late(_connection: Connection) -> None:
        asked.wait(10)
        clock.advance(safety.LEASE_SECONDS - 0.5)

    slow = asyncio.create_task(watched.store.database.read_reserved(answered_late))
    await asyncio.sleep(0)
    asking = asyncio.create_task(watched.watch.refresh())
    await asyncio.sleep(0)  # the watch's question stands in the queue behind the slow one
    asked.set()
    await asyncio.gather(slow, asking)
    assert not watched.blocked()
    clock.advance(0.6)
    assert watched.blocked()


async def test_only_a_stop_of_everything_forbids_reading(watched: Watched) -> None:
    ctx = watched.store.ctx
    await safety.freeze(ctx, "a part", module="sales")
    await safety.freeze(ctx, "a place", location_id=new_id())
    await safety.freeze(ctx, "writes", level="read_only")
    await watched.watch.refresh()
    assert not watched.blocked()
    assert watched.watch.find_blocking_effect(ctx.tenant_id, "sales") is not None
    await safety.freeze(ctx, "this tenant", scope=Scope.TENANT)
    await watched.watch.refresh()
    assert watched.blocked()
    assert watched.watch.find_blocking_read(new_id()) is None
    assert watched.watch.find_blocking_read(None) is None
    await safety.freeze(ctx, "everybody")
    await watched.watch.refresh()
    assert watched.watch.find_blocking_read(None) is not None


async def test_the_poll_sees_what_another_process_did(watched: Watched) -> None:
    await watched.watch.start()
    try:
        changed = asyncio.create_task(watched.watch.wait_for_change())
        await asyncio.sleep(0)
        await safety.freeze(watched.store.ctx, "from elsewhere")
        await asyncio.wait_for(changed, 4 * safety.REFRESH_SECONDS)
        assert watched.blocked()
    finally:
        await watched.watch.stop()


async def test_long_reads_do_not_blind_the_watch(watched: Watched) -> None:
    release = threading.Event()

    def long_read(_connection: Connection) -> None:
        release.wait(10)

    reads = [asyncio.create_task(watched.store.database.read(long_read)) for _ in range(2 * READERS)]
    await asyncio.sleep(0.05)
    try:
        await asyncio.wait_for(watched.watch.refresh(), 1)
        assert (await safety.get_status(watched.store.database, watched.store.clock)).active is False
    finally:
        release.set()
        await asyncio.gather(*reads)


async def test_a_store_that_does_not_answer_becomes_a_stop_and_an_answer_ends_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr("nervio.modules.safety.usecases.watching.LEASE_SECONDS", 0.1)
    hanging = asyncio.create_task(watched.store.database.read_reserved(lambda _connection: release.wait(10)))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await watched.watch.refresh()
    watched.store.clock.advance(0.2)
    assert watched.blocked()
    release.set()
    await hanging
    await watched.watch.refresh()
    assert not watched.blocked()
