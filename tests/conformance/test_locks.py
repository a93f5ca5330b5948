"""What every lock promises, whatever its waiters wait in: one suite over the lease table and Redis, on both databases."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from nervio.adapters.locks.database import DatabaseLocks
from nervio.adapters.locks.holding import LeaseLocks
from nervio.adapters.locks.redis import RedisLocks
from nervio.db import maintenance
from nervio.db.database import Database
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.ports.lock import Lease, LockNotReentrant, current_fences, holding
from tests.builders import QUEUE_CAPACITY, SetClock, a_postgres_url, a_sqlite_database, open_postgres
from tests.conformance.locking import LONG, SHORT, SteppingClock, got, in_another_process
from tests.modules.db.deeds import names, put
from tests.redis_server import OwnRedis, a_redis


@dataclass
class House:
    """A database, and processes' locks over it: each of `locks()` stands for a process of its own."""

    database: Database
    make: Callable[[Database, SteppingClock], LeaseLocks]
    redis: OwnRedis | None
    opened: list[LeaseLocks] = field(default_factory=list)

    def locks(self, clock: SteppingClock | None = None) -> LeaseLocks:
        made = self.make(self.database, clock or SteppingClock())
        self.opened.append(made)
        return made


@pytest.fixture(scope="module")
def redis() -> Iterator[OwnRedis]:
    with a_redis() as server:
        yield server


KINDS = [
    "table on sqlite",
    pytest.param("table on postgresql", marks=pytest.mark.services("postgres")),
    pytest.param("redis on sqlite", marks=pytest.mark.services("redis")),
    pytest.param("redis on postgresql", marks=pytest.mark.services("postgres", "redis")),
]


@pytest.fixture(scope="module")
def lock_database(postgres_url: str) -> Iterator[str]:
    """One PostgreSQL database for this file: making one takes longer than most tests do."""
    with ThreadPoolExecutor(1) as apart, asyncio.Runner() as runner:
        making = a_postgres_url(postgres_url)
        yield apart.submit(runner.run, making.__aenter__()).result()
        apart.submit(runner.run, making.__aexit__(None, None, None)).result()


@pytest.fixture(params=KINDS)
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        waits, _, kind = str(request.param).partition(" on ")
        database: Database
        if kind == "postgresql":
            address = request.getfixturevalue("lock_database")
            await maintenance.run(address, lambda c: c.exec_driver_sql("TRUNCATE leases, cursors, idempotency_keys"))
            database = await stack.enter_async_context(open_postgres(address, SetClock()))
        else:
            database = await stack.enter_async_context(a_sqlite_database(tmp_path / "locks.db", SetClock()))
        server: OwnRedis | None = request.getfixturevalue("redis") if waits == "redis" else None
        if server is not None:
            server.say("FLUSHALL")
            url = server.url
            made = House(
                database, lambda database, clock: RedisLocks(database, clock, url, longest_seconds=LONG), server
            )
        else:
            made = House(database, lambda database, clock: DatabaseLocks(database, clock, longest_seconds=LONG), None)
        yield made
        for locks in made.opened:
            await locks.close()


async def test_one_holder_at_a_time(house: House) -> None:
    a, b = house.locks(), house.locks()
    inside = most = 0

    async def work(locks: LeaseLocks, n: int) -> None:
        nonlocal inside, most
        async with locks.lock("till", seconds=LONG):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.002)
            inside -= 1

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(locks, n) for n in range(8) for locks in (a, b)))
    assert most == 1


async def test_locks_of_other_names_are_other_locks(house: House) -> None:
    locks = house.locks()
    await got(locks.acquire("a"))
    await got(locks.acquire("b", patience_seconds=0))


async def test_no_patience_is_one_try_and_some_patience_ends(house: House) -> None:
    a, b = house.locks(), house.locks()
    held = await got(a.acquire("till", patience_seconds=0))
    for locks in (a, b):
        began = time.monotonic()
        assert await locks.acquire("till", patience_seconds=0) is None
        assert await locks.acquire("till", patience_seconds=0.2) is None
        assert 0.2 <= time.monotonic() - began < 2
    with pytest.raises(NervioError) as refusal:
        async with b.lock("till", patience_seconds=0):
            pass
    assert (refusal.value.kind, refusal.value.code) == (Kind.UNAVAILABLE, "lock_timeout")
    assert await a.release(held)
    await got(b.acquire("till", patience_seconds=0))


async def test_a_waiter_goes_on_the_moment_the_lock_is_let_go(house: House) -> None:
    a, b = house.locks(), house.locks()
    held = await got(a.acquire("till", seconds=LONG))
    waiting = asyncio.create_task(got(b.acquire("till")))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    began = time.monotonic()
    await a.release(held)
    assert (await waiting).token == held.token + 1
    assert time.monotonic() - began < 0.45, (
        "the table is looked at every quarter of a second at least, Redis tells at once"
    )


async def test_callers_of_a_process_get_their_turn_in_order(house: House) -> None:
    locks, order = house.locks(), list[int]()
    first = await got(locks.acquire("till"))

    async def wait(n: int) -> None:
        lease = await got(locks.acquire("till"))
        order.append(n)
        await locks.release(lease)

    tasks = []
    for n in range(6):
        tasks.append(asyncio.create_task(wait(n)))
        await asyncio.sleep(0)
    await locks.release(first)
    # Who just let go stands at the end of the line like everybody else.
    tasks.append(asyncio.create_task(wait(6)))
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)
    assert order == [*range(7)]


async def test_a_holder_that_says_nothing_is_followed_when_its_lease_ran_out(house: House) -> None:
    a, b = house.locks(), house.locks()
    before = REGISTRY.get_sample_value("nervio_lock_expiries_total", {"lock": "till"}) or 0
    began = time.monotonic()  # the lease counts from before its answer
    silent = await got(a.acquire("till", seconds=SHORT))
    follower = await got(b.acquire("till", patience_seconds=10))
    assert SHORT * 0.9 <= time.monotonic() - began < SHORT + 1.5
    assert follower.token == silent.token + 1
    assert not silent.is_valid
    assert silent.remaining_seconds == 0
    assert REGISTRY.get_sample_value("nervio_lock_expiries_total", {"lock": "till"}) == before + 1
    assert not await a.renew(silent)
    assert silent.is_lost


async def test_only_its_holder_lets_it_go(house: House) -> None:
    a, b = house.locks(), house.locks()
    late = await got(a.acquire("till", seconds=SHORT))
    now = await got(b.acquire("till", seconds=LONG))
    assert not await a.release(late)
    assert await house.locks().acquire("till", patience_seconds=0.1) is None, "the late holder let go of nothing"
    assert now.is_valid
    assert await b.release(now)
    assert not await b.release(now), "once"


async def test_a_lease_is_renewed_while_the_block_runs(house: House) -> None:
    a, b = house.locks(), house.locks()
    async with a.lock("till", seconds=SHORT) as lease:
        assert await in_another_process(b.acquire("till", patience_seconds=1.5 * SHORT)) is None
        assert lease.is_valid
        await asyncio.sleep(1.5 * SHORT)
        assert lease.is_valid, "without a rival, too"
    assert lease.remaining_seconds == 0
    assert (await got(b.acquire("till", patience_seconds=0))).token == lease.token + 1


async def test_a_lease_that_ran_out_unnoticed_is_still_its_holders(house: House) -> None:
    locks = house.locks()
    lease = await got(locks.acquire("till", seconds=SHORT))
    await asyncio.sleep(SHORT * 1.5)
    assert not lease.is_valid
    assert await locks.renew(lease)
    assert lease.is_valid


async def test_who_gives_up_waiting_leaves_nothing_behind(house: House) -> None:
    a, b, c = house.locks(), house.locks(), house.locks()
    held = await got(a.acquire("till", seconds=LONG))
    for seconds in (0.0, 0.001, 0.01, 0.1, 0.4):
        waiting = [asyncio.create_task(locks.acquire("till")) for locks in (b, b, c)]
        await asyncio.sleep(seconds)
        for one in waiting:
            one.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
        )
    await a.release(held)
    # Cancelled in the middle of being given the lock, too.
    for n in range(20):
        waiting = [asyncio.create_task(b.acquire("till", seconds=LONG))]
        await asyncio.sleep(n / 4000)
        waiting[0].cancel()
        for taken in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(taken, Lease):
                await b.release(taken)
    await got(c.acquire("till", patience_seconds=3))


async def test_a_lock_is_not_re_entrant_and_says_so(house: House) -> None:
    locks = house.locks()
    async with locks.lock("till"):
        with pytest.raises(LockNotReentrant, match="till"):
            await locks.acquire("till")
        with pytest.raises(LockNotReentrant):
            await asyncio.create_task(locks.acquire("till"))
        async with locks.lock("another"):
            assert [name for name, _ in current_fences()] == ["lock:till", "lock:another"]
    assert current_fences() == ()
    async with locks.lock("till"):
        pass


async def test_the_wall_clock_may_be_set(house: House) -> None:
    clock = SteppingClock()
    stepping, other = house.locks(clock), house.locks()
    held = await got(stepping.acquire("till", seconds=SHORT))
    clock.off_seconds = 3600
    assert held.is_valid, "validity is counted on the monotonic clock"
    clock.off_seconds = -3600
    assert held.is_valid
    # What it writes with its clock an hour late looks run out to the others: they take over, and it is fenced.
    assert await stepping.renew(held)
    newer = await got(other.acquire("till", patience_seconds=0.5))
    assert newer.token == held.token + 1
    assert not await stepping.renew(held)


async def test_a_lease_from_the_future_is_given_up_after_the_longest_time_that_one_lasts(house: House) -> None:
    """A holder died, and the clock of the machine was set back by an hour."""
    ahead = SteppingClock()
    ahead.off_seconds = 3600
    dead = await got(house.locks(ahead).acquire("till", seconds=SHORT))
    waiter = house.make(house.database, SteppingClock())
    waiter._longest_seconds = longest = 0.6
    house.opened.append(waiter)
    began = time.monotonic()
    heir = await got(waiter.acquire("till", seconds=SHORT, patience_seconds=10))
    assert longest <= time.monotonic() - began < 4
    assert heir.token == dead.token + 1


async def test_a_late_holder_writes_nothing_and_the_next_one_does(house: House) -> None:
    database = house.database
    a, b = house.locks(), house.locks()

    @a.atomic_transaction("work", seconds=SHORT)
    async def work() -> list[object]:
        assert await database.submit(put("in time", key="k0")) is not None
        assert len(current_fences()) == 1
        newer = await in_another_process(b.acquire("work", seconds=LONG))
        late = list[object](await asyncio.gather(database.submit(put("late", key="k1")), return_exceptions=True))
        late += await database.submit_all([put("late too", key="k2"), put("later")])
        again = await database.submit(put("in time", key="k0"))
        assert again is not None, "what was written in time keeps its answer"
        assert newer is not None
        return late

    refused = await suspended_renewal(a, work())
    assert [getattr(one, "code", one) for one in refused] == ["lease_lost"] * 3
    assert await database.read(names) == ["in time"]
    # The refusal is nobody's answer to the key: whoever has the work now does it under the same one.
    assert await database.submit(put("late", key="k1")) is not None


async def suspended_renewal(locks: LeaseLocks, work: Awaitable[list[object]]) -> list[object]:
    """Runs the work of a process whose renewals do not get through, as when it is suspended."""

    async def never(lease: Lease) -> bool:
        raise NervioError(Kind.UNAVAILABLE, "lock_unavailable", "suspended")

    locks.renew = never  # type: ignore[method-assign] # what a process cannot do to itself and still test
    return await work


async def test_names_may_be_made_from_arguments(house: House) -> None:
    locks = house.locks()

    @locks.atomic_transaction(lambda product, **_: f"price:{product}")
    async def reprice(product: str, *, by: int) -> tuple[str, int]:
        """Doc."""
        return current_fences()[0][0], by

    assert await reprice("A-1", by=5) == ("lock:price:A-1", 5)
    assert reprice.__doc__ == "Doc."


@pytest.mark.parametrize("kind", ["table", pytest.param("redis", marks=pytest.mark.services("redis"))])
async def test_a_store_that_does_not_answer_gives_no_lock(
    kind: str, free_port: int, request: pytest.FixtureRequest
) -> None:
    nowhere = PostgreSQLDatabase(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port}/x", SetClock(), QUEUE_CAPACITY)
    url = request.getfixturevalue("redis").url if kind == "redis" else ""
    locks = RedisLocks(nowhere, SteppingClock(), url) if url else DatabaseLocks(nowhere, SteppingClock())
    with pytest.raises(NervioError) as refusal:
        await locks.acquire("till", patience_seconds=1)
    assert (refusal.value.kind, refusal.value.code) == (Kind.UNAVAILABLE, "lock_unavailable")
    await locks.close()
    await nowhere.close()


async def test_a_renewal_gets_through_beside_a_stream_of_writes_under_the_lock(house: House) -> None:
    """Each of these writes locks the lease's row until it has committed, one after another without a gap."""
    a, b = house.locks(), house.locks()
    async with a.lock("import", seconds=0.7) as lease:
        until = time.monotonic() + 1.5

        async def write(n: int) -> int:
            written = 0
            while time.monotonic() < until:
                await house.database.submit(put(f"{n}-{written}"))
                written += 1
            return written

        rival = asyncio.create_task(in_another_process(b.acquire("import", patience_seconds=1.3)))
        written = await asyncio.gather(*(write(n) for n in range(8)))
        assert await rival is None
        assert min(written) > 3
        assert lease.is_valid
    assert await b.acquire("import", patience_seconds=2) is not None


def test_a_write_without_a_lock_asks_nothing_of_the_leases_and_one_under_a_lock_one_thing(tmp_path: Path) -> None:
    async def statements(locked: bool) -> list[str]:
        folder = tmp_path / str(locked)
        folder.mkdir()
        async with a_sqlite_database(folder / "locks.db", SetClock()) as database:
            await database.submit(put("first"))
            locks = DatabaseLocks(database, SteppingClock())
            lease = await got(locks.acquire("till"))
            raw: Any = database._connection().connection.dbapi_connection
            seen: list[str] = []
            raw.set_trace_callback(seen.append)
            with holding(lease) if locked else contextlib.nullcontext():
                await database.submit_all([put("a", key="a"), put("b", key="b")])
            raw.set_trace_callback(None)
            return seen

    plain, fenced = asyncio.run(statements(locked=False)), asyncio.run(statements(locked=True))
    assert [one for one in plain if "leases" in one] == []
    assert len([one for one in fenced if "leases" in one]) == 1
    assert len(fenced) == len(plain) + 1
