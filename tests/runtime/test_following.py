"""Following the order of facts: sequencer, relay, periodic work and roles, on SQLite and by several on PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nervio.adapters.bus.memory import MemoryBus
from nervio.db import leases
from nervio.db.context import Ctx
from nervio.events.sales import SALE_RECORDED
from nervio.kernel.errors import NervioError
from nervio.ports.bus import Event
from nervio.runtime.commits import RingingDatabase
from nervio.runtime.periodics import PacedWork, PeriodicRunner
from nervio.runtime.relay import CURSOR, Relay, Sequencer, follow
from nervio.runtime.roles import ROLES, check_roles
from nervio.runtime.wiring import build
from nervio.web.manifest import Periodic
from tests.builders import Store, a_postgres_store, a_sale, a_store
from tests.runtime.program import a_program, settings_in

PATIENCE_SECONDS = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that will be so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)


def a_listener(bus: MemoryBus) -> list[Event]:
    """The sales that reach a bus from now on."""
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)

    bus.subscribe(SALE_RECORDED, hear)
    return heard


async def test_a_relay_delivers_every_sale_once_and_in_order(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        for _ in range(3):
            await a_sale(store)
        bus = MemoryBus()
        heard = a_listener(bus)
        relay = Relay(store.database, bus, store.clock, "one")
        while await relay.run_once():
            pass
        await a_sale(store)
        await relay.run_once()
        places = [(event.position, event.n) for event in heard]
        assert len(places) == 4
        assert places == sorted(set(places))
        await relay.close()
        assert await store.database.read(lambda c: leases.read_cursor(c, CURSOR)) >= places[-1][0]
        # Another process goes on where this one stopped.
        other = MemoryBus()
        late = a_listener(other)
        await Relay(store.database, other, store.clock, "two").run_once()
        assert late == []


async def test_a_failing_handler_keeps_the_relay_at_its_event(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        bus, tries = MemoryBus(), 0

        async def stumble(_event: Event) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise OSError("the wire is down")

        bus.subscribe(SALE_RECORDED, stumble)
        relay = Relay(store.database, bus, store.clock, "one")
        await a_sale(store)
        with pytest.raises(OSError, match="wire"):
            await relay.run_once()
        await relay.run_once()
        assert tries == 2


async def test_one_relay_leads_and_the_next_takes_over_when_it_dies(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        first, second = MemoryBus(), MemoryBus()
        leader = Relay(store.database, first, store.clock, "one")
        waiting = Relay(store.database, second, store.clock, "two")
        await leader.run_once()
        await waiting.run_once()
        heard = a_listener(second)
        await a_sale(store)
        await leader.run_once()
        # Not leading, it still feeds the streams of its own process, but does not move the cursor.
        await waiting.run_once()
        assert len(heard) == 1
        await a_sale(store)
        store.clock.advance(60)
        await waiting.run_once()
        assert len(heard) >= 2
        store.clock.advance(1)
        with contextlib.suppress(NervioError):
            await leader.run_once()
        holder = await store.database.bookkeep(
            "lease", lambda c: leases.acquire(c, "relay", "two", store.clock.now(), 10)
        )
        assert holder is not None


async def test_periodic_work_is_done_by_one_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        done: list[str] = []

        def work(name: str) -> PacedWork:
            async def run(_ctx: Ctx) -> None:
                done.append(name)
                if len(done) == 1:
                    raise OSError("once")

            return PacedWork(Periodic("test.work", "scheduler", 0.01, run))

        stopping = asyncio.Event()
        runners = [PeriodicRunner(work(name), store.ctx, name) for name in ("one", "two")]
        running = [asyncio.create_task(runner.run(stopping)) for runner in runners]
        await until(lambda: len(done) >= 4)
        stopping.set()
        await asyncio.gather(*running)
        assert len(set(done)) == 1
        # The lease was let go, so the next process need not wait for its end.
        token = await store.database.bookkeep(
            "lease", lambda c: leases.acquire(c, "periodic:test.work", "three", store.clock.now(), 10)
        )
        assert token is not None


async def test_following_ends_between_two_rounds() -> None:
    stopping, wake, rounds = asyncio.Event(), asyncio.Event(), 0

    async def work() -> bool:
        nonlocal rounds
        rounds += 1
        await asyncio.sleep(0)
        return rounds < 3

    following = asyncio.create_task(follow("test", work, wake, 60, stopping))
    await until(lambda: rounds == 3)
    wake.set()
    await until(lambda: rounds == 4)
    stopping.set()
    await asyncio.wait_for(following, 5)
    assert rounds == 4


async def test_a_started_program_hears_of_its_own_sales_and_seals_them(tmp_path: Path) -> None:
    async with a_program(tmp_path, roles=tuple(ROLES), ledger={"seal_seconds": 0.1}) as program:
        assert isinstance(program.app.bus, MemoryBus)
        heard = a_listener(program.app.bus)
        headers = await program.login()
        post = program.client.post
        await post("/api/locations", json={"code": "MAIN", "name": "Main"}, headers=headers)
        product = {"sku": "A-1", "name": "Yerba", "unit_price_minor": 500, "tracked": False}
        await post("/api/products", json={"products": [product]}, headers=headers)
        sold = await post("/test/simulate-sale", json={"sku": "A-1"}, headers=headers)
        assert sold.status_code == 200, sold.text
        await until(lambda: len(heard) == 1)
        assert heard[0].payload["ticket_id"] == sold.json()["ticket_id"]
        await until(program.app.sealing.heads_path.exists)
        assert await program.app.seal_and_verify()


def test_roles_come_in_the_order_of_the_table() -> None:
    assert check_roles(["relay", "web"]) == ("web", "relay")
    with pytest.raises(NervioError, match="baker"):
        check_roles(["baker"])


@contextlib.asynccontextmanager
async def a_numbered_store(postgres_url: str) -> AsyncIterator[tuple[Store, RingingDatabase]]:
    """A PostgreSQL store whose commits ring."""
    async with a_postgres_store(postgres_url) as store:
        database = RingingDatabase(store.database)
        yield replace(store, ctx=replace(store.ctx, database=database)), database


@pytest.mark.services("postgres")
async def test_on_postgresql_two_sequencers_and_two_relays_deliver_all_in_one_order(postgres_url: str) -> None:
    async with a_numbered_store(postgres_url) as (store, database):
        stopping = asyncio.Event()
        buses = [MemoryBus(), MemoryBus()]
        heard = [a_listener(bus) for bus in buses]
        running = []
        for n, bus in enumerate(buses):
            sequencer = Sequencer(database, database.numbered.ring)
            assert await sequencer.is_needed()
            relay = Relay(database, bus, store.clock, f"process-{n}")
            running += [
                asyncio.create_task(
                    follow("sequencer", sequencer.run_once, database.committed.listener(), 0.1, stopping)
                ),
                asyncio.create_task(follow("relay", relay.run_once, database.numbered.listener(), 0.1, stopping)),
            ]
        await asyncio.sleep(0.3)
        await asyncio.gather(*(a_sale(store) for _ in range(25)))
        await until(lambda: all(len(events) >= 25 for events in heard))
        stopping.set()
        await asyncio.gather(*running)
        for events in heard:
            places = [(event.position, event.n) for event in events]
            assert places == sorted(set(places))
            assert len(places) == 25


async def test_a_program_that_starts_alone_waits_for_no_lease_of_the_one_before(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        # Power lost at three o'clock, and a clock without a battery says ten past two.
        late = program.app.clock.now() + 3_000_000_000
        await program.app.database.bookkeep("lease", lambda c: leases.acquire(c, "relay", "gone", late, 10))
    app = build(settings_in(tmp_path))
    async with app.started(("relay",)):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                held = await app.database.read(lambda c: leases.find_holder(c, "relay"))
                assert held is not None
                if (held.token, held.expires_at < late) == (2, True):
                    break
                await asyncio.sleep(0.02)
