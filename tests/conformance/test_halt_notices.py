"""Waking each other and the mirror for old clients: the same of every adapter, and what Redis may do without harm."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from nervio.adapters.halts import redis as adapter
from nervio.adapters.halts.memory import MemoryHaltNotices
from nervio.adapters.halts.redis import RedisHaltNotices
from nervio.modules.safety import api as safety
from nervio.ports.halt import HaltNotices
from nervio.runtime.halting import HaltMirror
from tests.builders import Store, a_store
from tests.redis_server import OwnRedis

KEY = "nervio:emergency"
QUIET = {"active": False, "activated_at": None, "activated_by": None, "reason": None}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """Not started yet."""
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


async def mirror_in(server: OwnRedis) -> dict[str, object] | None:
    """What an old client finds."""
    async with Redis.from_url(server.url) as client:
        found = await client.get(KEY)
    return None if found is None else json.loads(found)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


async def until(condition: asyncio.Event, seconds: float = 5) -> None:
    await asyncio.wait_for(condition.wait(), seconds)


async def rung(notices: HaltNotices) -> None:
    """Whoever rings is heard in their own process, whatever else is away."""
    heard = asyncio.Event()
    notices.on_notice(heard.set)
    await notices.start()
    notices.ring()
    await until(heard)
    await notices.show(QUIET)
    await notices.close()


async def test_in_process_a_ring_is_heard_and_the_picture_kept() -> None:
    notices = MemoryHaltNotices()
    await rung(notices)
    assert notices.shown == QUIET


@pytest.mark.services("redis")
async def test_over_redis_another_process_hears_the_ring(own_redis: OwnRedis) -> None:
    own_redis.start()
    await rung(RedisHaltNotices(own_redis.url, KEY))
    assert await mirror_in(own_redis) == QUIET
    here, there, heard = RedisHaltNotices(own_redis.url, KEY), RedisHaltNotices(own_redis.url, KEY), asyncio.Event()
    there.on_notice(heard.set)
    await there.start()
    await until(heard)  # it looks once it listens
    heard.clear()
    here.ring()
    await until(heard)
    await here.close()
    await there.close()


@pytest.mark.services("redis")
async def test_closing_ends_at_whatever_step_the_listener_is(own_redis: OwnRedis) -> None:
    """redis-py may swallow a cancellation that meets it while it connects; a shutdown hung there once."""
    own_redis.start()
    for steps in range(60):
        notices = RedisHaltNotices(own_redis.url, KEY)
        await notices.start()
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.wait_for(notices.close(), 5)


@pytest.mark.services("redis")
async def test_a_redis_that_is_away_is_told_in_the_log_and_found_again(
    own_redis: OwnRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "FIRST_AWAY_SECONDS", 0.02)
    caplog.set_level(logging.INFO)
    notices, heard = RedisHaltNotices(own_redis.url, KEY), asyncio.Event()
    notices.on_notice(heard.set)
    await notices.start()
    await notices.show(QUIET)
    await notices.show(QUIET)
    notices.ring()
    assert heard.is_set(), "this process needs no Redis"
    assert caplog.text.count("halt_mirror_away") == 1
    heard.clear()
    own_redis.start()
    await until(heard)  # by the listener, once it has found the server
    await notices.show(QUIET)
    assert await mirror_in(own_redis) == QUIET
    assert "halt_notices_away" in caplog.text
    assert "halt_notices_back" in caplog.text
    assert "halt_mirror_back" in caplog.text
    await notices.close()


@pytest.mark.services("redis")
async def test_the_mirror_follows_every_change_and_heals_after_a_flush(own_redis: OwnRedis, store: Store) -> None:
    own_redis.start()
    notices = RedisHaltNotices(own_redis.url, KEY)
    watch = safety.HaltWatch(store.database, store.clock)
    await watch.refresh()
    mirror = HaltMirror(watch, notices)

    async def lead() -> None:
        while True:
            await mirror.run(store.ctx)

    leading = asyncio.create_task(lead())

    async def shows(active: bool) -> dict[str, object]:
        async with asyncio.timeout(5):
            while True:
                found = await mirror_in(own_redis)
                if found is not None and found["active"] is active:
                    return found
                await asyncio.sleep(0.01)

    assert await shows(active=False) == QUIET
    await safety.freeze(store.ctx, "fire")
    await watch.refresh()
    stopped = await shows(active=True)
    assert stopped.keys() == QUIET.keys()
    assert (stopped["reason"], stopped["activated_by"]) == ("fire", "tester")
    assert own_redis.say("FLUSHALL") == "+OK"
    assert await shows(active=True) == stopped
    async with Redis.from_url(own_redis.url) as liar:
        await liar.set(KEY, json.dumps(QUIET))
    await watch.refresh()
    assert watch.find_blocking_read(store.ctx.tenant_id) is not None, "what Redis says is nobody's truth"
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    await notices.close()
