"""A process with one handler that dies of one event: not by an exception, but as a segfault or the killer of a full memory
would have it."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from nervio.adapters.bus import nats as nats_bus
from nervio.adapters.bus import redis as redis_bus
from nervio.adapters.bus.memory import MemoryBus
from nervio.adapters.clock import SystemClock
from nervio.db import dead_letters
from nervio.db.batch import Batch, Command, Effect, Lane, Operation
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.sqlite import SQLiteDatabase
from nervio.db.tables import cursors
from nervio.db.writes import Insert
from nervio.events.sales import SALE_RECORDED
from nervio.kernel.ids import new_id
from nervio.ports.bus import Bus, Event
from nervio.runtime import handlers, relay, replays
from nervio.web.manifest import EventHandler
from tests.builders import QUEUE_CAPACITY

NAME = "test.deadly"
DEAD = 66
"""The exit code of one that died of its event."""
LEASE_SECONDS = 1.0
ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is told."""

    path: Path
    bus_url: str
    bus_name: str
    deadly: int
    """The position of the event that kills."""
    sales: int


@dataclass(frozen=True, slots=True)
class Mark:
    """An effect to write down."""

    event_id: str
    position: int


def _mark(batch: Batch, command: Command[Mark, int]) -> int:
    name = f"effect:{command.body.event_id}"
    batch.writes.append(Insert(cursors, ("name", "position", "token"), [(name, command.body.position, 0)]))
    return command.body.position


MARK = Operation("test.mark", Effect.INCREASE, Mark, int, _mark)


def count_effects(connection: Connection) -> int:
    """How many events had their effect."""
    return connection.execute(select(func.count()).where(cursors.c.name.like("effect:%"))).scalar() or 0


def make_handlers(database: Database, bus: Bus, deadly: int) -> handlers.Handlers:
    """The handlers of a process."""
    clock = SystemClock()

    async def handle(ctx: Ctx, event: Event) -> None:
        if event.position == deadly:
            os._exit(DEAD)
        await ctx.submit(MARK, Mark(event.id, event.position), None)

    around = handlers.Surroundings(
        database,
        bus,
        clock,
        new_id(),
        lambda tenant_id: Ctx(tenant_id, "test", database, clock, None, Lane.JOBS),
        attempts=ATTEMPTS,
        seconds=10.0,
    )
    return handlers.Handlers([EventHandler(NAME, (SALE_RECORDED,), handle)], around)


def live(job: Job) -> None:
    """Works until all is handled or given up, or it dies."""
    relay.LEASE_SECONDS = handlers.LEASE_SECONDS = LEASE_SECONDS
    redis_bus.LEASE_SECONDS = nats_bus.LEASE_SECONDS = LEASE_SECONDS
    nats_bus.RENEW_SECONDS, nats_bus.TEND_SECONDS = LEASE_SECONDS / 4, 0.1
    handlers.MARK_SECONDS = handlers.LOOK_SECONDS = replays.LOOK_SECONDS = 0.05
    asyncio.run(_live(job))


def _bus(job: Job) -> Bus:
    if not job.bus_url:
        return MemoryBus()
    make = redis_bus.RedisBus if job.bus_url.startswith("redis") else nats_bus.NatsBus
    return make(job.bus_url, job.bus_name, 3600)


async def _live(job: Job) -> None:
    database = SQLiteDatabase(job.path, SystemClock(), QUEUE_CAPACITY)
    await database.start()
    bus, stopping = _bus(job), asyncio.Event()
    leader = relay.Relay(database, bus, SystemClock(), new_id())
    ours = make_handlers(database, bus, job.deadly)

    def is_done(connection: Connection) -> bool:
        letters = dead_letters.list_letters(connection, None)
        return count_effects(connection) == job.sales - 1 and [letter.asked_by for letter in letters] == [None]

    async def watch() -> None:
        while not await database.read(is_done):  # noqa: ASYNC110 (the store gives no event)
            await asyncio.sleep(0.02)
        stopping.set()

    await asyncio.gather(
        relay.follow("relay", leader.run_once, asyncio.Event(), 0.05, stopping),
        handlers.run(ours, asyncio.Event(), stopping),
        watch(),
    )
    await bus.close()
    await database.close()
