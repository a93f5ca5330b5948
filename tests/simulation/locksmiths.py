"""Named locks by the product's own port: in every process somebody takes one, works under it and writes, now and then for
longer than the lease lasts."""

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.exc import DBAPIError

from nervio.adapters.locks.database import DatabaseLocks
from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.writes import Insert
from nervio.kernel.errors import NervioError
from nervio.ports.lock import Lease
from tests.simulation.machine import MOST_SKEW_SECONDS, Machine
from tests.simulation.truth import NO_BUGS, ONE_BELIEVES

if TYPE_CHECKING:
    from tests.simulation.world import World

NAME = "counting"
TABLE = "CREATE TABLE simulation_locked (token INTEGER, n INTEGER)"
WATCH_SECONDS = 0.05

_locked = Table("simulation_locked", MetaData(), Column("token", Integer), Column("n", Integer))


def _write(batch: Batch, command: Command[tuple[int, int], bool]) -> bool:
    batch.writes.append(Insert(_locked, ("token", "n"), [command.body]))
    return True


WRITE: Operation[tuple[int, int], bool] = Operation("simulation.under_lock", Effect.REDUCE, tuple, bool, _write)


class Locksmith:
    """Takes the lock, works a while, writes, lets it go."""

    def __init__(self, world: "World", machine: Machine, number: int) -> None:
        self.world, self.machine = world, machine
        self.random = Random(f"{world.seed}/locksmith {machine.name} {number}")
        self.locks = DatabaseLocks(machine.database, machine.clock)

    async def go_on(self) -> None:
        """For as long as the process lives."""
        while True:
            await asyncio.sleep(self.random.random() * 2)
            if not self.world.may("lock"):
                continue
            try:
                await self._take_turn()
            except (NervioError, DBAPIError, OSError):
                continue  # not to be had, or lost: no news
            except Exception as bug:  # noqa: BLE001 (whatever it is, nobody may meet it)
                self.world.truth.fail(NO_BUGS, f"the lock: {type(bug).__name__}: {bug}")

    async def _take_turn(self) -> None:
        random, ctx = self.random, self.machine.ctx
        seconds, patience = random.choice((1.0, 2.0, 3.0)), random.choice((0.0, 4.0, 4.0))
        works = [random.choice((0.05, 0.5, 1.5)) for _ in range(random.choice((1, 2, 3)))]
        async with self.locks.lock(NAME, seconds=seconds, patience_seconds=patience) as lease:
            self.world.loop.tell(f"has the lock, token {lease.token}")
            self.world.keepers.took(self.machine, lease)
            for n, work in enumerate(works):
                if self.world.faults.strikes("holder_stalls"):
                    self.machine.stalled_until = self.world.loop.time() + seconds * (1 + random.random())
                await asyncio.sleep(work)
                await ctx.submit(WRITE, (lease.token, n), None)


class Keepers:
    """Who believes to hold the lock."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._leases: list[tuple[Machine, Lease]] = []

    def took(self, machine: Machine, lease: Lease) -> None:
        """Somebody was given the lock."""
        self._leases.append((machine, lease))
        self.look()

    async def watch(self) -> None:
        """Looks for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.look()

    def look(self) -> None:
        """Two who believe in it for longer than clocks may differ are one too many."""
        # One that has run out stays in sight: it may be renewed.
        self._leases = [(m, lease) for m, lease in self._leases if not (m.dead or lease.is_released or lease.is_lost)]
        sure = [one for one in self._leases if one[1].remaining_seconds > 2 * MOST_SKEW_SECONDS + 0.001]
        if len(sure) > 1:
            told = ", ".join(
                f"{machine.name} (token {lease.token}) for {lease.remaining_seconds:.2f} s" for machine, lease in sure
            )
            self._world.truth.fail(ONE_BELIEVES, f"all of these believe to have the lock: {told}")


def stale_writes(raw: Any, writes: Any) -> list[tuple[int, int]]:
    """(token, the newest token) of writes under the lock whose holder is not the newest."""
    rows = [row for write in writes if isinstance(write, Insert) and write.table is _locked for row in write.rows]
    if not rows:
        return []
    (newest,) = raw.execute("SELECT token FROM leases WHERE name = ?", (f"lock:{NAME}",)).fetchone()
    return [(row[0], newest) for row in rows if row[0] != newest]
