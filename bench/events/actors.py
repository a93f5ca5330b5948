"""The processes that are killed. Each can be started again at any moment."""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text
from sqlalchemy import text as sql

from nervio.adapters.bus import nats as nats_bus
from nervio.adapters.bus import redis as redis_bus
from nervio.adapters.clock import SystemClock
from nervio.db.batch import Batch, Command, Effect, Lane, Operation
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.writes import Insert
from nervio.kernel.ids import new_id
from nervio.ports.bus import Bus, Event
from nervio.runtime import handlers, relay
from nervio.runtime.commits import RingingDatabase
from nervio.web.manifest import EventHandler

TENANT = "01980000-0000-7000-8000-000000000001"
TOLD = "told.v1"
KEYS = 40
CHUNK = 10
QUEUE_CAPACITY = 10_000
RESENT = 200
"""How many commands a new seller sends again: it cannot know which of the last ones were committed."""
LEASE_SECONDS = 1.0
"""A tenth of what Nervio uses, so that somebody is at work again when the next kill comes."""

_effects = Table("bench_effects", MetaData(), Column("event", Text), Column("key", Text), Column("seq", BigInteger))


@dataclass(frozen=True, slots=True)
class Job:
    """What an actor is told."""

    database_url: str
    bus_url: str
    total: int
    per_second: float
    way: str = "ours"


@dataclass(frozen=True, slots=True)
class Tell:
    """A deed of which others hear."""

    seq: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The effect of one event."""

    event_id: str
    key: str
    seq: int


def _tell(batch: Batch, command: Command[Tell, int]) -> int:
    seq = command.body.seq
    batch.emit(command.tenant_id, TOLD, f"key-{seq % KEYS}", {"seq": seq})
    return seq


def _mark(batch: Batch, command: Command[Mark, int]) -> int:
    # No unique key: a second effect would stand there to be counted.
    body = command.body
    batch.writes.append(Insert(_effects, ("event", "key", "seq"), [(body.event_id, body.key, body.seq)]))
    return body.seq


TELL = Operation("bench.tell", Effect.INCREASE, Tell, int, _tell)
MARK = Operation("bench.mark", Effect.INCREASE, Mark, int, _mark)


def make_bus(url: str) -> Bus:
    """Nervio's own, as wiring makes it."""
    if url.startswith("redis"):
        return redis_bus.RedisBus(url, "bench", 3600)
    return nats_bus.NatsBus(url, "bench", 3600)


async def sell(job: Job) -> None:
    """Commits deeds, each under a key of its own, from where the one before was killed."""
    async with _database(job) as database:

        def newest(connection: Connection) -> int:
            found = connection.execute(sql("SELECT max((payload::json->>'seq')::bigint) FROM outbox")).scalar()
            return -1 if found is None else int(found)

        seq = max(0, await database.read(newest) - RESENT)
        while seq < job.total:
            part = range(seq, min(seq + CHUNK, job.total))
            commands = [Command(TELL, TENANT, "bench", f"told-{n}", Tell(n)) for n in part]
            outcomes = await database.submit_all(commands)
            if any(isinstance(outcome, BaseException) for outcome in outcomes):
                await asyncio.sleep(0.1)
                continue
            seq = part[-1] + 1
            await asyncio.sleep(CHUNK / job.per_second)
        await asyncio.Event().wait()


async def relay_on(job: Job) -> None:
    """Gives positions and publishes."""
    async with _database(job) as database:
        ringing, clock, stopping = RingingDatabase(database), SystemClock(), asyncio.Event()
        sequencer = relay.Sequencer(ringing, ringing.numbered.ring)
        leader = relay.Relay(ringing, make_bus(job.bus_url), clock, new_id())
        await asyncio.gather(
            relay.follow("sequencer", sequencer.run_once, asyncio.Event(), 0.02, stopping),
            relay.follow("relay", leader.run_once, ringing.numbered.listener(), 0.05, stopping),
        )


async def consume(job: Job) -> None:
    """Runs one handler whose effect is a row."""
    async with _database(job) as database:

        async def handle(ctx: Ctx, event: Event) -> None:
            await ctx.submit(MARK, Mark(event.id, event.key, event.payload["seq"]), None)

        ringing, clock = RingingDatabase(database), SystemClock()
        around = handlers.Surroundings(
            ringing,
            make_bus(job.bus_url),
            clock,
            new_id(),
            lambda tenant_id: Ctx(tenant_id, "bench", ringing, clock, None, Lane.JOBS),
            attempts=5,
            seconds=30.0,
        )
        ours = handlers.Handlers([EventHandler("bench.effects", (TOLD,), handle)], around)
        await handlers.run(ours, asyncio.Event(), asyncio.Event())


@contextlib.asynccontextmanager
async def _database(job: Job) -> Any:
    database = PostgreSQLDatabase(job.database_url, SystemClock(), QUEUE_CAPACITY)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def impatient() -> None:
    """Shorter leases and pauses, see `LEASE_SECONDS`."""
    relay.LEASE_SECONDS = handlers.LEASE_SECONDS = LEASE_SECONDS
    redis_bus.LEASE_SECONDS = nats_bus.LEASE_SECONDS = LEASE_SECONDS
    nats_bus.RENEW_SECONDS = LEASE_SECONDS / 4
    nats_bus.TEND_SECONDS = 0.1
    relay.FIRST_PAUSE_SECONDS = redis_bus.FIRST_PAUSE_SECONDS = nats_bus.FIRST_PAUSE_SECONDS = 0.1
    relay.LONGEST_PAUSE_SECONDS = redis_bus.LONGEST_PAUSE_SECONDS = nats_bus.LONGEST_PAUSE_SECONDS = 0.4


# -- the peers: commit, then publish; hear, then write ------------------------------------------------------------------


async def sell_plainly(job: Job) -> None:
    """Commits and then publishes, as code without an outbox does."""
    database = await asyncpg.connect(job.database_url.replace("+asyncpg", ""))
    publish = await _publisher(job)
    seq = await database.fetchval("SELECT coalesce(max(seq) + 1, 0) FROM bench_facts")
    while seq < job.total:
        part = range(seq, min(seq + CHUNK, job.total))
        await database.executemany("INSERT INTO bench_facts VALUES ($1)", [(n,) for n in part])
        for n in part:
            try:
                await publish(json.dumps({"event": f"e{n}", "key": f"key-{n % KEYS}", "seq": n}))
            except Exception:  # noqa: BLE001 (the deed is done; who publishes after it has nothing to undo it with)
                publish = await _publisher(job)
        seq = part[-1] + 1
        await asyncio.sleep(CHUNK / job.per_second)
    await asyncio.Event().wait()


async def consume_plainly(job: Job) -> None:
    """Writes the effect of whatever it hears."""
    database = await asyncpg.connect(job.database_url.replace("+asyncpg", ""))

    async def effect(body: str) -> None:
        event = json.loads(body)
        await database.execute(
            "INSERT INTO bench_effects (event, key, seq) VALUES ($1, $2, $3)",
            event["event"],
            event["key"],
            event["seq"],
        )

    while True:
        with contextlib.suppress(Exception):  # the server was killed: listen again
            await _listen(job, effect)
        await asyncio.sleep(0.05)


async def _publisher(job: Job) -> Callable[[str], Awaitable[object]]:
    while True:
        try:
            if job.way == "nats core":
                from nats.aio.client import Client

                client = Client()
                await client.connect(job.bus_url, connect_timeout=1, max_reconnect_attempts=-1, error_cb=_quiet)
                return lambda body: client.publish("bench", body.encode())
            redis = redis_bus.connect(job.bus_url)
            await redis.ping()
            if job.way == "redis pub/sub":
                return lambda body: redis.publish("bench", body)
            return lambda body: redis.xadd("bench", {"body": body})
        except Exception:  # noqa: BLE001 (it was killed and comes back)
            await asyncio.sleep(0.05)


async def _listen(job: Job, effect: Callable[[str], Awaitable[None]]) -> None:
    if job.way == "nats core":
        from nats.aio.client import Client

        client = Client()
        await client.connect(job.bus_url, connect_timeout=1, max_reconnect_attempts=-1, error_cb=_quiet)
        subscription = await client.subscribe("bench")
        async for message in subscription.messages:
            await effect(message.data.decode())
        return
    redis = redis_bus.connect(job.bus_url, 10.0)
    if job.way == "redis pub/sub":
        async with redis.pubsub() as channel:
            await channel.subscribe("bench")
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=1.0)
                if message is not None:
                    await effect(message["data"])
    last = "$"
    while True:
        found: Any = await redis.xread({"bench": last}, count=100, block=1000)
        streams = found.values() if isinstance(found, dict) else [found[0][1]] if found else []
        for entries in streams:
            for entry_id, fields in entries[0] if isinstance(found, dict) else entries:
                await effect(fields["body"])
                last = entry_id


async def _quiet(_error: Exception) -> None:
    """The server is killed now and then."""


ROLES = {
    "seller": sell,
    "relay": relay_on,
    "consumer": consume,
    "plain seller": sell_plainly,
    "plain consumer": consume_plainly,
}


def act(role: str, job: Job, log: str) -> None:
    """What the process does until it is killed; what it says goes to the log."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    impatient()
    asyncio.run(ROLES[role](job))
