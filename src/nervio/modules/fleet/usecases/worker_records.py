"""What is written down of the workers of this process, and of how long things took: for pages, and for whoever starts next."""

from __future__ import annotations

import math
from dataclasses import replace

from sqlalchemy import Connection

from nervio.db.context import Ctx
from nervio.kernel.time import DAY, SECOND
from nervio.modules.fleet import metrics
from nervio.modules.fleet.domain.prediction import Speeds
from nervio.modules.fleet.store import workers as store
from nervio.modules.fleet.store.workers import WorkerState
from nervio.modules.fleet.usecases.roster import Roster

QUIET_SECONDS = 10.0
"""How often it is written while nothing happens."""
GONE_SECONDS = 30.0
"""A worker that no process has written down for so long belonged to one that is gone."""
FORGET_SECONDS = 7 * DAY / SECOND


class WorkerRecords:
    """Those of one dispatcher."""

    def __init__(self, ctx: Ctx, owner: str, roster: Roster, speeds: Speeds) -> None:
        self._ctx, self._owner, self._roster, self._speeds = ctx, owner, roster, speeds
        self._quiet_until = -math.inf
        self._written: list[WorkerState] = []

    async def write(self) -> None:
        """Writes down what has changed since the last time, and forgets workers that are long gone."""
        clock = self._ctx.clock
        now, learnt, states = clock.now(), self._speeds.take_changed(), self._roster.take_states()
        seen = [replace(state, last_seen=0) for state in states]
        if seen == self._written and not learnt and clock.monotonic() < self._quiet_until:
            return  # nothing but time has passed, and on a small machine a write wakes the disk
        self._written, self._quiet_until = seen, clock.monotonic() + QUIET_SECONDS

        def write(connection: Connection) -> None:
            if states:
                store.write_workers(connection, self._owner, states, now)
            if learnt:
                store.write_speeds(connection, learnt)
            store.mark_gone(connection, now - int(GONE_SECONDS * SECOND))
            store.forget_gone(connection, now - int(FORGET_SECONDS * SECOND))

        await self._ctx.database.bookkeep("worker_states", write)
        busy = sum(1 for member in self._roster if member.held)
        metrics.WORKERS.labels("busy").set(busy)
        metrics.WORKERS.labels("idle").set(len(self._roster) - busy)
        metrics.IN_FLIGHT.set(len(self._roster.held()))
