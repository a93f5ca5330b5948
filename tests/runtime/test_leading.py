"""Who leads, who stands by, and what each tells of how far the work is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection

from nervio.adapters.bus.memory import MemoryBus
from nervio.db import leases
from nervio.ports.bus import Bus
from nervio.runtime import handlers, relay
from nervio.runtime.commits import RingingDatabase
from nervio.runtime.handlers import Handlers
from nervio.runtime.relay import Relay
from nervio.runtime.work import Surroundings
from tests.builders import Store, a_store
from tests.conformance.buses import a_transport
from tests.runtime.test_handlers import Counting, a_house, until

T = TypeVar("T")

SHARED = [
    pytest.param("redis", marks=pytest.mark.services("redis")),
    pytest.param("nats", marks=pytest.mark.services("nats")),
]
NAME = "test.counting"
UNSET = -1.0


class Stumbling(RingingDatabase):
    """A database that is away for the next read when told so."""

    stumbles = False

    async def read(self, query: Callable[[Connection], T]) -> T:
        """As the database does."""
        if self.stumbles:
            self.stumbles = False
            raise OSError("the store is away")
        return await super().read(query)


def handlers_of(store: Store, counting: Counting, database: RingingDatabase, bus: Bus) -> Handlers:
    """The handlers of a process, to be turned by hand."""
    around = Surroundings(
        database,
        bus,
        store.clock,
        "one",
        lambda tenant_id: replace(store.ctx, tenant_id=tenant_id),
        attempts=2,
        seconds=10.0,
    )
    return Handlers([counting.handler], around)


def told() -> float | None:
    """What is told of how far the handler is behind."""
    return REGISTRY.get_sample_value("nervio_events_handler_lag_positions", {"handler": NAME})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, so that the suite need not wait."""
    monkeypatch.setattr(handlers, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(handlers, "MARK_SECONDS", 0.02)


async def test_who_could_not_read_where_it_is_when_its_turn_came_reads_it_the_next_time(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store, a_house(store, "memory") as house:
        database = Stumbling(store.database)
        process = handlers_of(store, house.counting, database, MemoryBus())
        database.stumbles = True
        with pytest.raises(OSError, match="away"):
            await process.run_once()
        await house.sell(1)
        for _ in range(50):
            store.clock.advance(1)
            await process.run_once()
        assert len(await house.counting.counted(1)) == 1
        await process.close()


async def test_who_leads_no_more_tells_no_lag(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store, a_house(store, "memory") as house:
        process = handlers_of(store, house.counting, RingingDatabase(store.database), MemoryBus())
        await house.sell(1)
        await process.run_once()
        handlers.LAG.labels(NAME).set(7)
        store.clock.advance(60)
        await store.database.bookkeep(
            "lease", lambda c: leases.acquire(c, handlers.LEASE, "two", store.clock.now(), 100)
        )
        await process.run_once()
        assert told() == 0


@pytest.mark.parametrize("kind", SHARED)
async def test_a_quiet_restart_is_no_lag_and_neither_is_standing_by(tmp_path: Path, kind: str) -> None:
    async with a_store(tmp_path) as store, a_house(store, kind) as house:
        first = await house.start()
        await house.sell(5)
        *_, last = await house.counting.counted(5)
        await until(store, lambda c: leases.read_cursor(c, "handler:" + NAME) >= last - 1)
        await first.kill()
        # Its bus still reads for the group, so the next process stands by.
        second = await house.start()
        handlers.LAG.labels(NAME).set(7)
        await until(store, lambda _: told() == 0)
        await first.handlers._around.bus.close()
        bus = second.handlers._around.bus
        await until(store, lambda _: bus.settled(NAME) is not None)
        handlers.LAG.labels(NAME).set(UNSET)
        await until(store, lambda _: told() != UNSET)
        assert told() == 0, "nothing happened since"


@pytest.mark.services("redis")
async def test_a_relay_that_leads_no_more_tells_no_lag(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store, a_transport("redis") as transport:
        leader = Relay(store.database, transport.bus(), store.clock, "one")
        standby = Relay(store.database, transport.bus(), store.clock, "two")
        await leader.run_once()
        relay.LAG.set(7)
        await standby.run_once()
        assert REGISTRY.get_sample_value("nervio_events_lag_positions") == 0
