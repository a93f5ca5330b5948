"""Locks with nothing but the database: waiters look at the lease table, those of one process are woken at once."""

from __future__ import annotations

import asyncio
import contextlib

from nervio.adapters.locks.holding import LONGEST_LEASE_SECONDS, LeaseLocks
from nervio.db.database import Database
from nervio.ports.clock import Clock


class DatabaseLocks(LeaseLocks):
    """See `nervio.ports.lock.Locks`. The first waiter of each process looks at the table every few hundredths of a second,
    and sooner when the lease is about to run out."""

    def __init__(self, database: Database, clock: Clock, longest_seconds: float = LONGEST_LEASE_SECONDS) -> None:
        super().__init__(database, clock, TableRoom(), longest_seconds)


class TableRoom:
    """Waiting at the table itself: nobody tells those of other processes."""

    async def wait(self, name: str, bell: asyncio.Event, pause: float, longest: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(pause, longest)):
                await bell.wait()

    def wake(self, name: str) -> None:
        return

    async def close(self) -> None:
        return
