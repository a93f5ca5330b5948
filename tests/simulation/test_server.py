"""The simulated server sees what PostgreSQL would."""

import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.util import greenlet_spawn

from nervio.db.driver import compiled
from tests.simulation import speaking
from tests.simulation.faults import Faults
from tests.simulation.seeded import SeededLoop
from tests.simulation.server import SimulatedServer

ROWS = Table("simulation_rows", MetaData(), Column("id", Integer, primary_key=True))
THERE = [(1,), (2,), (3,), (4,)]


def read_while_another_comes(seed: int, folder: Path) -> tuple[list[Any], list[Any], bool]:
    """The rows that a locking read gives, those of them that nobody has locked, and whether a fifth came meanwhile."""
    path = folder / f"{seed}.db"
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    raw.executescript("PRAGMA journal_mode = WAL; CREATE TABLE simulation_rows (id INTEGER PRIMARY KEY)")
    raw.executemany("INSERT INTO simulation_rows VALUES (?)", THERE)
    loop = SeededLoop(Random(seed))
    server = SimulatedServer(path, loop, Faults(Random(seed), 0.0))
    statement = speaking.DIALECT.lock(select(ROWS.c.id).order_by(ROWS.c.id), ROWS)
    done: list[str] = []

    def look() -> list[Any]:
        connection = server.open().connection
        found = speaking.DIALECT.run(connection, compiled(connection, statement).sql, ())
        done.append("read")
        return found

    async def come() -> None:
        for _ in range(2):
            await loop.pause("comes")
        raw.execute("INSERT INTO simulation_rows VALUES (5)")
        done.append("came")

    async def both() -> list[Any]:
        coming = loop.create_task(come())
        found: list[Any] = await greenlet_spawn(look)
        await coming
        return found

    try:
        rows = loop.run_until_complete(both())
        unlocked = [row for row in rows if server.locks.try_acquire("another", (ROWS.name, *row))]
        return rows, unlocked, done == ["came", "read"]
    finally:
        loop.abandon()
        server.end()
        raw.close()


def test_what_a_locking_read_gives_is_locked_whatever_comes_meanwhile(tmp_path: Path) -> None:
    speaking.learn()
    came_meanwhile = 0
    for seed in range(40):
        rows, unlocked, meanwhile = read_while_another_comes(seed, tmp_path)
        assert rows[:4] == THERE
        assert not unlocked
        came_meanwhile += meanwhile
    assert came_meanwhile > 5
