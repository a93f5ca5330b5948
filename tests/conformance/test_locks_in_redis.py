"""What becomes of the locks when Redis forgets, dies, or is not there: it carries the waiting and nothing else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nervio.adapters.locks.redis import RedisLocks, RedisRoom
from tests.builders import SetClock, a_sqlite_database
from tests.conformance.locking import LONG, SteppingClock, got
from tests.redis_server import a_redis


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that will be so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_watched_road(port: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A way to a server, and what was sent along it."""
    sent: list[str] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, noted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if noted:
                    sent.append(data.decode())
                writer.write(data)
        writer.close()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, to_them, noted=True), carry(theirs, writer, noted=False))

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", sent
    finally:
        server.close()


@pytest.mark.services("redis")
async def test_a_lock_that_is_free_is_taken_without_a_word_to_redis(tmp_path: Path) -> None:
    async with a_sqlite_database(tmp_path / "locks.db", SetClock()) as database:
        with a_redis() as server:
            async with a_watched_road(server.port) as (url, sent):
                a, b, c = (RedisLocks(database, SteppingClock(), url) for _ in range(3))
                held = [await got(a.acquire(f"till-{n}", seconds=LONG)) for n in range(32)]
                assert [await a.renew(lease) for lease in held] == [True] * 32
                assert sent == []
                # What is let go at once is told in a message or two, not in one each.
                await asyncio.gather(*(a.release(lease) for lease in held[1:]))
                await a.close()
                told = [text for text in sent if "EVALSHA" in text]
                assert 1 <= len(told) <= 4
                assert sum(text.count(":wake") for text in told) >= 31
                # Whoever finds it held waits there.
                waiting = asyncio.create_task(got(b.acquire("till-0")))
                await until(lambda: any("BLPOP" in text for text in sent))
                await c.release(held[0])
                assert (await waiting).token == held[0].token + 1
                await b.close()
                await c.close()


@pytest.mark.services("redis")
async def test_letting_go_does_not_wait_for_a_redis_that_says_nothing(tmp_path: Path) -> None:
    async with a_sqlite_database(tmp_path / "locks.db", SetClock()) as database:
        connected: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0"
        locks = RedisLocks(database, SteppingClock(), url)
        lease = await got(locks.acquire("till", seconds=LONG))
        assert await locks.release(lease)
        room = locks._room
        assert isinstance(room, RedisRoom)
        assert room._telling is not None
        assert not room._telling.done(), "the message is on its way, and nobody waits for it"
        await locks.close()
        silent.close()
        for writer in connected:
            writer.close()


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
