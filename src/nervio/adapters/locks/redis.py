"""Locks whose waiters wait in Redis: woken in order of arrival the moment a lock is let go, without asking the database.

The table is tried first, and whoever gets the lock there asks nothing of Redis; what is let go is told afterwards, many locks
in one message, and nobody waits for that.

Redis carries the waiting and nothing else. Who holds a lock, and the token that fences a late holder, is in the lease table:
a counter in Redis goes backwards after a flush, and a key in it is gone with the server. Whatever happens to Redis, at worst
waiters look at the table by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nervio.adapters.locks.database import TableRoom
from nervio.adapters.locks.holding import LONGEST_LEASE_SECONDS, LeaseLocks
from nervio.db.database import Database
from nervio.ports.clock import Clock

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
CONNECTIONS = 64
"""One a lock that somebody of this process waits for; beyond it waiters look at the table."""
NOTICE_MILLISECONDS = 60_000
FIRST_AWAY_SECONDS = 0.5
LONGEST_AWAY_SECONDS = 30.0

_AWAY = (RedisError, OSError)  # TimeoutError is one of the latter

# The first who waits is handed the notice and nobody else is woken; one that nobody waits for tells the next to look twice.
_WAKE = """
for _, list in ipairs(KEYS) do
  redis.call('LPUSH', list, '1')
  redis.call('LTRIM', list, 0, 0)
  redis.call('PEXPIRE', list, ARGV[1])
end
"""
"""KEYS: the lists of the locks. ARGV: milliseconds for which a notice is kept."""


class RedisLocks(LeaseLocks):
    """See `nervio.ports.lock.Locks`. Nothing connects before the first lock is asked for."""

    def __init__(
        self, database: Database, clock: Clock, url: str, longest_seconds: float = LONGEST_LEASE_SECONDS
    ) -> None:
        super().__init__(database, clock, RedisRoom(url, clock), longest_seconds)


class RedisRoom:
    """A list a lock, through which its waiters are woken (BLPOP serves in order)."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        # Those who wait may have every connection that there is, and none of them would ever be told.
        self._client, self._telling_client = _connect(url, CONNECTIONS), _connect(url, 2)
        self._wake = self._telling_client.register_script(_WAKE)
        self._table = TableRoom()
        self._let_go: set[str] = set()
        self._telling: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self._away_seconds = 0.0
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def wait(self, name: str, bell: asyncio.Event, pause: float, longest: float) -> None:
        if self._is_away:
            await self._table.wait(name, bell, pause, longest)
            return
        await self._ask(lambda: self._client.blpop([_list(name)], timeout=longest), None, PATIENCE_SECONDS + longest)

    def wake(self, name: str) -> None:
        self._let_go.add(name)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), name="nervio-locks-teller")

    async def close(self) -> None:
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=PATIENCE_SECONDS)
            self._abandon(self._telling)
        for task in self._abandoned:
            task.cancel()
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        await self._client.aclose()
        await self._telling_client.aclose()

    async def _tell(self) -> None:
        """Tells of all that is let go meanwhile in one message after another."""
        while self._let_go:
            lists = [_list(name) for name in self._let_go]
            self._let_go.clear()
            await self._ask(partial(self._wake, keys=lists, args=[NOTICE_MILLISECONDS]), None)

    @property
    def _is_away(self) -> bool:
        return self._clock.monotonic() < self._away_until

    async def _ask(
        self, question: Callable[[], Awaitable[Any]], otherwise: object, seconds: float = PATIENCE_SECONDS
    ) -> Any:
        """The answer of Redis, or `otherwise` while it is away: one failure says so in the log, and for a while that doubles
        nothing is asked of it."""
        if self._is_away:
            return otherwise
        # In a task of its own: redis-py may swallow a cancellation that meets it while it connects, and the caller, who
        # gave up, would be kept waiting and handed the lock.
        asking = asyncio.ensure_future(_awaited(question))
        try:
            await asyncio.wait([asking], timeout=seconds)
        except asyncio.CancelledError:
            self._abandon(asking)
            raise
        error: BaseException | None
        if not asking.done():
            self._abandon(asking)
            error = TimeoutError(f"no answer within {seconds:g} s")
        elif (error := asking.exception()) is None:
            if self._away_seconds:
                self._away_seconds = 0.0
                log.info("redis_back", extra={"used_for": "locks"})
            return asking.result()
        if not isinstance(error, _AWAY):
            raise error
        self._away_seconds = min(max(FIRST_AWAY_SECONDS, self._away_seconds * 2), LONGEST_AWAY_SECONDS)
        self._away_until = self._clock.monotonic() + self._away_seconds
        log.warning(
            "redis_away",
            extra={"used_for": "locks", "error": str(error), "again_in_seconds": self._away_seconds},
        )
        return otherwise

    def _abandon(self, asking: asyncio.Task[Any]) -> None:
        asking.cancel()
        self._abandoned.add(asking)
        asking.add_done_callback(self._abandoned.discard)


async def _awaited(question: Callable[[], Awaitable[Any]]) -> Any:
    return await question()


def _connect(url: str, connections: int) -> Redis:
    return Redis.from_url(
        url,
        max_connections=connections,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),  # the table is asked instead, at once
    )


def _list(name: str) -> str:
    """The key of the notices of a lock."""
    return f"nervio:lock:{{{name}}}:wake"
