"""What becomes of the locks when Redis forgets, dies, or is not there: it carries the waiting and nothing else."""

import asyncio
import time
from pathlib import Path

import pytest

from nervio.adapters.locks.redis import RedisLocks
from tests.builders import SetClock, a_sqlite_database
from tests.conformance.locking import LONG, SteppingClock, got
from tests.redis_server import a_redis


@pytest.mark.services("redis")
async def test_tokens_grow_although_redis_forgets(tmp_path: Path) -> None:
    """Flushed, killed and started empty: there is still one holder, and no token comes twice."""
    with a_redis() as server:
        async with a_sqlite_database(tmp_path / "locks.db", SetClock()) as database:
            a, b = (RedisLocks(database, SteppingClock(), server.url) for _ in range(2))
            tokens = []
            for round_ in range(3):
                held = await got(a.acquire("till", seconds=LONG))
                assert server.say("FLUSHALL") == "+OK"
                assert await b.acquire("till", patience_seconds=0.2) is None, "who holds it is not in Redis"
                if round_ == 1:
                    server.kill()
                    assert await b.acquire("till", patience_seconds=0.2) is None
                    server.start()
                assert await a.release(held)
                tokens += [held.token]
            assert tokens == sorted(set(tokens))
            await a.close()
            await b.close()


@pytest.mark.services("redis")
async def test_without_redis_waiters_look_at_the_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with a_redis() as server:
        async with a_sqlite_database(tmp_path / "locks.db", SetClock()) as database:
            a, b = (RedisLocks(database, SteppingClock(), server.url) for _ in range(2))
            held = await got(a.acquire("till", seconds=LONG))
            waiting = asyncio.create_task(got(b.acquire("till", patience_seconds=20)))
            await asyncio.sleep(0.2)
            server.kill()
            await a.release(held)
            began = time.monotonic()
            newer = await waiting
            assert time.monotonic() - began < 3
            assert newer.token == held.token + 1
            # It says so once and leaves it alone for a while, instead of complaining at every lock.
            for _ in range(10):
                await b.release(newer)
                newer = await got(b.acquire("till", seconds=LONG))
            assert 1 <= sum("redis_away" in record.message for record in caplog.records) <= 4
            server.start()
            await a.close()
            await b.close()
