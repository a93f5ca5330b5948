"""The two usual ways of selling with Redis: a lock around the database's transaction, and a script instead of it."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from redis.asyncio.client import Redis
from redis.commands.core import AsyncScript

from bench.stock.contender import Audit
from bench.stock.postgres import PostgresPeer
from bench.stock.redis_server import CONNECTIONS, OwnRedis


class RedisLock(PostgresPeer):
    """A lock a SKU (SET NX with owner and expiry, deleted only by its owner) around read, check and write on PostgreSQL.

    Waiters sleep a random time that doubles up to a bound. The fixed pause of redis-py's own Lock is right for one number
    of waiters only: short ones drown the loop in tries, long ones leave the lock idle.
    """

    label = "redis_setnx"
    for_one, for_many = 2, 16
    _FIRST_PAUSE_SECONDS = 0.02
    _LONGEST_PAUSE_SECONDS = 1.0
    _EXPIRY_MS = 30_000
    _RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

    def __init__(self) -> None:
        super().__init__()
        self._redis = OwnRedis()
        self._release: AsyncScript | None = None

    async def start(self, workdir: Path) -> None:
        await self._redis.start(workdir)
        self._release = self._redis.client.register_script(self._RELEASE)
        await super().start(workdir)

    async def sell(self, sku_index: int, key: str) -> bool:
        # Taken before the connection, or waiters for one SKU would hold connections that other SKUs need.
        assert self._release is not None, "start comes first"
        lock, pause = f"sku:{sku_index}", self._FIRST_PAUSE_SECONDS
        while not await self._redis.client.set(lock, key, nx=True, px=self._EXPIRY_MS):
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, self._LONGEST_PAUSE_SECONDS)
        try:
            return await super().sell(sku_index, key)
        finally:
            await self._release(keys=[lock], args=[key])

    async def sale(self, connection: asyncpg.Connection, sku: int, key: str) -> bool:
        async with connection.transaction():
            on_hand = await connection.fetchval("SELECT on_hand FROM level WHERE sku = $1", sku)
            if on_hand < 1:
                return False
            await connection.execute("UPDATE level SET on_hand = $2 WHERE sku = $1", sku, on_hand - 1)
            await connection.execute("INSERT INTO movement (key, sku, quantity) VALUES ($1, $2, 1)", key, sku)
            return True

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            await self._redis.stop()


class RedisScript:
    """One Lua script: key, level and movement at once. Not durable: an answered sale is gone when Redis or the machine is."""

    durable = False
    _SALE = """
        if redis.call('HEXISTS', 'keys', ARGV[2]) == 1 then return 1 end
        if tonumber(redis.call('GET', 'level:' .. ARGV[1])) < 1 then return 0 end
        redis.call('DECR', 'level:' .. ARGV[1])
        redis.call('HSET', 'keys', ARGV[2], 1)
        redis.call('RPUSH', 'movements', ARGV[1])
        return 1
    """

    def __init__(self) -> None:
        self._redis = OwnRedis()
        self._units: list[int] = []
        self._script: AsyncScript | None = None

    @property
    def _client(self) -> Redis:
        return self._redis.client

    async def start(self, workdir: Path) -> None:
        await self._redis.start(workdir)
        self._script = self._client.register_script(self._SALE)
        # redis-py's own waiting lets a caller that just had a connection take it again past those who wait.
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def prepare(self, units: Sequence[int]) -> None:
        self._units = list(units)
        await self._client.flushdb()
        await self._client.mset({f"level:{sku}": there for sku, there in enumerate(units)})

    async def sell(self, sku_index: int, key: str) -> bool:
        assert self._script is not None, "start comes first"
        async with self._turns:
            return bool(await self._script(args=[sku_index, key]) == 1)

    async def audit(self) -> Audit:
        levels = await self._client.mget([f"level:{sku}" for sku in range(len(self._units))])
        sold = [there - int(level or 0) for there, level in zip(self._units, levels, strict=True)]
        movements = await self._client.llen("movements")
        return Audit(sold=sold, movements=int(movements))

    async def stop(self) -> None:
        await self._redis.stop()
