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
    """Waiting at the table itself: it is always one's turn to look."""

    async def enter(self, name: str, owner: str, seconds: float) -> bool:
        return True

    async def wait(self, name: str, bell: asyncio.Event, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await bell.wait()
        return False

    async def renew(self, name: str, owner: str, seconds: float) -> bool:
        return True

    async def leave(self, name: str, owner: str) -> None:
        return

    async def close(self) -> None:
        return
