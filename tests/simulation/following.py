"""The product's own runner of event handlers, in every process, over the bus of one process: it follows the outbox."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, MetaData, Table, Text

from nervio.adapters.bus.memory import MemoryBus
from nervio.db.batch import Batch, Command, Effect, Lane, Operation
from nervio.db.context import Ctx
from nervio.db.writes import Insert
from nervio.ports.bus import EVERYTHING, Event
from nervio.runtime.handlers import Handlers
from nervio.runtime.relay import follow
from nervio.runtime.work import Surroundings
from nervio.web.manifest import EventHandler
from tests.simulation.machine import Machine

if TYPE_CHECKING:
    from tests.simulation.world import World

NAME = "simulation.follow"
TABLE = "CREATE TABLE simulation_followed (event_id TEXT, key TEXT)"
ATTEMPTS, SECONDS, POLL_SECONDS = 6, 10.0, 0.5

_followed = Table("simulation_followed", MetaData(), Column("event_id", Text), Column("key", Text))


class HandlerFailed(Exception):
    """What a handler raises when luck is bad."""


def _note(batch: Batch, command: Command[tuple[str, str], bool]) -> bool:
    batch.writes.append(Insert(_followed, ("event_id", "key"), [command.body]))
    return True


NOTE: Operation[tuple[str, str], bool] = Operation("simulation.followed", Effect.REDUCE, tuple, bool, _note)


def begin(world: "World", machine: Machine) -> None:
    """Runs a handler of every event in a process."""

    async def handle(ctx: Ctx, event: Event) -> None:
        if world.faults.strikes("handler_fails"):
            raise HandlerFailed
        await ctx.submit(NOTE, (event.id, event.key), None)
        if world.faults.strikes("handler_fails_afterwards"):
            raise HandlerFailed

    def ctx_of(tenant_id: str) -> Ctx:
        return Ctx(tenant_id, "nervio", machine.database, machine.clock, lane=Lane.JOBS)

    around = Surroundings(machine.database, MemoryBus(), machine.clock, machine.name, ctx_of, ATTEMPTS, SECONDS)
    handlers = Handlers([EventHandler(NAME, (EVERYTHING,), handle)], around)
    machine.spawn(follow("handlers", handlers.run_once, asyncio.Event(), POLL_SECONDS, asyncio.Event()))


def all_followed(path: Path) -> bool:
    """Whether every fact since the handler began had its effect, or was given up and kept."""
    with closing(sqlite3.connect(path)) as raw:
        return (
            not _facts(raw) - {row[0] for row in raw.execute("SELECT event_id FROM simulation_followed")} - _dead(raw)
        )


def judge(raw: sqlite3.Connection, keys: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """(what was lost or doubled, the first key whose events came in another order); empty where all is well. `keys`:
    (event, key) of all facts in their order."""
    facts, dead = _facts(raw), _dead(raw)
    seen = raw.execute("SELECT event_id, key FROM simulation_followed ORDER BY rowid").fetchall()
    names = [event_id for event_id, _ in seen]
    lost, doubled = facts - set(names) - dead, len(names) - len(set(names))
    wrong = ""
    if lost or doubled or set(names) - facts:
        wrong = f"{len(facts)} facts, {len(names)} effects, {doubled} doubled, {len(lost)} lost, {len(dead)} given up"
    had = set(names)
    order: dict[str, list[str]] = {}
    for event_id, key in keys:
        if event_id in had:
            order.setdefault(key, []).append(event_id)
    for key in sorted(order):
        if [event_id for event_id, its in seen if its == key] != order[key]:
            return wrong, key
    return wrong, ""


def _facts(raw: sqlite3.Connection) -> set[str]:
    began = raw.execute("SELECT begins_after FROM event_handlers WHERE name = ?", (NAME,)).fetchone()
    if began is None:
        return set()
    after = "SELECT o.id FROM outbox o JOIN commits c ON c.id = o.commit_id WHERE c.position > ?"
    return {row[0] for row in raw.execute(after, began)}


def _dead(raw: sqlite3.Connection) -> set[str]:
    return {row[0] for row in raw.execute("SELECT event_id FROM dead_letters WHERE handler = ?", (NAME,))}
