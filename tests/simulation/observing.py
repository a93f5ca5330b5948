"""A reaction to every fact, by the rules that the product's own reactions keep: a command whose key is the event's id."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.writes import Insert
from nervio.ports.bus import Event

TABLE = "CREATE TABLE simulation_seen (event_id TEXT, key TEXT, position INTEGER, n INTEGER)"

_metadata = MetaData()
_seen = Table(
    "simulation_seen",
    _metadata,
    Column("event_id", Text),
    Column("key", Text),
    Column("position", Integer),
    Column("n", Integer),
)

Seen = tuple[str, str, int, int]


def _note(batch: Batch, command: Command[Seen, bool]) -> bool:
    batch.writes.append(Insert(_seen, ("event_id", "key", "position", "n"), [command.body]))
    return True


NOTE: Operation[Seen, bool] = Operation("simulation.note", Effect.REDUCE, tuple, bool, _note)


def observe(machine: Any, box: Any) -> None:
    """Lets a process hear every event and note it once."""

    async def handle(event: Event) -> None:
        body = (event.id, event.key, event.position, event.n)
        await machine.ctx.submit(NOTE, body, event.id)

    box.subscribe("*", handle)


def all_seen(path: Path) -> bool:
    """Whether as many were noted as there are facts."""
    with closing(sqlite3.connect(path)) as raw:
        facts, seen = raw.execute(
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(DISTINCT event_id) FROM simulation_seen)"
        ).fetchone()
    return bool(facts == seen)
