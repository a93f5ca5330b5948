"""One run under fire: events are told, published and handled while everything that takes part is killed again and again."""

import asyncio
import multiprocessing
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import asyncpg

from bench.events import actors
from bench.events.actors import Job
from bench.events.servers import OwnServer
from nervio.db import migrate

BETWEEN_KILLS = (0.15, 0.75)
SETTLE_SECONDS = 20.0
"""How long nothing may change before whatever is missing counts as lost."""
PEERS_SETTLE_SECONDS = 4.0
"""They have nothing that would bring it later."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what."""

    events: int
    kills: int
    seed: int

    @property
    def per_second(self) -> float:
        """So that there is something to tell as long as there are kills; restarts cost a part of the time."""
        return 1.5 * self.events / (self.kills * sum(BETWEEN_KILLS) / 2)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the events, counted in PostgreSQL."""

    told: int
    effects: int
    lost: int
    doubled: int
    disordered: int
    kills: dict[str, int]
    seconds: float


# A process forked from one that has imported everything works again within a tenth of a second: with fresh interpreters
# most kills would hit one that is still starting.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["bench.events.actors"])


class Actor:
    """A process that is started again whenever it is killed."""

    def __init__(self, role: str, job: Job, log: Path) -> None:
        self.name, self._job, self._log = role, job, log
        self._process: ForkServerProcess | None = None

    def start(self) -> None:
        """Starts it."""
        self._process = _processes.Process(target=actors.act, args=(self.name, self._job, str(self._log)))
        self._process.start()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.join(10)
            self._process.close()
            self._process = None


async def prepare(url: str, *, ours: bool) -> None:
    """The tables that a run needs, in an empty database."""
    if ours:
        await migrate.upgrade(url)
    connection = await asyncpg.connect(plain(url))
    await connection.execute("CREATE TABLE bench_facts (seq bigint PRIMARY KEY)")
    await connection.execute("CREATE TABLE bench_effects (id bigserial PRIMARY KEY, event text, key text, seq bigint)")
    await connection.close()


async def run(plan: Plan, server: OwnServer, url: str, way: str, folder: Path, note: Callable[[str], None]) -> Outcome:
    """Kills at random what takes part in `way`, lets it settle, and counts."""
    job = Job(url, server.url, plan.events, plan.per_second, way)
    roles = ("seller", "relay", "consumer") if way == "ours" else ("plain seller", "plain consumer")
    cast = [Actor(role, job, folder / f"{role}.log") for role in roles]
    victims: list[Actor | OwnServer] = [*cast, server]
    dice, killed = random.Random(plan.seed), defaultdict[str, int](int)
    began = time.monotonic()
    connection = await asyncpg.connect(plain(url))
    try:
        for actor in reversed(cast):
            actor.start()
            if actor.name == "consumer":
                # A handler begins where it is first run: what was told before is none of its business.
                await _until(connection, "SELECT count(*) FROM event_handlers")
        await _until(connection, "SELECT count(*) FROM bench_effects")
        for n in range(plan.kills):
            await asyncio.sleep(dice.uniform(*BETWEEN_KILLS))
            victim = dice.choice(victims)
            victim.kill()
            killed["server" if isinstance(victim, OwnServer) else victim.name] += 1
            victim.start()
            if (n + 1) % 50 == 0:
                note(f"{way}: {n + 1} kills, {await _count(connection)} effects")
        await _settle(connection, plan.events, SETTLE_SECONDS if way == "ours" else PEERS_SETTLE_SECONDS)
        return await count(connection, ours=way == "ours", kills=dict(killed), seconds=time.monotonic() - began)
    finally:
        for actor in cast:
            actor.kill()
        await connection.close()


async def count(connection: asyncpg.Connection, *, ours: bool, kills: dict[str, int], seconds: float) -> Outcome:
    """Each event's effects, and whether those of a key happened in order."""
    told = "SELECT (payload::json->>'seq')::bigint AS seq, id::text AS event FROM outbox"
    plainly = "SELECT seq, 'e' || seq AS event FROM bench_facts"
    facts = {row["seq"]: row["event"] for row in await connection.fetch(told if ours else plainly)}
    rows = await connection.fetch("SELECT event, key, seq FROM bench_effects ORDER BY id")
    times, last, disordered = defaultdict[str, int](int), defaultdict[str, int](lambda: -1), 0
    for row in rows:
        times[row["event"]] += 1
        disordered += row["seq"] < last[row["key"]]
        last[row["key"]] = max(last[row["key"]], row["seq"])
    lost = sum(event not in times for event in facts.values())
    doubled = sum(n - 1 for n in times.values())
    return Outcome(len(facts), len(rows), lost, doubled, disordered, kills, seconds)


async def _until(connection: asyncpg.Connection, query: str) -> None:
    """Waits until a query counts something."""
    async with asyncio.timeout(60):
        while not await connection.fetchval(query):  # noqa: ASYNC110 (another process gives no event)
            await asyncio.sleep(0.05)


async def _settle(connection: asyncpg.Connection, events: int, seconds: float) -> None:
    before, since = -1, time.monotonic()
    while time.monotonic() - since < seconds:
        found = await _count(connection)
        if found != before:
            before, since = found, time.monotonic()
        elif found >= events and time.monotonic() - since > 2.0:
            return
        await asyncio.sleep(0.1)


async def _count(connection: asyncpg.Connection) -> int:
    counted: int = await connection.fetchval("SELECT count(*) FROM bench_effects")
    return counted


def plain(url: str) -> str:
    """The address as asyncpg reads it."""
    return url.replace("+asyncpg", "")
