"""Two ways of writing a row under a lock: ours, and redis-py's own Lock around an UPDATE. The same row, the same deed."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import LockError

from nervio.adapters.clock import SystemClock
from nervio.adapters.locks.database import DatabaseLocks
from nervio.adapters.locks.redis import RedisLocks
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.errors import NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductInput
from nervio.runtime.settings import normalised_database_url

_QUEUE_CAPACITY = 10_000


Check = Callable[[], Awaitable[bool]]


class Contestant(Protocol):
    """One way of changing a row's value under a lock of the row's name."""

    async def start(self) -> None:
        """Connects."""

    def lock(self, row: str, seconds: float) -> AbstractAsyncContextManager[Check]:
        """The lock around a block; it outlives a holder that says nothing by so many seconds. Gives what tells whether it
        is still held."""

    async def write(self, row: str, value: int) -> bool:
        """Sets the row's value; False where the write was refused because the lock is somebody else's."""

    async def read(self, row: str) -> int:
        """The row's value."""

    async def stop(self) -> None:
        """Disconnects."""


class Ours:
    """A product's price, saved through the catalogue's own use case. Waits in Redis where an address is given."""

    def __init__(self, address: str, redis_url: str, tenant_id: str) -> None:
        clock = SystemClock()
        self._database: PostgreSQLDatabase | SQLiteDatabase
        if "://" in address:
            self._database = PostgreSQLDatabase(normalised_database_url(address, None), clock, _QUEUE_CAPACITY)
        else:
            self._database = SQLiteDatabase(Path(address), clock, _QUEUE_CAPACITY)
        self._locks = (
            RedisLocks(self._database, clock, redis_url) if redis_url else DatabaseLocks(self._database, clock)
        )
        self._ctx = Ctx(tenant_id, "bench", self._database, clock)

    async def start(self) -> None:
        await self._database.start()

    @asynccontextmanager
    async def lock(self, row: str, seconds: float) -> AsyncIterator[Check]:
        async with self._locks.lock(row, seconds=seconds) as lease:

            async def is_held() -> bool:
                return lease.is_valid

            yield is_held

    async def write(self, row: str, value: int) -> bool:
        try:
            await catalog.save_products(self._ctx, [ProductInput(row, row, value)])
        except NervioError as refusal:
            if refusal.code != "lease_lost":
                raise
            return False
        return True

    async def read(self, row: str) -> int:
        return (await catalog.get_product(self._ctx, row)).price_minor

    async def stop(self) -> None:
        await self._locks.close()
        await self._database.close()


class RedisPy:
    """`redis.asyncio.Redis.lock` as its documentation shows it: a time-out so that a dead holder blocks nobody."""

    def __init__(self, address: str, redis_url: str, tenant_id: str) -> None:
        self._address = address
        self._client = Redis.from_url(redis_url)
        self._pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        self._pool = await asyncpg.create_pool(self._address, min_size=1, max_size=8)
        await self._pool.execute("CREATE TABLE IF NOT EXISTS priced (sku text PRIMARY KEY, price bigint NOT NULL)")

    @asynccontextmanager
    async def lock(self, row: str, seconds: float) -> AsyncIterator[Check]:
        held = self._client.lock(f"peer:{row}", timeout=seconds)
        await held.acquire()
        try:
            yield held.owned
        finally:
            # How it tells a holder, afterwards, that the lock was somebody else's.
            with contextlib.suppress(LockError):
                await held.release()

    async def write(self, row: str, value: int) -> bool:
        assert self._pool is not None
        upsert = "INSERT INTO priced VALUES ($1, $2) ON CONFLICT (sku) DO UPDATE SET price = excluded.price"
        return bool(await self._pool.execute(upsert, row, value) == "INSERT 0 1")

    async def read(self, row: str) -> int:
        assert self._pool is not None
        return int(await self._pool.fetchval("SELECT price FROM priced WHERE sku = $1", row))

    async def stop(self) -> None:
        await self._client.aclose()
        if self._pool is not None:
            await self._pool.close()


def contestant(name: str, address: str, redis_url: str, tenant_id: str) -> Contestant:
    """One by its name: `table` and `redis` are ours by where they wait, `redis_py` is the peer."""
    if name == "redis_py":
        return RedisPy(address, redis_url, tenant_id)
    return Ours(address, redis_url if name == "redis" else "", tenant_id)
