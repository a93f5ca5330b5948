"""Locks whose waiters wait in Redis: woken in order of arrival the moment a lock is let go, without asking the database.

Redis carries the waiting and nothing else. Who holds a lock, and the token that fences a late holder, is in the lease table:
a counter in Redis goes backwards after a flush, and a key in it is gone with the server. Whatever happens to Redis, at worst
waiters look at the table by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
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
FIRST_AWAY_SECONDS = 0.5
LONGEST_AWAY_SECONDS = 30.0

_AWAY = (RedisError, OSError)  # TimeoutError is one of the latter

# Only the owner ends its turn; the first who waits is handed the notice and nobody else is woken.
_LEAVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('LPUSH', KEYS[2], '1')
redis.call('LTRIM', KEYS[2], 0, 0)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""

# A key that was flushed away is put back, so that the others go on waiting instead of looking at the table.
_RENEW = """
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if owner then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisLocks(LeaseLocks):
    """See `nervio.ports.lock.Locks`. Nothing connects before the first lock is asked for."""

    def __init__(
        self, database: Database, clock: Clock, url: str, longest_seconds: float = LONGEST_LEASE_SECONDS
    ) -> None:
        super().__init__(database, clock, RedisRoom(url, clock), longest_seconds)


class RedisRoom:
    """A key a lock (owner token, SET NX PX) for the turn, and a list to be woken through (BLPOP serves in order)."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        self._client: Redis = Redis.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the table is asked instead, at once
        )
        self._leave = self._client.register_script(_LEAVE)
        self._renew = self._client.register_script(_RENEW)
        self._table = TableRoom()
        self._away_until = 0.0
        self._away_seconds = 0.0
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def enter(self, name: str, owner: str, seconds: float) -> bool:
        key, lasts = _keys(name)[0], _milliseconds(seconds)
        if await self._ask(lambda: self._client.set(key, owner, nx=True, px=lasts), otherwise=True):
            return True
        return await self.renew(name, owner, seconds)  # it may be ours from an earlier try

    async def wait(self, name: str, bell: asyncio.Event, seconds: float) -> bool:
        _, wake = _keys(name)
        if self._is_away:
            return await self._table.wait(name, bell, seconds)
        notice = await self._ask(lambda: self._client.blpop([wake], timeout=seconds), None, PATIENCE_SECONDS + seconds)
        return notice is not None

    async def renew(self, name: str, owner: str, seconds: float) -> bool:
        arguments: list[str | int] = [owner, _milliseconds(seconds)]
        return bool(await self._ask(lambda: self._renew(keys=_keys(name), args=arguments), otherwise=True))

    async def leave(self, name: str, owner: str) -> None:
        arguments: list[str | int] = [owner, _milliseconds(LONGEST_LEASE_SECONDS)]
        await self._ask(lambda: self._leave(keys=_keys(name), args=arguments), None)

    async def close(self) -> None:
        for task in self._abandoned:
            task.cancel()
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        await self._client.aclose()

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


def _keys(name: str) -> tuple[str, str]:
    """The keys of a lock's turn and of its notices; the braces keep both on one node of a cluster."""
    return f"nervio:lock:{{{name}}}", f"nervio:lock:{{{name}}}:wake"


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
